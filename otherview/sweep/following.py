"""Where a sweep stands: what the folders of its points are, and what the queue says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from otherview.results.integrity import VerifiedStamps
from otherview.results.state import SWEEP, VERIFIED, Kind, ResultState, state_of
from otherview.study.errors import StudyError
from otherview.sweep.points import Point
from otherview.sweep.submissions import (
    Jobs,
    Submission,
    planned_points,
    read_jobs,
    read_submissions,
)
from otherview.sweep.tasks import WORKING, is_any_of, live_tasks, slurm_states
from otherview.views.progress_bars import open_bars

LOOK_INTERVAL_S = 2.0
"""Seconds between two looks at the files of a sweep that is followed."""


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
    """State of every task that Slurm knows; None where it gives no answer."""
    busy: dict[str, str]
    """Points that are not done and that a task runs, will run or may run: by which submission."""
    since: dict[str, str]
    """Submission from which on a result counts, by identity of points that are made again."""
    warnings: list[str]
    """Files of the sweep that cannot be read, one line each."""

    def name(self, identity: str) -> str:
        """Return done, running, failed, missing, outdated or damaged."""
        return self.states[identity].in_sweep(self.since.get(identity, ""))

    def of(self, name: str) -> list[Point]:
        """Return the planned points that `name` is the state of."""
        return [point for point in self.points if self.name(point.identity) == name]

    def live(self, submission: Submission) -> set[int]:
        """Return the tasks of a submission that run or wait, as far as anything tells."""
        return live_tasks(submission, self.jobs.get(submission.name), self.queue) | {
            task
            for task in range(len(submission.shares))
            if any(runs(self.states[p.identity], submission) for p in submission.share(task))
        }

    def unanswered(self, submission: Submission) -> set[int]:
        """Return the tasks of which Slurm gives no answer, and that did not end by themselves."""
        jobs = self.jobs.get(submission.name)
        if jobs is None or jobs.kind != "slurm" or self.queue is not None:
            return set()
        logs = (jobs.log(submission, task).parent for task in range(jobs.tasks))
        return {task for task, folder in enumerate(logs) if not any(folder.glob("*_result.pkl"))}


def runs(state: ResultState, submission: Submission) -> bool:
    """Return whether a task of `submission` runs a point in `state`."""
    its = state.status.get("submission") == submission.name
    return its and (state.kind is Kind.RUNNING or state.made_again)


def look(directory: Path) -> Standing:
    """Read the whole sweep. Raises StudyError where there is none."""
    standing = look_if_any(directory)
    if not standing.submissions:
        reason = "; ".join(standing.warnings) or f"it has no submission in {SWEEP}/"
        raise StudyError(f"{directory} is not the directory of a sweep: {reason}")
    return standing


def look_if_any(directory: Path) -> Standing:
    """Read what there is of a sweep."""
    submissions, warnings = read_submissions(directory)
    points = planned_points(submissions)
    jobs = {}
    for submission in submissions:
        started, warning = read_jobs(submission)
        warnings += [warning] if warning else []
        if started is not None:
            jobs[submission.name] = started
    ids = {job for started in jobs.values() if started.kind == "slurm" for job in started.ids}
    states, queue = point_states(directory, points, ids)
    since = {
        identity: name for submission in submissions for identity, name in submission.since.items()
    }
    standing = Standing(submissions, points, states, jobs, queue, {}, since, warnings)
    for submission in submissions:
        for task in sorted(standing.live(submission) | standing.unanswered(submission)):
            claim(standing, submission, task)
    for point in standing.of("running"):  # also by a run that no submission knows
        standing.busy.setdefault(point.identity, states[point.identity].worker)
    return standing


def claim(standing: Standing, submission: Submission, task: int) -> None:
    """Add to `busy` the points of a task that it has not done."""
    for point in submission.share(task):
        state = standing.states[point.identity]
        tried = state.status.get("submission") == submission.name
        if standing.name(point.identity) != "done" and not (state.kind is Kind.FAILED and tried):
            standing.busy.setdefault(point.identity, label(standing, submission))


def label(standing: Standing, submission: Submission) -> str:
    """Return what to call a submission that has points in hand."""
    started = standing.jobs.get(submission.name)
    if started is None:
        return f"submission {submission.name} (process {submission.process}, {submission.host})"
    kind = "job" if started.kind == "slurm" else "processes"
    answer = ", of which Slurm gives no answer" if standing.unanswered(submission) else ""
    return f"submission {submission.name} ({kind} {', '.join(started.ids)}{answer})"


def point_states(
    directory: Path, points: Sequence[Point], jobs: Collection[str]
) -> tuple[dict[str, ResultState], dict[str, str] | None]:
    """Return the states of `points` by identity, and what Slurm says.

    Slurm is asked of `jobs` and of those that running points name.
    """
    verified = VerifiedStamps(directory / SWEEP / VERIFIED)
    states = {
        point.identity: state_of(directory / point.folder, verified=verified) for point in points
    }
    of_jobs = {
        identity: str(state.status["job"])
        for identity, state in states.items()
        if state.status.get("state") == "running" and "job" in state.status
    }
    queue = slurm_states({*jobs, *(job.split("_")[0] for job in of_jobs.values())})
    working = {name: is_any_of(state, WORKING) for name, state in (queue or {}).items()}
    for point in points:
        if of_jobs.get(point.identity) in working:
            states[point.identity] = state_of(directory / point.folder, working, verified)
    verified.save()
    return states, queue


def follow(submission: Submission, jobs: Jobs, console: Console) -> None:
    """Show a bar until no task of `submission` is left. Ctrl-C ends the watching, not the tasks."""
    points = submission.planned
    ids = jobs.ids if jobs.kind == "slurm" else []
    try:
        with open_bars(console) as bars:
            bar = bars.add_task("points", total=len(points))
            while True:
                states, queue = point_states(submission.directory, points, ids)
                alive = queue is None or live_tasks(submission, jobs, queue)
                counts = Counter(
                    state.in_sweep(submission.since.get(identity, ""))
                    for identity, state in states.items()
                )
                waiting = sum(state.startswith("PENDING") for state in (queue or {}).values())
                line = f"{counts['running']} running, {counts['failed']} failed"
                line += f", {waiting} tasks waiting" if waiting else ""
                bars.update(bar, completed=counts["done"], description=line)
                if not alive or counts["done"] == len(points):
                    return
                time.sleep(LOOK_INTERVAL_S)
    except KeyboardInterrupt:
        console.print("no longer watched; the tasks go on")
        raise
