"""What a run prints: progress while it works, tables when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from otherview.measure import Progress as Report

UNIT_SET_TITLES = {"heads": "heads", "slices16": "slices of 16"}
DASH = "-"


@contextmanager
def progress_bars(console: Console) -> Iterator[Report]:
    """A bar a stage, with what is done and the time left; gone when the block ends."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def print_summary(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """The tables of a run, made from its `summary.json` alone."""
    contrast = summary["contrast"]
    console.print(
        f"\n[bold]{summary['study']}[/]  {summary['model']}, {summary['pairs']} pairs, "
        f"seed {summary['seed']}"
    )
    if summary["question"]:
        console.print(summary["question"], markup=False, highlight=False)
    for role in ("test", "control"):
        more = len(contrast[role]) - 1
        also = f"  (and {more} more)" if more else ""
        console.print(f"  {role:<8}{contrast[role][0]}{also}", markup=False, highlight=False)
    if not (summary["tokens"]["equal_count"] and summary["tokens"]["equal_item_position"]):
        console.print(
            "  The wordings differ in token count or in the item's position: that difference is "
            "in every pair, and no sign flip removes it.",
            style="yellow",
            highlight=False,
        )
    console.print()
    console.print(published_table(summary))
    for unit_set, result in summary["results"].items():
        console.print(_top_blocks_table(unit_set, result))
        if result["degenerate"]:
            console.print(
                f"{len(result['degenerate'])} of {result['units']} {UNIT_SET_TITLES[unit_set]} "
                f"have no variance and no t: {', '.join(result['degenerate'][:5])}"
                f"{' ...' if len(result['degenerate']) > 5 else ''}",
                highlight=False,
            )
    console.print(f"result in [bold]{folder}[/]", highlight=False, soft_wrap=True)


def published_table(summary: dict[str, Any]) -> Table:
    """The published reading of every set of units, beside the published figures if there are."""
    table = Table(title="published reading: |t| against random sign flips of whole pairs")
    table.add_column("counted")
    for heading in ("|t| >", "observed", "share", "null mean", "null p99", "obs / p99"):
        table.add_column(heading, justify="right")
    for unit_set, result in summary["results"].items():
        _add_reading(
            table,
            f"{result['units']:,} {UNIT_SET_TITLES[unit_set]}",
            result["units"],
            result["published_reading"],
        )
    figures = summary.get("published_figures")
    if figures:
        _add_reading(table, "published", figures["units"], figures, style="cyan")
    return table


def _add_reading(
    table: Table, title: str, units: int, reading: dict[str, Any], style: str | None = None
) -> None:
    for index, count in enumerate(reading["counts"]):
        above = count["null_p99"]
        table.add_row(
            title if index == 0 else "",
            f"{count['threshold']:g}",
            f"{count['observed']:,}",
            f"{count['observed'] / units:.0%}",
            f"{count['null_mean']:,.1f}",
            f"{above:,.1f}",
            f"{count['observed'] / above:,.1f}x" if above else DASH,
            style=style,
        )
    largest = reading.get("max_abs_t")
    table.add_row(
        "", "max |t|", DASH if largest is None else f"{largest:.2f}", style=style, end_section=True
    )


def _top_blocks_table(unit_set: str, result: dict[str, Any]) -> Table:
    lowest = min(count["threshold"] for count in result["published_reading"]["counts"])
    table = Table(title=f"blocks with the largest |t|, {UNIT_SET_TITLES[unit_set]}")
    table.add_column("block")
    table.add_column("max |t|", justify="right")
    table.add_column("strongest unit")
    table.add_column(f"|t| > {lowest:g}", justify="right")
    for row in result["top_blocks"]:
        table.add_row(
            row["block"],
            f"{row['max_abs_t']:.2f}",
            row["unit"],
            f"{row['above']} of {row['units']}",
        )
    return table
