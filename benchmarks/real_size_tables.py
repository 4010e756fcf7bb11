"""The tables of `real_size.py`: published protocol and eight nouns per role, random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

ABS_T = r"\|t\|"
"""Escaped, for a Markdown table."""


@dataclass(frozen=True)
class Row:
    """A finished study of one seed's weights."""

    seed: int
    study: str
    pixels: int
    text_length: int
    items: int
    wordings: int
    device: str
    dtype: str
    commit: str | None
    model_revision: str
    finished: str
    results: dict[str, Any]
    """The unit sets of `summary.json`, as they are there."""


def kitchen_table(rows: Sequence[Row], published: dict[str, Any]) -> Table:
    """The published protocol: the published figures, then a column per seed of random weights."""
    slices = [row.results["slices16"] for row in rows]
    heads = [row.results["heads"] for row in rows]
    table = markdown_table(["published protocol", "published, real weights", *headings(rows)])
    for counts in published["counts"]:
        level = counts["threshold"]
        found = [at_threshold(result, level) for result in slices]
        shares = [share(counts["observed"], published["units"])]
        shares += [
            share(count["observed"], result["units"])
            for count, result in zip(found, slices, strict=True)
        ]
        table.add_row(f"slices with {ABS_T} > {level:g}", *shares)
        table.add_row("null mean, p99; observed / p99", *map(null_text, [counts, *found]))
    largest = [result["published_reading"]["max_abs_t"] for result in slices]
    table.add_row(
        f"largest {ABS_T}", *(f"{value:.2f}" for value in [published["max_abs_t"], *largest])
    )
    strongest = [block_text(strongest_blocks(result)) for result in heads]
    table.add_row("blocks of the strongest true heads", "joint block 2 (slices)", *strongest)
    above = [share(at_threshold(result, 3.0)["observed"], result["units"]) for result in heads]
    table.add_row(f"true heads with {ABS_T} > 3", "", *above)
    add_origin(table, rows, "1024, 512")
    return table


def nouns_table(rows: Sequence[Row]) -> Table:
    """Eight nouns per role: what the published reading calls, and what the role test calls."""
    heads = [row.results["heads"] for row in rows]
    table = markdown_table(["eight nouns per role", *headings(rows)])

    def add(name: str, of_result: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, *map(of_result, heads))

    table.add_row("creatures, wordings", *(f"{row.items}, {row.wordings}" for row in rows))
    add(
        f"published reading: heads with {ABS_T} > 3",
        lambda result: share(at_threshold(result, 3.0)["observed"], result["units"]),
    )
    add(
        "sign flips over creatures: family-wise",
        lambda result: share(result["sign_flip"]["familywise"], result["units"]),
    )
    add(
        "role test: family-wise",
        lambda result: share(result["role_test"]["called"], result["units"]),
    )
    add(
        "role test: smallest family-wise p",
        lambda result: f"{result['role_test']['smallest_p_maxt']:.2g}",
    )
    add_origin(table, rows)
    return table


def markdown_table(columns: Sequence[str]) -> Table:
    table = Table(box=box.MARKDOWN)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def headings(rows: Sequence[Row]) -> list[str]:
    return [f"random weights, seed {row.seed}" for row in rows]


def add_origin(table: Table, rows: Sequence[Row], *published: str) -> None:
    """Say of every column how it was measured."""
    sizes = [f"{row.pixels}, {row.text_length}" for row in rows]
    table.add_row("pixels per side, text tokens", *published, *sizes)
    made = [f"{row.device}, {row.dtype}" for row in rows]
    table.add_row("device, precision", *("" for _ in published), *made)
    commits = [str(row.commit).replace("-dirty", " with changes") for row in rows]
    table.add_row("commit of otherview", *("" for _ in published), *commits)


def at_threshold(result: dict[str, Any], threshold: float) -> dict[str, Any]:
    """The counts of the published reading at a threshold."""
    counts: list[dict[str, Any]] = result["published_reading"]["counts"]
    return next(count for count in counts if count["threshold"] == threshold)


def share(count: int, units: int) -> str:
    return f"{count:,} of {units:,} ({count / units:.0%})"


def null_text(count: dict[str, Any]) -> str:
    """Mean and p99 of the count under sign flips, and observed / p99 where it exists."""
    mean, p99 = (
        f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
        for value in (count["null_mean"], count["null_p99"])
    )
    ratio = f"{count['observed'] / count['null_p99']:,.1f}×" if count["null_p99"] else "no ratio"
    return f"{mean}, {p99}; {ratio}"


def strongest_blocks(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The two blocks with the largest |t|."""
    blocks = [row for row in result["sets"] if row["kind"] == "block" and "max_abs_t" in row]
    return sorted(blocks, key=lambda row: -row["max_abs_t"])[:2]


def block_text(blocks: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{block['set']} ({block['max_abs_t']:.1f})" for block in blocks)
