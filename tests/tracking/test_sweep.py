"""A sweep sent whole: its points, and a run that stands for it and was made from theirs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from otherview.views.tracking.record import identity_of
from otherview.views.tracking.sweep_record import sweep_record
from tests.conftest import SHORT, THREE_CREATURES, Program
from tests.tracking.loopback import KEY, Loopback, loopback_server
from tests.tracking.test_offline import run_wandb


@dataclass
class Held:
    """What a server had at one time."""

    finished: dict[str, int]
    rows: dict[str, int]
    media: dict[str, set[str]]
    artifacts: set[tuple[str, str, frozenset[str]]]

    @classmethod
    def of(cls, server: Loopback) -> Held:
        return cls(
            finished=dict(server.finished),
            rows={run: len(server.rows(run)) for run in server.runs},
            media={run: {*filter(is_media, files)} for run, files in server.files.items()},
            artifacts={(one.name, one.digest, frozenset(one.used_by)) for one in server.artifacts},
        )


def is_media(name: str) -> bool:
    return name.startswith("media/")


@dataclass
class Sent:
    """A sweep after it was sent twice."""

    folder: Path
    points: list[Path]
    server: Loopback
    done: list[subprocess.CompletedProcess[str]]
    held: list[Held]
    """After either time."""


@pytest.fixture(scope="module")
def sweep(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A combined sweep of two templates over three creatures, which was not tracked."""
    folder = tmp_path_factory.mktemp("swept") / "kitchen"
    done = program(
        "run", "-m", "+experiment=kitchen", "model=pocket", "capture=heads", "tracking=off",
        "templates=viewpoint,matched", SHORT, THREE_CREATURES, f"hydra.sweep.dir={folder}",
        cwd=folder.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = program("sweep", "collect", str(folder), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sent(sweep: Path, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """The sweep, sent twice by the command line."""
    folder = tmp_path_factory.mktemp("sent") / "kitchen"
    shutil.copytree(sweep, folder)
    with pytest.MonkeyPatch.context() as patch, loopback_server() as server:
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        done: list[subprocess.CompletedProcess[str]] = []
        held: list[Held] = []
        for _ in range(2):
            done.append(program("track", str(folder), "--online", cwd=folder.parent))
            held.append(Held.of(server))
        points = sorted(path.parent for path in folder.glob("*/summary.json"))
        yield Sent(folder, points, server, done, held)


def test_all_points_and_the_summary_arrive_as_one_group(sent: Sent) -> None:
    assert [done.returncode for done in sent.done] == [0, 0], sent.done[0].stderr
    assert sent.server.unknown == []
    identities = {identity_of(point) for point in sent.points}
    summary = sweep_record(sent.folder).id
    assert len(identities) == 2
    assert sent.server.finished == dict.fromkeys({*identities, summary}, 0)
    assert {run["groupName"] for run in sent.server.runs.values()} == {"kitchen"}
    kinds = {name: run["jobType"] for name, run in sent.server.runs.items()}
    assert kinds == {**dict.fromkeys(identities, "run"), summary: "sweep"}


def test_the_tables_of_the_sweep_arrive_row_by_row(sent: Sent) -> None:
    record = sweep_record(sent.folder)
    (row,) = sent.server.rows(record.id)
    assert {"sweep/points", "sweep/tests", "heads/combined"} <= record.tables.keys()
    for name, table in record.tables.items():
        arrived = json.loads(sent.server.files[record.id][row[name]["path"]])
        assert arrived["columns"] == table.columns
        assert arrived["data"] == [list(cells) for cells in table.rows()]
    assert {name: row[name] for name in record.values} == record.values


def test_the_summary_was_made_from_the_points(sent: Sent) -> None:
    summary = sweep_record(sent.folder).id
    for point in sent.points:
        artifact = sent.server.artifact(f"result-{identity_of(point)}")
        assert artifact.state == "COMMITTED"
        assert artifact.run == identity_of(point)
        assert set(artifact.used_by) == {summary}
        assert artifact.files["heads.parquet"] == (point / "heads.parquet").read_bytes()
    combined = sent.server.artifact(f"result-{summary}")
    assert combined.run == summary
    assert combined.state == "COMMITTED"
    for name in ("combined.json", "combined_heads.parquet", "sweep.parquet", "report.html"):
        assert combined.files[name] == (sent.folder / name).read_bytes()


def test_sending_the_sweep_again_duplicates_nothing(sent: Sent) -> None:
    first, again = sent.held
    assert again == first
    for run in sent.server.runs:
        assert sum("heads/units" in row for row in sent.server.rows(run)) == 1
    assert len(again.artifacts) == len(sent.server.artifacts)


def test_the_summary_written_offline_is_synced_whole(
    sweep: Path, tmp_path: Path, program: Program, loopback: Loopback
) -> None:
    folder = tmp_path / "kitchen"
    shutil.copytree(sweep, folder)
    refused = program("track", str(folder), "--offline", "--name", "one", cwd=tmp_path)
    assert "runs are named by their directories" in refused.stderr
    done = program("track", str(folder), "--offline", "--tag", "reviewed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert loopback.requests == []
    moved = folder.rename(tmp_path / "elsewhere")
    (offline,) = (moved / "wandb").glob("offline-run-*")
    run_wandb("sync", str(offline.relative_to(moved)), cwd=moved)
    (summary,) = loopback.runs
    assert loopback.runs[summary]["jobType"] == "sweep"
    assert "reviewed" in loopback.runs[summary]["tags"]
    artifact = loopback.artifact(f"result-{summary}")
    assert artifact.state == "COMMITTED"
    assert artifact.files["combined.json"] == (moved / "combined.json").read_bytes()
    heads = pl.read_parquet(moved / "combined_heads.parquet")
    (row,) = loopback.rows(summary)
    arrived = json.loads(loopback.files[summary][row["heads/combined"]["path"]])
    assert len(arrived["data"]) == heads.height
