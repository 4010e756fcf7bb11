"""The state of a result folder.

Everything that reads results uses this module: run, sweep, track, figure, report, examples, collect
and the Python API.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from otherview.disk.fingerprint import code_version, same_version
from otherview.models.input_files import changed_input
from otherview.passes.unfinished import FOLDER
from otherview.results.integrity import DamageError, VerifiedStamps, read_sealed
from otherview.results.status import STATUS, Working, is_alive, read_status

FINISHED = "finished"
"""State in status.json of a run that ended well."""
SUMMARY, COMBINED, COMPARISON = "summary.json", "combined.json", "comparison.json"
SWEEP = ".sweep"
"""Folder of internal files in the directory of a sweep."""
VERIFIED = "verified.json"
"""File in SWEEP with the stamps of hashed results."""
NOBODY: Working = {}
"""What is known of jobs if Slurm was not asked."""
MAX_ATTEMPTS = 3
"""Starts in a row that ended early and kept nothing, after which a run counts as failed."""
ASKED = ("SIGTERM", "SIGINT")
"""Ends that a person or a preemption asked for: they say nothing of the run."""


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


NAMES = {
    Kind.WHOLE: "done",
    Kind.RUNNING: "running",
    Kind.FAILED: "failed",
    Kind.DAMAGED: "damaged",
    Kind.INTERRUPTED: "missing",
    Kind.MISSING: "missing",
}
"""What a sweep calls the states of its points."""


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
    changed: str = ""
    """Whole, and made from another picture or other weights than its settings name now: which."""
    made_again: bool = False
    """Whole, and a worker is making it again."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """Content of status.json; empty if it cannot be read."""

    def __str__(self) -> str:
        """Return the kind and the reason, as one line."""
        return ": ".join(part for part in (self.kind, self.file, self.reason) if part)

    @property
    def machine_failed(self) -> bool:
        """Whether the machine caused a failure, so that another try makes sense."""
        return self.kind is Kind.FAILED and self.status.get("cause") == "machine"

    def owes(self, since: str = "", rerun: str = "missing") -> str:
        """Return why a whole result is to be made again; empty if it is what was asked for.

        `since` names the submission from which on results count; `rerun` is a launcher's setting.
        """
        finished = self.status.get("state") == FINISHED
        made = str(self.status.get("submission", "")) if finished else ""
        if made < since:
            return f"to be made again: rerun=all in submission {since}"
        if rerun == "outdated" and self.outdated:
            return "made by another version of otherview or of a library"
        return self.changed

    def in_sweep(self, since: str = "") -> str:
        """Return what a sweep calls the state of a point whose results count from `since` on:
        done, running, failed, missing, outdated or damaged."""
        if self.made_again:
            return "running"
        if self.kind is Kind.WHOLE and (owed := self.owes(since)):
            return "outdated" if owed == self.changed else "missing"
        return NAMES[self.kind]

    @property
    def worker(self) -> str:
        """Machine and job or process that the result runs or ran on."""
        job, process = self.status.get("job"), self.status.get("process")
        return f"{self.status.get('host')}, {f'job {job}' if job else f'process {process}'}"


def state_of(
    folder: Path,
    working: Working = NOBODY,
    verified: VerifiedStamps | None = None,
) -> ResultState:
    """Return the state of the run or the combined sweep in `folder`.

    Files that are unchanged since they were written, or since they were hashed (`verified`), are
    not read. `working` is what Slurm says of jobs; a result of a job that is not in it
    counts as running while its status.json is touched.
    """
    return examine(folder, working, verified)[0]


def examine(
    folder: Path,
    working: Working = NOBODY,
    verified: VerifiedStamps | None = None,
    hash_all: bool = False,
) -> tuple[ResultState, dict[str, Any]]:
    """Return `state_of` with the content of the JSON file of a result; empty if not whole.

    `hash_all` reads every file of a run, also those that seem untouched.
    """
    if (folder / COMBINED).is_file():
        return examine_sealed(folder / COMBINED, VerifiedStamps(folder / SWEEP / VERIFIED))
    if is_comparison(folder):
        return examine_sealed(folder / COMPARISON)
    status, stamps = read_status(folder)
    known = verified.of(folder.name) if verified else {}
    trusted = {} if hash_all else stamps | known
    try:
        content, found = read_sealed(folder / SUMMARY, trusted)
    except DamageError as error:
        return state_without_result(folder, error, status, working), {}
    if verified and found not in (known, stamps):
        verified.put(folder.name, found)
    origin = content.get("provenance", {})
    state = ResultState(
        Kind.WHOLE,
        outdated=not same_version(origin, code_version()),
        changed=changed_input(origin.get("inputs", {}), verified.contents if verified else None),
        made_again=status.get("state") == "running" and is_alive(folder, status, working),
        status=status,
    )
    return state, content


def examine_sealed(
    file: Path, verified: VerifiedStamps | None = None
) -> tuple[ResultState, dict[str, Any]]:
    """Examine a combined result, whose tables are hashed once if untouched, or a comparison."""
    trusted = verified.of(".") if verified else {}
    try:
        content, found = read_sealed(file, trusted)
    except DamageError as error:
        return ResultState(Kind.DAMAGED, error.reason, error.file), {}
    if verified and found != trusted:
        verified.put(".", found)
        verified.save()
    return ResultState(Kind.WHOLE), content


def is_comparison(folder: Path) -> bool:
    """Return whether a folder holds a comparison of two results; a run in it counts more."""
    return (folder / COMPARISON).is_file() and not (folder / STATUS).exists()


def state_without_result(
    folder: Path,
    damage: DamageError,
    status: Mapping[str, Any],
    working: Working,
) -> ResultState:
    """Return the state of a folder whose files do not make a whole result."""
    state = status.get("state")
    state_of_run = ResultState(Kind.RUNNING, status=status)
    if state == "running" and is_alive(folder, status, working):
        return state_of_run
    begun = (folder / damage.file).exists() or damage.file != SUMMARY
    if state == "failed":
        lines = str(status.get("error", "")).strip().splitlines()
        return ResultState(Kind.FAILED, lines[-1] if lines else "no reason was left", status=status)
    if state == FINISHED or begun:
        return ResultState(Kind.DAMAGED, damage.reason, damage.file, status=status)
    if state == "running":
        return cut_short(folder, f"its worker is gone ({state_of_run.worker})", status)
    if state == "interrupted":
        return cut_short(folder, f"stopped on {status.get('host')}", status)
    if not folder.is_dir():
        return ResultState(Kind.MISSING, "there is no such folder")
    if (folder / SWEEP).is_dir():
        reason = (
            f"a sweep that was not combined yet: otherview sweep collect {shlex.quote(str(folder))}"
        )
        return ResultState(Kind.MISSING, reason)
    return ResultState(Kind.MISSING, f"there is no {SUMMARY} and no {COMBINED} in it")


def cut_short(folder: Path, reason: str, status: Mapping[str, Any]) -> ResultState:
    """Return the state of a run that ended early for `reason`: failed once it did so too often."""
    starts = fruitless(folder, status)
    if starts >= MAX_ATTEMPTS:
        reason = f"given up: {starts} starts in a row ended before they kept anything; {reason}"
        return ResultState(Kind.FAILED, reason, status=status)
    if starts:
        reason += f"; start {starts} of {MAX_ATTEMPTS} that kept nothing"
    return ResultState(Kind.INTERRUPTED, reason, status=status)


def account(folder: Path, attempt: int) -> dict[str, int]:
    """Return what a start leaves in `status.json` for the next: which it is, and what was kept."""
    return {"attempt": attempt, "kept": newest_batch(folder)}


def fruitless(folder: Path, status: Mapping[str, Any]) -> int:
    """Return how many starts in a row, up to the one that left `status`, kept nothing.

    A start counts if it ended early by itself or at the time limit. The machine's failures and
    ends that somebody asked for do not count, and any batch that was kept begins a new count.
    """
    state, attempt = status.get("state"), int(status.get("attempt", 0))
    if attempt == 0 or state not in ("running", "interrupted", "failed"):
        return 0
    if newest_batch(folder) > int(status.get("kept", 0)):
        return 0
    if state == "failed":
        return attempt - 1 if status.get("cause") == "machine" else 0
    return attempt - 1 if status.get("signal") in ASKED else attempt


def newest_batch(folder: Path) -> int:
    """Return when the newest batch was kept that an unfinished run has, in nanoseconds; or 0."""
    try:
        return max((file.stat().st_mtime_ns for file in (folder / FOLDER).iterdir()), default=0)
    except OSError:
        return 0
