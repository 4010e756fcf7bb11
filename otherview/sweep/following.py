"""Where a sweep stands: what the folders of its points are, and what the queue says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from otherview.results.integrity import VerifiedStamps
from otherview.results.state import SWEEP, VERIFIED, Kind, ResultState, state_of
from otherview.sweep.jobs import is_working, live_tasks, slurm_states
from otherview.sweep.points import Point
from otherview.sweep.submissions import (
    Jobs,
    Submission,
    planned_points,
    read_jobs,
    read_submissions,
)
from otherview.views.progress_bars import open_bars

LOOK_INTERVAL_S = 2.0
"""Seconds between two looks at the files of a sweep that is followed."""
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
class Standing:
    """A sweep at one moment."""

    submissions: list[Submission]
    points: list[Point]
    """All that was planned."""
    states: dict[str, ResultState]
    """By identity."""
    jobs: dict[str, Jobs]
    """What submissions were started as, by their name."""
    queue: dict[str, str] | None
    """State of every task that Slurm's queue knows; None where it gives no answer."""
    busy: dict[str, str]
    """Points that are not done and that a live task runs or will run: by which submission."""

    def of(self, name: str) -> list[Point]:
        """Return the planned points that are done, running, failed, damaged or missing."""
        return [p for p in self.points if NAMES[self.states[p.identity].kind] == name]


def look(directory: Path) -> Standing:
    """Read the whole sweep; raises StudyError where there is none."""
    submissions = read_submissions(directory)
    points = planned_points(submissions)
    jobs = {s.name: started for s in submissions if (started := read_jobs(s)) is not None}
    queue = slurm_states(list(jobs.values()))
    states = point_states(directory, points, queue)
    busy = {
        identity: f"submission {state.status.get('submission', '?')}"
        for identity, state in states.items()
        if state.kind is Kind.RUNNING
    }
    for submission in submissions:
        if (started := jobs.get(submission.name)) is None:
            continue
        kind = "job" if started.kind == "slurm" else "processes"
        for task in live_tasks(started, queue):
            for point in submission.share(task):
                state = states[point.identity]
                tried = state.status.get("submission") == submission.name
                if state.kind is not Kind.WHOLE and not (state.kind is Kind.FAILED and tried):
                    name = f"submission {submission.name} ({kind} {', '.join(started.ids)})"
                    busy.setdefault(point.identity, name)
    return Standing(submissions, points, states, jobs, queue, busy)


def point_states(
    directory: Path, points: Sequence[Point], queue: dict[str, str] | None
) -> dict[str, ResultState]:
    """Return the states of `points` by identity; `queue` as `slurm_states` gives it."""
    working = None if queue is None else {name for name, s in queue.items() if is_working(s)}
    verified = VerifiedStamps(directory / SWEEP / VERIFIED)
    states = {
        point.identity: state_of(directory / point.folder, working, verified) for point in points
    }
    verified.save()
    return states


def follow(submission: Submission, jobs: Jobs, console: Console) -> list[str]:
    """Show a bar until no task of `submission` is left; return the points that are not done.

    Ctrl-C ends the watching, not the tasks.
    """
    points = [point for task in range(len(submission.shares)) for point in submission.share(task)]
    try:
        with open_bars(console) as bars:
            bar = bars.add_task("points", total=len(points))
            while True:
                queue = slurm_states([jobs])
                unknown = queue is None and jobs.kind == "slurm"
                alive = unknown or live_tasks(jobs, queue)
                states = point_states(submission.directory, points, queue)
                counts = Counter(NAMES[state.kind] for state in states.values())
                waiting = sum(state.startswith("PENDING") for state in (queue or {}).values())
                line = f"{counts['running']} running, {counts['failed']} failed"
                line += f", {waiting} tasks waiting" if waiting else ""
                bars.update(bar, completed=counts["done"], description=line)
                if not alive or counts["done"] == len(points):
                    break
                time.sleep(LOOK_INTERVAL_S)
    except KeyboardInterrupt:
        console.print("no longer watched; the tasks go on")
        raise
    return [identity for identity, state in states.items() if state.kind is not Kind.WHOLE]
