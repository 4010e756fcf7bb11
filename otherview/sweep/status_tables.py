"""A sweep as tables: a row a point, and where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from otherview.results.writing import whole_summary
from otherview.sweep.following import Standing
from otherview.sweep.point_states import where
from otherview.sweep.points import Point

MOST_ROWS = 60
"""Points or failures that are printed, at most."""
DASH = "-"


def point_table(directory: Path, points: Sequence[Point]) -> Table:
    """A row a point: units with |t| above the lowest threshold, family-wise, by the role test."""
    table = Table(title=f"{len(points)} points")
    table.add_column("point", no_wrap=True)
    headings = ("passing |t|", "max |t|", "p < alpha", "role")
    for heading in headings:
        table.add_column(heading, justify="right")
    for point in points[:MOST_ROWS]:
        summary = whole_summary(directory / point.folder)
        rows = [DASH] * len(headings) if summary is None else figures(summary)
        table.add_row(point.folder, *rows)
    if len(points) > MOST_ROWS:
        table.caption = f"and {len(points) - MOST_ROWS} more"
    return table


def figures(summary: dict[str, Any]) -> list[str]:
    """Figures of the first set of units."""
    result = next(iter(summary["results"].values()))
    reading = result["published_reading"]
    lowest = min(reading["counts"], key=lambda count: float(count["threshold"]))
    largest = reading.get("max_abs_t")
    role = result.get("role_test")
    return [
        f"{lowest['observed']:,} of {result['units']:,}",
        DASH if largest is None else f"{largest:.2f}",
        f"{result['sign_flip']['familywise']:,}",
        DASH if role is None else f"{role['called']:,}",
    ]


def print_standing(standing: Standing, directory: Path, console: Console) -> None:
    """Counts, then every point that runs or failed, then what the queue says."""
    counts = Counter(state.state for state in standing.states.values())
    waiting = sum(standing.states[identity].state != "running" for identity in standing.busy)
    parts = [f"{counts[name]} {name}" for name in ("done", "running", "failed", "missing")]
    more = f" ({waiting} of them wait for their turn)" if waiting else ""
    console.print(f"{len(standing.points)} points: {', '.join(parts)}{more}", style="bold")
    outdated = sum(state.outdated for state in standing.states.values())
    if outdated:
        console.print(
            f"{outdated} are of another version of otherview or of a library; to make them anew, "
            f"resume with rerun=outdated",
            style="yellow",
        )
    for state, tell in (("running", running_line), ("failed", failed_line)):
        found = standing.of(state)
        for point in found[:MOST_ROWS]:
            console.print(tell(standing, point, directory), soft_wrap=True)
        if len(found) > MOST_ROWS:
            console.print(f"... and {len(found) - MOST_ROWS} more")
    print_abandoned(standing, console)
    print_queue(standing, console)


def running_line(standing: Standing, point: Point, _directory: Path) -> str:
    state = standing.states[point.identity]
    return f"running  {point.folder}  on {where(state)} since {state.status.get('since')}"


def failed_line(standing: Standing, point: Point, directory: Path) -> str:
    state = standing.states[point.identity]
    file = directory / point.folder / "traceback.txt"
    left = str(file) if file.is_file() else "no traceback was left"
    machine = " (the machine's)" if state.machine_failed else ""
    return f"failed   {point.folder}{machine}: {state.reason}\n         {left}"


def print_abandoned(standing: Standing, console: Console) -> None:
    reasons = Counter(
        state.reason
        for identity, state in standing.states.items()
        if state.state == "missing" and state.reason and identity not in standing.busy
    )
    for reason, count in reasons.most_common(MOST_ROWS):
        console.print(f"missing  {count}: {reason}", soft_wrap=True)


def print_queue(standing: Standing, console: Console) -> None:
    if standing.queue is None:
        console.print("Slurm gives no answer; this is what the files say")
        return
    for name, jobs in standing.jobs.items():
        if jobs.kind != "slurm":
            continue
        states = Counter(s for task, s in standing.queue.items() if task.split("_")[0] in jobs.ids)
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        if told:
            console.print(f"job {', '.join(jobs.ids)} ({name}): {told}", soft_wrap=True)
