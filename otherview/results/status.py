"""status.json: the state of a run while it works and after it ends."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from otherview.disk.atomic import write_json
from otherview.results.integrity import Stamps, settled

STATUS = "status.json"
BEAT = 20.0
"""Seconds between two signs of life of a run."""
MAX_SILENCE = 180.0
"""Seconds between a sign of life and now, either way, from which on it is none."""
Working = Mapping[str, bool]
"""Whether jobs work, by their id; a job that Slurm does not know is not in it."""


def write_status(folder: Path, state: str, error: str | None = None, **more: Any) -> None:
    """Write `status.json`: running, finished, failed (with the error) or interrupted."""
    status: dict[str, Any] = {
        "state": state,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }
    if error is not None:
        status["error"] = error
    write_json(folder / STATUS, status)


def read_status(folder: Path) -> tuple[dict[str, Any], Stamps]:
    """Return status.json without its stamps, and these; both empty if it cannot be read."""
    try:
        status = json.loads((folder / STATUS).read_bytes())
        written = (folder / STATUS).stat().st_mtime_ns
        return status, settled(status.pop("stamps", {}), written)
    except (OSError, ValueError, AttributeError, TypeError, LookupError):
        return {}, {}


@contextmanager
def signs_of_life(folder: Path) -> Iterator[None]:
    """Touch `status.json` regularly, so that others see that the run is alive."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with suppress(OSError):
                os.utime(folder / STATUS)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_alive(folder: Path, status: Mapping[str, Any], working: Working) -> bool:
    """Return whether a run whose `status` says running does run.

    Slurm is believed about the jobs that it knows, this machine about its processes. Of others
    only signs of life tell: `status.json` was touched within MAX_SILENCE of now, by the clock of
    the file system that holds it.
    """
    job = str(status.get("job"))
    if job in working:
        return working[job]
    if status.get("host") == socket.gethostname() and not process_runs(status.get("process")):
        return False
    try:
        touched = (folder / STATUS).stat().st_mtime
    except OSError:
        return False
    return abs(file_system_time(folder) - touched) < MAX_SILENCE


def file_system_time(folder: Path) -> float:
    """Return the time by the clock that dates files in `folder`, in seconds since the epoch.

    That of a file server may differ from this machine's, which is used where nothing can be
    written.
    """
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b".")
        probe.flush()
        os.fsync(probe.fileno())
        return os.fstat(probe.fileno()).st_mtime
    return time.time()


def process_runs(process: object) -> bool:
    """Return whether a process of this machine exists and has not ended."""
    if not isinstance(process, int) or process < 1:
        return False
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
