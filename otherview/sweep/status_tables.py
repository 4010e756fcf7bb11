"""A sweep as tables: one row per point, and where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from otherview.results.state import Kind, ResultState, examine, state_of
from otherview.sweep.following import NAMES, Standing
from otherview.sweep.points import Point
from otherview.views.numbers import DASH, count, decimal, known
from otherview.views.table_model import Table
from otherview.views.vocabulary import DIFFERS, FOLLOWS, LARGEST

MAX_ROWS = 60
"""Points that are printed of each kind."""


def point_table(directory: Path, points: Sequence[Point]) -> Table:
    """Return one row per point: what its first set of units says."""
    headings = ("point", "passing |t|", LARGEST, DIFFERS, FOLLOWS)
    rows = []
    for point in points[:MAX_ROWS]:
        _, summary = examine(directory / point.folder)
        cells = figures(summary) if summary else [DASH] * (len(headings) - 1)
        rows.append([point.folder, *cells])
    more = f"and {len(points) - MAX_ROWS} more" if len(points) > MAX_ROWS else ""
    return Table(f"{len(points)} points", headings, rows, more)


def figures(summary: dict[str, Any]) -> list[str]:
    """Return units above the lowest threshold, largest |t|, and units that two tests call."""
    result = next(iter(summary["results"].values()))
    reading = result["published_reading"]
    lowest = min(reading["counts"], key=lambda found: float(found["threshold"]))
    return [
        f"{count(lowest['observed'])} of {count(result['units'])}",
        known(reading.get("max_abs_t"), decimal),
        count(result["sign_flip"]["familywise"]),
        known(result.get("role_test", {}).get("called"), count),
    ]


def print_standing(standing: Standing, directory: Path, console: Console) -> None:
    """Print counts, every point that runs, failed or is damaged, and what the queue says."""
    counts = Counter(NAMES[state.kind] for state in standing.states.values())
    waiting = sum(standing.states[name].kind is not Kind.RUNNING for name in standing.busy)
    parts = [f"{counts[name]} {name}" for name in ("done", "running", "failed", "missing")]
    parts += [f"{counts['damaged']} damaged"] if counts["damaged"] else []
    more = f" ({waiting} of them wait for their turn)" if waiting else ""
    console.print(f"{len(standing.points)} points: {', '.join(parts)}{more}", style="bold")
    outdated = sum(state.outdated for state in standing.states.values())
    if outdated:
        console.print(
            f"{outdated} were made by another version of otherview or of a library; to make them "
            "again, resume with rerun=outdated",
            style="yellow",
        )
    for name in ("running", "failed", "damaged"):
        found = standing.of(name)
        for point in found[:MAX_ROWS]:
            state = standing.states[point.identity]
            console.print(line_of(state, directory / point.folder), soft_wrap=True)
        if len(found) > MAX_ROWS:
            console.print(f"... and {len(found) - MAX_ROWS} more")
    reasons = Counter(
        state.reason
        for identity, state in standing.states.items()
        if state.kind is Kind.INTERRUPTED and identity not in standing.busy
    )
    for reason, number in reasons.most_common(MAX_ROWS):
        console.print(f"missing  {number}: {reason}", soft_wrap=True)
    combined = state_of(directory)
    if combined.kind is Kind.DAMAGED:
        console.print(f"combined result damaged: {combined.file}: {combined.reason}")
    print_queue(standing, console)


def line_of(state: ResultState, folder: Path) -> str:
    """Return what to say of a point that runs, failed or is damaged."""
    name = f"{state.kind:<8} {folder.name}"
    if state.kind is Kind.RUNNING:
        return f"{name}  on {state.worker} since {state.status.get('since')}"
    if state.kind is Kind.DAMAGED:
        return f"{name}: {state.file}: {state.reason}"
    file = folder / "traceback.txt"
    left = str(file) if file.is_file() else "no traceback was left"
    machine = " (machine failure)" if state.machine_failed else ""
    return f"{name}{machine}: {state.reason}\n         {left}"


def print_queue(standing: Standing, console: Console) -> None:
    if standing.queue is None:
        console.print("Slurm gives no answer; this is what the files say")
        return
    for name, jobs in standing.jobs.items():
        tasks = {task: s for task, s in standing.queue.items() if task.split("_")[0] in jobs.ids}
        said = ", ".join(f"{number} {state}" for state, number in Counter(tasks.values()).items())
        if said and jobs.kind == "slurm":
            console.print(f"job {', '.join(jobs.ids)} ({name}): {said}", soft_wrap=True)
