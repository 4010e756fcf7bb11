"""How far the points of a sweep are, read from nothing but their folders."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from otherview.disk.fingerprint import code_version, same_version
from otherview.results.writing import read_status, whole_summary
from otherview.sweep.points import Point

State = Literal["done", "running", "failed", "missing"]

SILENCE = 180.0
"""Seconds without a sign of life after which a running point counts as abandoned."""
BEAT = 20.0
"""Seconds between two signs of life of a running point."""


@dataclass(frozen=True)
class PointState:
    """What a point's folder says."""

    state: State
    """missing: never begun, or begun and abandoned (`reason` says how)."""
    status: Mapping[str, Any]
    """The content of `status.json`, empty where there is none."""
    outdated: bool = False
    """Whether it is done by another version of the code or of a library."""
    reason: str = ""
    """Last line of the error of a failed point; what became of one that is missing."""

    @property
    def machine_failed(self) -> bool:
        """Whether a failure was the machine's, so that another try is worth it."""
        return self.state == "failed" and self.status.get("cause") == "machine"


def state_of(point: Point, directory: Path, live_jobs: Collection[str] | None = None) -> PointState:
    """The state of `point`.

    `live_jobs` are the jobs that Slurm knows to run; without it a point of a job counts as running
    while its `status.json` is touched.
    """
    folder = directory / point.folder
    summary = whole_summary(folder)
    status = read_status(folder) or {}
    if summary is not None:
        outdated = not same_version(summary.get("provenance", {}), code_version())
        return PointState("done", status, outdated)
    if status.get("state") == "failed":
        lines = str(status.get("error", "")).strip().splitlines()
        return PointState("failed", status, reason=lines[-1] if lines else "no reason was left")
    if status.get("state") == "running":
        if is_alive(folder, status, live_jobs):
            return PointState("running", status)
        where = f"{status.get('host')}, {worker(status)}"
        return PointState("missing", status, reason=f"its worker is gone ({where})")
    if status.get("state") == "interrupted":
        return PointState("missing", status, reason=f"interrupted on {status.get('host')}")
    if status.get("state") == "finished":
        return PointState("missing", status, reason="a file of its result is damaged")
    return PointState("missing", status)


def where(state: PointState) -> str:
    """Machine and process or job of a point that runs."""
    return f"{state.status.get('host')}, {worker(state.status)}"


def worker(status: Mapping[str, Any]) -> str:
    return f"job {status['job']}" if "job" in status else f"process {status.get('process')}"


def is_alive(folder: Path, status: Mapping[str, Any], live_jobs: Collection[str] | None) -> bool:
    if "job" in status and live_jobs is not None:
        return str(status["job"]) in live_jobs
    if status.get("host") == socket.gethostname() and not process_runs(status.get("process")):
        return False
    try:
        return time.time() - (folder / "status.json").stat().st_mtime < SILENCE
    except FileNotFoundError:
        return False


def process_runs(process: object) -> bool:
    """Whether a process of this machine is there and has not ended."""
    if not isinstance(process, int):
        return False
    with suppress(OSError):  # where there is a /proc; a process that nobody waited for lingers
        line = Path(f"/proc/{process}/stat").read_text()
        return line.rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
