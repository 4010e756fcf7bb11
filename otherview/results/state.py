"""The state of a result folder.

Everything that reads results uses this module: run, sweep, track, figure, report, examples, collect
and the Python API.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from otherview.disk.fingerprint import code_version, same_version
from otherview.results.integrity import DamageError, VerifiedStamps, read_sealed
from otherview.results.status import is_alive, read_status

SUMMARY, COMBINED = "summary.json", "combined.json"
SWEEP = ".sweep"
"""Folder of internal files in the directory of a sweep."""
VERIFIED = "verified.json"
"""File in SWEEP with the stamps of hashed results."""


class Kind(StrEnum):
    """The kinds of folders."""

    WHOLE = "whole"
    """Every file is as it was written."""
    DAMAGED = "damaged"
    """It was finished, but a file is missing or has changed since."""
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Stopped by the user or by Slurm, or its process is gone."""
    FAILED = "failed"
    MISSING = "missing"
    """No run was started here."""


@dataclass(frozen=True)
class ResultState:
    """The kind of a folder, and the reason."""

    kind: Kind
    reason: str = ""
    """Empty for a whole result."""
    file: str = ""
    """The damaged file."""
    outdated: bool = False
    """Whole, and made by another version of the code or of a library."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """Content of status.json; empty if it cannot be read."""

    def __str__(self) -> str:
        """Return the kind and the reason, as one line."""
        return ": ".join(part for part in (self.kind, self.file, self.reason) if part)

    @property
    def machine_failed(self) -> bool:
        """Whether the machine caused a failure, so that another try makes sense."""
        return self.kind is Kind.FAILED and self.status.get("cause") == "machine"

    @property
    def worker(self) -> str:
        """Machine and job or process that the result runs or ran on."""
        job, process = self.status.get("job"), self.status.get("process")
        return f"{self.status.get('host')}, {f'job {job}' if job else f'process {process}'}"


def state_of(
    folder: Path,
    live_jobs: Collection[str] | None = None,
    verified: VerifiedStamps | None = None,
) -> ResultState:
    """Return the state of the run or the combined sweep in `folder`.

    Files that are unchanged since they were written, or since they were hashed (`verified`), are
    not read. `live_jobs` are the jobs that Slurm knows to run; without it a result of a
    job counts as running while its status.json is touched.
    """
    return examine(folder, live_jobs, verified)[0]


def examine(
    folder: Path,
    live_jobs: Collection[str] | None = None,
    verified: VerifiedStamps | None = None,
    hash_all: bool = False,
) -> tuple[ResultState, dict[str, Any]]:
    """Return `state_of` with the content of summary.json or combined.json; empty if not whole.

    `hash_all` reads every file of a run, also those that seem untouched.
    """
    if (folder / COMBINED).is_file():
        return examine_combined(folder)
    status, stamps = read_status(folder)
    known = verified.of(folder.name) if verified else {}
    trusted = {} if hash_all else stamps | known
    try:
        content, found = read_sealed(folder / SUMMARY, trusted)
    except DamageError as error:
        return state_without_result(folder, error, status, live_jobs), {}
    if verified and found not in (known, stamps):
        verified.put(folder.name, found)
    outdated = not same_version(content.get("provenance", {}), code_version())
    return ResultState(Kind.WHOLE, outdated=outdated, status=status), content


def examine_combined(folder: Path) -> tuple[ResultState, dict[str, Any]]:
    """Examine a combined result; its tables can be large, so they are hashed once if untouched."""
    verified = VerifiedStamps(folder / SWEEP / VERIFIED)
    try:
        content, found = read_sealed(folder / COMBINED, verified.of("."))
    except DamageError as error:
        return ResultState(Kind.DAMAGED, error.reason, error.file), {}
    if found != verified.of("."):
        verified.put(".", found)
        verified.save()
    return ResultState(Kind.WHOLE), content


def state_without_result(
    folder: Path,
    damage: DamageError,
    status: Mapping[str, Any],
    live_jobs: Collection[str] | None,
) -> ResultState:
    """Return the state of a folder whose files do not make a whole result."""
    state = status.get("state")
    state_of_run = ResultState(Kind.RUNNING, status=status)
    if state == "running" and is_alive(folder, status, live_jobs):
        return state_of_run
    begun = (folder / damage.file).exists() or damage.file != SUMMARY
    if state == "failed":
        lines = str(status.get("error", "")).strip().splitlines()
        return ResultState(Kind.FAILED, lines[-1] if lines else "no reason was left", status=status)
    if state == "finished" or begun:
        return ResultState(Kind.DAMAGED, damage.reason, damage.file, status=status)
    if state == "running":
        reason = f"its worker is gone ({state_of_run.worker})"
        return ResultState(Kind.INTERRUPTED, reason, status=status)
    if state == "interrupted":
        return ResultState(Kind.INTERRUPTED, f"stopped on {status.get('host')}", status=status)
    if not folder.is_dir():
        return ResultState(Kind.MISSING, "there is no such folder")
    if (folder / SWEEP).is_dir():
        reason = (
            f"a sweep that was not combined yet: otherview sweep collect {shlex.quote(str(folder))}"
        )
        return ResultState(Kind.MISSING, reason)
    return ResultState(Kind.MISSING, f"there is no {SUMMARY} and no {COMBINED} in it")
