"""How often a run was started in a row without getting any further."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otherview.passes.unfinished import FOLDER

MAX_ATTEMPTS = 3
"""Starts in a row that ended early and kept nothing, after which a run counts as failed."""
ASKED = ("SIGTERM", "SIGINT")
"""Ends that a person or a preemption asked for: they say nothing of the run."""


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
