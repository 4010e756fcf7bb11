"""Starts the process that sends a result, and ends it when it is late."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import otherview
from otherview.study.tracking import MISSING, Tracking, installed

STARTING = 120.0
"""Seconds in which Python and its libraries are to be loaded."""


class TrackingError(RuntimeError):
    """A result was not sent; the message says why in one line."""


def send_result(folder: Path, tracking: Tracking, group: str | None = None) -> str | None:
    """Write (offline) or send (online) the result in `folder`; return its address, if online.

    Earlier offline runs of the same result are replaced. Raises TrackingError, at the latest when a
    step has taken longer than it announced and `tracking.patience` allow.
    """
    if not installed():
        raise TrackingError(MISSING)
    own = folder / "wandb"
    own.mkdir(exist_ok=True)
    task = {
        "folder": str(folder.resolve()),
        "tracking": asdict(tracking),
        "group": group or tracking.group,
    }
    with started(task, own.resolve()) as (process, lines):
        try:
            return followed(process, lines, tracking)
        finally:
            end(process)
            shutil.rmtree(own / ".cache", ignore_errors=True)


def followed(
    process: subprocess.Popen[str], lines: queue.Queue[str | None], tracking: Tracking
) -> str | None:
    """Waits for every line of the process as long as the line before allows."""
    stage, allowed = "starting", STARTING
    while True:
        try:
            line = lines.get(timeout=allowed)
        except queue.Empty:
            waited = f"no answer for {allowed:.0f} s while {stage}"
            raise TrackingError(
                f"Weights & Biases: {waited} (tracking.patience={tracking.patience:g})"
            ) from None
        if line is None:
            raise TrackingError(
                f"Weights & Biases: the sending process ended with code {process.wait()} "
                f"while {stage}"
            )
        said: dict[str, Any] = json.loads(line)
        if "failed" in said:
            raise TrackingError(f"Weights & Biases, {stage}: {said['failed']}")
        if "sent" in said:
            process.wait()
            url: str | None = said["url"]
            return url
        stage, allowed = said["stage"], said["seconds"]


@contextmanager
def started(
    task: dict[str, Any], own: Path
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """The process and its lines, None at their end. Its stderr goes into the result's directory."""
    with (
        (own / "send.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "otherview.views.tracking.send", json.dumps(task)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(own),
            start_new_session=True,
        ) as process,
    ):
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=read, args=(process, lines), daemon=True).start()
        yield process, lines


def read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def end(process: subprocess.Popen[str]) -> None:
    """Ends the process and its children; wandb's own service ends when its parent is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(own: Path) -> dict[str, str]:
    """The user's, with every folder that wandb writes to inside the result's directory.

    Settings of other runs (an id, a resumed run, a sweep agent) stay outside; the key and the
    server's address are the user's.
    """
    kept = ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_HTTP_TIMEOUT")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WANDB_") or name in kept
    }
    package = str(Path(otherview.__file__).resolve().parent.parent)
    paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {
        "PYTHONPATH": os.pathsep.join(paths),
        "WANDB_DIR": str(own.parent),
        "WANDB_DATA_DIR": str(own / "data"),
        "WANDB_CACHE_DIR": str(own / ".cache"),
        "WANDB_ARTIFACT_DIR": str(own / ".cache"),
        "WANDB_CONFIG_DIR": str(own / ".cache"),
        "WANDB_ERROR_REPORTING": "false",
        "MPLBACKEND": "agg",
    }
