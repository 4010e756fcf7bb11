"""Where a sweep stands: its points' folders, and beside them what the queue says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from otherview.sweep.jobs import is_working, live_tasks, slurm_states
from otherview.sweep.point_states import PointState, state_of
from otherview.sweep.points import Point
from otherview.sweep.submissions import (
    Jobs,
    Submission,
    planned_points,
    read_jobs,
    read_submissions,
)

BETWEEN_LOOKS = 2.0
"""Seconds between two looks at the files of a sweep that is followed."""


@dataclass(frozen=True)
class Standing:
    """A sweep at one moment."""

    submissions: list[Submission]
    points: list[Point]
    """All that was planned."""
    states: dict[str, PointState]
    """By identity."""
    jobs: dict[str, Jobs]
    """What submissions were started as, by their name."""
    queue: dict[str, str] | None
    """State of every task that Slurm's queue knows; None where it gives no answer."""
    busy: dict[str, str]
    """Points that are not done and that a live task runs or will come to: what is at them."""

    def of(self, state: str) -> list[Point]:
        """The planned points in a state."""
        return [point for point in self.points if self.states[point.identity].state == state]


def look(directory: Path) -> Standing:
    """Reads the whole sweep; raises StudyError where there is none."""
    submissions = read_submissions(directory)
    points = planned_points(submissions)
    jobs = {s.name: started for s in submissions if (started := read_jobs(s)) is not None}
    queue = slurm_states(list(jobs.values()))
    working = None if queue is None else {name for name, s in queue.items() if is_working(s)}
    states = {point.identity: state_of(point, directory, working) for point in points}
    busy = {
        identity: worker_of(state) for identity, state in states.items() if state.state == "running"
    }
    for submission in submissions:
        if submission.name not in jobs:
            continue
        started = jobs[submission.name]
        for task in live_tasks(started, queue):
            for point in submission.share(task):
                state = states[point.identity]
                waits = state.state == "missing" or (
                    state.state == "failed" and state.status.get("submission") != submission.name
                )
                if waits:
                    busy.setdefault(point.identity, name_of(submission, started))
    return Standing(submissions, points, states, jobs, queue, busy)


def name_of(submission: Submission, jobs: Jobs) -> str:
    what = "job" if jobs.kind == "slurm" else "processes"
    return f"submission {submission.name} ({what} {', '.join(jobs.ids)})"


def worker_of(state: PointState) -> str:
    return f"submission {state.status.get('submission', '?')}"


def follow(submission: Submission, jobs: Jobs, console: Console) -> list[str]:
    """Shows a bar until no task of `submission` is left; returns the points that are not done.

    Ctrl-C ends the watching, not the tasks.
    """
    points = [point for task in range(len(submission.shares)) for point in submission.share(task)]
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("points", total=len(points))
            while True:
                queue = slurm_states([jobs])
                alive = may_be_alive(jobs, queue)
                working = None if queue is None else {n for n, s in queue.items() if is_working(s)}
                states = [state_of(point, submission.directory, working) for point in points]
                bars.update(task, completed=count(states, "done"), description=line(states, queue))
                if not alive or count(states, "done") == len(points):
                    break
                time.sleep(BETWEEN_LOOKS)
    except KeyboardInterrupt:
        console.print("no longer watched; the tasks go on")
        raise
    return [p.identity for p, s in zip(points, states, strict=True) if s.state != "done"]


def may_be_alive(jobs: Jobs, queue: Mapping[str, str] | None) -> bool:
    return (queue is None and jobs.kind == "slurm") or bool(live_tasks(jobs, queue))


def count(states: list[PointState], state: str) -> int:
    return sum(found.state == state for found in states)


def line(states: list[PointState], queue: Mapping[str, str] | None) -> str:
    parts = [f"{count(states, name)} {name}" for name in ("running", "failed")]
    waiting = sum(state.startswith("PENDING") for state in (queue or {}).values())
    return ", ".join([*parts, *([f"{waiting} tasks waiting"] if waiting else [])])
