"""The process that talks to Weights & Biases.

It sends one record and ends, so that no state of one run can reach the next. It announces each step
on stdout as one line of JSON, with the seconds that the step may take. Its parent ends it when it
is late.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from otherview.results.state import COMBINED
from otherview.study.configuration import Tracking
from otherview.study.errors import causes
from otherview.views.tracking.record import Curves, Record, run_record, tags
from otherview.views.tracking.sweep_record import sweep_record

ROWS_PER_SECOND = 200.0
"""Table rows made per second on a slow, busy machine; an idle one makes 2,500."""
READING = 120.0
"""Seconds allowed for reading the result and drawing."""
CELLS_PER_SECOND = 20_000.0
"""Table cells written per second, twice as JSON; 250,000 on an idle machine."""
BYTES_PER_SECOND = 1e6
"""Slower uploads are given up."""
FATAL = "ERROR+4"
"""Level, in the log of wandb, of errors that it cannot recover from."""
OWN = Path("wandb")
"""Folder below the result that wandb writes to."""


Announce = Callable[..., None]
"""Tells the parent the next step: its arguments are the fields of one line of JSON."""


def one_line(error: BaseException) -> str:
    """Return the first line of an error, or of its cause."""
    for cause in causes(error):
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        if lines and lines[0] != "<no message>":
            return lines[0]
    named = type(error).__name__
    return "the server cannot be reached" if named == "CommError" else named


def send(record: Record, tracking: Tracking, announce: Announce) -> None:
    """Create the run of a record, log everything once and finish it.

    The current directory is that of the result. Raises whatever wandb raises.
    """
    import wandb

    replace_earlier(record.id)
    keep_all_rows(record)
    patience = tracking.patience
    announce(stage="opening the run", seconds=patience if tracking.mode == "online" else READING)
    with (
        staging_relatively(),
        wandb.init(
            entity=tracking.entity,
            project=tracking.project,
            id=record.id,
            name=record.name,
            group=record.group,
            job_type=record.job_type,
            tags=record.tags,
            notes=record.notes,
            config=record.config,
            settings=settings(tracking),
        ) as run,
    ):
        url = run.url if tracking.mode == "online" else None
        announce(stage="making the pictures", seconds=READING)
        content = record.values | media(record)
        announce(stage="logging the curves", seconds=patience)
        last = log_curves(run, record.curves)
        # One call per table, so that a dead server is noticed after one of them.
        for name, table in record.tables.items():
            seconds = READING + table.height / ROWS_PER_SECOND
            announce(stage=f"making the table {name}", seconds=seconds)
            columns: list[str | int] = [*table.columns]
            made = wandb.Table(columns=columns, data=[list(row) for row in table.rows()])
            seconds = patience + table.height * table.width / CELLS_PER_SECOND
            announce(stage=f"logging {name}", seconds=seconds)
            run.log({name: made}, step=last, commit=False)
        announce(stage="logging the values", seconds=patience)
        run.log(content, step=last)
        log_artifact(run, record, tracking, announce)
        announce(stage="finishing", seconds=patience + bytes_in(OWN) / BYTES_PER_SECOND)
    raise_lost_uploads(Path(run.dir).parent / "logs" / "debug-internal.log")
    announce(sent=record.artifact, url=url)


def log_curves(run: Any, curves: Mapping[str, Curves]) -> int:
    """Log curves as rows of history, one point of each curve per row; return the next step.

    Points where a null has a share of 0 are left out: a logarithmic axis has no place for them.
    """
    for name, found in curves.items():
        for key in (f"{name}/at_least", *(f"{name}/null_{null}" for null in found.shares)):
            run.define_metric(key, summary="none", hidden=True)
    rows = max((len(found.values) for found in curves.values()), default=0)
    for place in range(rows):
        row: dict[str, float] = {}
        for name, found in curves.items():
            if place < len(found.values):
                row[f"{name}/at_least"] = float(found.values[place])
                row |= {
                    f"{name}/null_{null}": float(shares[place])
                    for null, shares in found.shares.items()
                    if shares[place] > 0
                }
        run.log(row, step=place)
    return rows


def raise_lost_uploads(log: Path) -> None:
    """Raise RuntimeError if wandb has given up an upload.

    It then finishes the run without an error and reports the loss only in its log.
    """
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        said = json.loads(line)
        if said["level"] == FATAL:
            raise RuntimeError(said["msg"])


def log_artifact(run: Any, record: Record, tracking: Tracking, announce: Announce) -> None:
    import wandb

    patience = tracking.patience
    if tracking.mode == "online":
        for name in record.uses:
            announce(stage=f"looking up the artifact {name}", seconds=patience)
            run.use_artifact(f"{run.entity}/{run.project}/{name}:latest")
    artifact = wandb.Artifact(record.artifact, type="result", metadata={"made_from": record.uses})
    size = 0
    for name, path in record.files.items():
        # Without a copy: files of a result are replaced as a whole and never changed.
        artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)
        size += path.stat().st_size
    announce(stage="sending the files", seconds=patience + size / BYTES_PER_SECOND)
    logged = run.log_artifact(artifact)
    if tracking.mode == "online":
        logged.wait()  # raises where a file did not arrive


def media(record: Record) -> dict[str, Any]:
    """Return the histograms and images as objects of wandb."""
    import wandb
    from PIL import Image

    # as integers, which wandb writes without a fraction
    shown: dict[str, Any] = {
        name: wandb.Histogram(np_histogram=(weights.astype(np.int64), edges))
        for name, (weights, edges) in record.histograms.items()
    }
    for name, (made, caption) in record.images.items():
        opened = str(made) if isinstance(made, Path) else Image.open(BytesIO(made))
        shown[name] = wandb.Image(opened, caption=caption)
    return shown


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def keep_all_rows(record: Record) -> None:
    """Raise the limit, an attribute of the class, at which wandb silently truncates a table."""
    import wandb

    longest = max((table.height for table in record.tables.values()), default=0)
    wandb.Table.MAX_ROWS = max(wandb.Table.MAX_ROWS, longest)
    wandb.Table.MAX_ARTIFACT_ROWS = max(wandb.Table.MAX_ARTIFACT_ROWS, longest)


def replace_earlier(run_id: str) -> None:
    """Remove what earlier processes left of this run."""
    for left in (*OWN.glob(f"run-*-{run_id}"), *OWN.glob(f"offline-run-*-{run_id}")):
        shutil.rmtree(left)
    shutil.rmtree(OWN / "data", ignore_errors=True)


@contextlib.contextmanager
def staging_relatively() -> Iterator[None]:
    """Make a run refer to the files of its artifacts by paths relative to the result.

    wandb stages copies under absolute paths, so `wandb sync` of a moved directory silently omits
    the artifacts. There is no setting or public hook for this. Raises AttributeError if wandb no
    longer works this way.
    """
    from wandb.sdk.artifacts.artifact import Artifact

    original = Artifact._add_local_file

    def relative(self: Artifact, *arguments: Any, **named: Any) -> Any:
        entry = original(self, *arguments, **named)
        if entry.local_path is not None:
            entry.local_path = os.path.relpath(entry.local_path)
        return entry

    with patch.object(Artifact, "_add_local_file", relative):
        yield


def settings(tracking: Tracking) -> Any:
    """Return settings that record only what is logged, and retry within the patience."""
    import wandb

    timeout = max(1, int(tracking.patience / 2))
    return wandb.Settings(
        mode="online" if tracking.mode == "online" else "offline",
        console="off",
        silent=True,
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        host="",
        init_timeout=tracking.patience,
        login_timeout=tracking.patience,
        x_graphql_retry_max=1,
        x_graphql_retry_wait_min_seconds=0.5,
        x_graphql_retry_wait_max_seconds=1,
        x_graphql_timeout_seconds=timeout,
        x_file_stream_retry_max=1,
        x_file_stream_retry_wait_min_seconds=0.5,
        x_file_stream_retry_wait_max_seconds=1,
        x_file_stream_timeout_seconds=timeout,
        x_file_transfer_retry_max=1,
        x_file_transfer_retry_wait_min_seconds=0.5,
        x_file_transfer_retry_wait_max_seconds=1,
    )


def main() -> int:
    """Do the task in the first argument. A failure is reported on stdout and returns 1."""
    task = json.loads(sys.argv[1])
    stream = os.fdopen(os.dup(1), "w", buffering=1)

    def announce(**content: Any) -> None:
        stream.write(json.dumps(content) + "\n")

    os.chdir(task["folder"])
    with contextlib.redirect_stdout(sys.stderr):
        try:
            announce(stage="reading the result", seconds=READING)
            tracking = Tracking(**task["tracking"])
            of_sweep = Path(COMBINED).is_file()
            record = (sweep_record if of_sweep else run_record)(Path(), task["group"])
            record.tags = tags(*record.tags, *tracking.tags)
            if tracking.name and not of_sweep:
                record.name = tracking.name
            send(record, tracking, announce)
        except Exception as error:
            announce(failed=one_line(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
