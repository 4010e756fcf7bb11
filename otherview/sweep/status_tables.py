"""A sweep as tables: one row per point, and where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from otherview.results.state import Kind, ResultState, examine, state_of
from otherview.sweep.following import Standing
from otherview.sweep.points import Point
from otherview.sweep.tasks import last_words, lost_devices
from otherview.views.numbers import DASH, plural, verb
from otherview.views.sweep_points import FIGURES, detail_of, point_figures
from otherview.views.table_model import Table

MAX_ROWS = 60
"""Points that are printed of each kind."""
MAX_ENDS = 5
"""Ways in which tasks ended that are printed."""


def point_table(directory: Path, points: Sequence[Point]) -> Table:
    """Return one row per point: what its first set of units says."""
    headings = ("point", *FIGURES)
    rows = []
    for point in points[:MAX_ROWS]:
        _, summary = examine(directory / point.folder)
        cells = [text for text, _ in point_figures(summary)] if summary else [DASH] * len(FIGURES)
        rows.append([point.folder, *cells])
    more = f"and {len(points) - MAX_ROWS} more" if len(points) > MAX_ROWS else ""
    return Table(plural(len(points), "point"), headings, rows, more)


def print_standing(standing: Standing, directory: Path, console: Console) -> None:
    """Print counts, every point that runs, failed or is damaged, and what the queue says."""
    print_warnings(standing, console)
    counts = Counter(standing.name(identity) for identity in standing.states)
    waiting = sum(standing.name(identity) != "running" for identity in standing.busy)
    parts = [f"{counts[name]} {name}" for name in ("done", "running", "failed", "missing")]
    parts += [f"{counts[name]} {name}" for name in ("outdated", "damaged") if counts[name]]
    wait = verb(waiting, "waits for its turn", "wait for their turn")
    more = f" ({waiting} of them {wait})" if waiting else ""
    total = plural(len(standing.points), "point")
    console.print(f"{total}: {', '.join(parts)}{more}", style="bold")
    outdated = sum(state.outdated for state in standing.states.values())
    if outdated:
        was, them = verb(outdated, "was", "were"), verb(outdated, "it", "them")
        console.print(
            f"{outdated} {was} made by another version of otherview or of a library; to make "
            f"{them} again, resume with rerun=outdated",
            style="yellow",
        )
    for name in ("running", "failed", "outdated", "damaged"):
        found = standing.of(name)
        for point in found[:MAX_ROWS]:
            state = standing.states[point.identity]
            console.print(line_of(state, directory / point.folder), soft_wrap=True)
        if len(found) > MAX_ROWS:
            console.print(f"... and {len(found) - MAX_ROWS} more")
    print_missing(standing, console)
    combined = state_of(directory)
    if combined.kind is Kind.DAMAGED:
        console.print(f"combined result damaged: {combined.file}: {combined.reason}")
    print_queue(standing, console)


def print_warnings(standing: Standing, console: Console) -> None:
    """Print which files of the sweep cannot be read."""
    for warning in standing.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def print_missing(standing: Standing, console: Console) -> None:
    """Print why points are missing that no task has, and what their tasks said at the end."""
    reasons: Counter[str] = Counter()
    logs, ends = last_logs(standing), {}
    for point in standing.of("missing"):
        if point.identity in standing.busy:
            continue
        state = standing.states[point.identity]
        if state.kind is not Kind.MISSING:
            reasons[state.reason or state.owes(standing.since.get(point.identity, ""))] += 1
        if (log := logs.get(point.identity)) is not None:
            ends[log] = last_words(log)
    for reason, number in reasons.most_common(MAX_ROWS):
        console.print(f"missing  {number}: {reason}", soft_wrap=True)
    for words, number in Counter(ends.values()).most_common(MAX_ENDS):
        log = next(log for log, said in ends.items() if said == words)
        more = f" and {number - 1} more tasks" if number > 1 else ""
        said = f"{words}\n         {log}" if words else f"there is no reason in {log}"
        console.print(f"ended    {log.parent.name}{more}: {said}", soft_wrap=True)


def last_logs(standing: Standing) -> dict[str, Path]:
    """Return the log of the task that had a point last, by identity of the point."""
    logs: dict[str, Path] = {}
    for submission in standing.submissions:
        jobs = standing.jobs.get(submission.name)
        for task in range(len(submission.shares)):
            for point in submission.share(task):
                logs.pop(point.identity, None)
                if jobs is not None:
                    logs[point.identity] = jobs.log(submission, task)
    return logs


def line_of(state: ResultState, folder: Path) -> str:
    """Return what to say of a point that runs, failed or is damaged."""
    if state.changed and not state.made_again:
        return f"outdated {folder.name}: {state.changed}"
    kind = Kind.RUNNING if state.made_again else state.kind
    line = f"{kind:<8} {folder.name}: {detail_of(state)}"
    if kind is not Kind.FAILED:
        return line
    file = folder / "traceback.txt"
    return f"{line}\n         {file if file.is_file() else 'no traceback was left'}"


def print_queue(standing: Standing, console: Console) -> None:
    """Print what Slurm says of the jobs, and on which nodes their GPUs were missing."""
    if standing.queue is None:
        console.print("Slurm gives no answer; this is what the files say")
    for submission in standing.submissions:
        jobs = standing.jobs.get(submission.name)
        if jobs is None or jobs.kind != "slurm":
            continue
        states = [s for task, s in (standing.queue or {}).items() if task.split("_")[0] in jobs.ids]
        said = ", ".join(f"{number} {state}" for state, number in Counter(states).items())
        if said:
            console.print(f"job {', '.join(jobs.ids)} ({submission.name}): {said}", soft_wrap=True)
        for task in sorted(standing.live(submission)):
            for line in lost_devices(submission, task):
                console.print(f"  task {task} left {line}", soft_wrap=True)
