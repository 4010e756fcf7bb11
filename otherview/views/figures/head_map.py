"""The map of all heads: block by head and stream, coloured by effect."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from otherview.results.reader import RunResult
from otherview.views.figures.colours import (
    DIVERGING,
    INK,
    LEVELS,
    MUTED,
    ON_STRONG,
    ON_WEAK,
    PAPER,
    RULE,
)
from otherview.views.figures.style import MM_PER_INCH, NARROW, Drawing, axes_at, free_canvas
from otherview.views.numbers import percent, plural, signed
from otherview.views.numbers import tick as written_tick
from otherview.views.vocabulary import DIFFERS, FOLLOWS
from otherview.views.vocabulary import EVERYWHERE as EVERYWHERE_WORDS

UNIT_MARK = "unit:"
"""Starts the id of the SVG group of a head's cell; the head's address follows."""
LINEAR_TO = 0.5
"""Effect sizes up to this are drawn on a linear, larger ones on a logarithmic scale."""
GAP = 0.55
"""Between groups of blocks, in cells."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
GROUPS = (("joint", "image"), ("joint", "text"), ("single", "all"))
BlockColumn = tuple[str, str, int]
"""Kind of block, stream and number of the block: a column of the map."""


@dataclass(frozen=True)
class Mark:
    """What a sign on a cell says, and in which rows of the table it is on."""

    column: str
    meaning: str
    """Of several heads."""
    shape: str
    """A marker of matplotlib."""
    size: float
    """Of the smaller side of a cell."""


FAMILYWISE = Mark("familywise", DIFFERS, "o", 0.3)
CALLED = Mark("role_called", FOLLOWS, "D", 0.4)
EVERYWHERE = Mark("in_every_template", EVERYWHERE_WORDS, "o", 0.3)
CAPTION = (
    "Each column is a block of one stream, in the order of the network; each row is a head. Colour "
    "is the effect: orange where the response is larger under the test wordings, blue where it is "
    "larger under the control wordings; linear to 0.5 and logarithmic beyond. {}"
)


def draw_head_map(result: RunResult, width: float) -> Drawing:
    """All heads of a run. Raises NotInResultError where only slices were captured."""
    marks, found = [FAMILYWISE], result.summary["results"]["heads"]
    said = f"A dot marks heads that differ family-wise at {percent(found['sign_flip']['alpha'])}."
    if "role_called" in result.heads.columns:
        marks.append(CALLED)
        said += " A diamond marks heads that follow the role over wordings and items."
    return map_of(result.heads, marks, width, CAPTION.format(said))


def map_of(table: pl.DataFrame, marks: list[Mark], width: float, caption: str) -> Drawing:
    """The map of a table with one row per head, its `g` as colour; a cell may bear one mark.

    The last of `marks` that holds for a head is drawn.
    """
    columns = map_columns(table)
    place = {column: x for x, column in zip(places_of(columns), columns, strict=True)}
    rows = int(np.max(table["head"].to_numpy(), initial=0)) + 1
    across = max(place.values()) + 1
    narrow = width < NARROW
    left, top, aside = 9.0, 11.0, 0.0 if narrow else 46.0
    cell = min((width - left - aside - 2) / across, 14.0)
    height = min(cell, 7.0) if not narrow else min(max(cell, 3.0), 7.0)
    foot, below = 7.0, 18.0 + 5.0 * len(marks) if narrow else 0.0
    drawn_height = max(rows * height, 0.0 if narrow else 48.0)
    figure = free_canvas(width, top + drawn_height + foot + below)
    axes = axes_at(figure, left, top, cell * across, rows * height)
    axes.set_xlim(-0.5, across - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    largest = max(
        float(np.max(table["g"].drop_nulls().abs().to_numpy(), initial=0.0)), 2 * LINEAR_TO
    )
    cells(axes, table, place, largest)
    used = draw_marks(axes, table, place, marks, largest, min(cell, height))
    label(axes, place, rows, cell, height)
    if narrow:
        start = top + rows * height + foot
        scale(figure, largest, left, start + 9, width - left - 4, narrow=True)
        legend(figure, used, left, start + 18, step=5.0)
    else:
        start = left + cell * across + 8
        scale(figure, largest, start, top + 6, 26, narrow=False)
        legend(figure, used, start, top + 41, step=5.0)
    return Drawing(figure, alt(table, used), caption)


def map_columns(table: pl.DataFrame) -> list[BlockColumn]:
    present = set(table.select("block_kind", "stream", "block").iter_rows())
    order = {group: index for index, group in enumerate(GROUPS)}
    return sorted(present, key=lambda key: (order.get(key[:2], len(order)), *key))


def places_of(columns: list[BlockColumn]) -> Iterator[float]:
    place = 0.0
    for index, column in enumerate(columns):
        if index:
            place += 1 + (GAP if column[:2] != columns[index - 1][:2] else 0)
        yield place


def position(effect: float, largest: float) -> float:
    """Place of an effect on the scale, −1 to 1: linear, then logarithmic."""
    size = abs(effect)
    bent = size / LINEAR_TO if size <= LINEAR_TO else 1 + math.log(size / LINEAR_TO)
    return math.copysign(bent / (1 + math.log(largest / LINEAR_TO)), effect)


def step_of(effect: float, largest: float) -> int:
    """Step of the diverging scale for an effect, 0 to LEVELS − 1."""
    middle = LEVELS // 2
    return middle + round(max(-1.0, min(1.0, position(effect, largest))) * middle)


def cells(axes: Axes, table: pl.DataFrame, place: dict[BlockColumn, float], largest: float) -> None:
    for row in table.iter_rows(named=True):
        x, effect = place[row["block_kind"], row["stream"], row["block"]], row["g"]
        cell = Rectangle(
            (x - 0.5, row["head"] - 0.5), 1, 1, linewidth=0.5,
            facecolor="none" if effect is None else DIVERGING[step_of(effect, largest)],
            edgecolor=PAPER if effect is not None else RULE,
            hatch=None if effect is not None else "////",
        )  # fmt: skip
        cell.set_gid(f"{UNIT_MARK}{row['unit']}")
        axes.add_patch(cell)


def draw_marks(
    axes: Axes,
    table: pl.DataFrame,
    place: dict[BlockColumn, float],
    marks: list[Mark],
    largest: float,
    side: float,
) -> list[tuple[Mark, int]]:
    """Draw at most one mark per cell; return each with the number of its heads."""
    points_per_mm = 72 / MM_PER_INCH
    taken: set[str] = set()
    used = []
    for mark in reversed(marks):
        rows = table.filter(pl.col(mark.column).fill_null(False))
        used.append((mark, len(rows)))
        for colour, strong in ((ON_STRONG, True), (ON_WEAK, False)):
            of_colour = [
                row
                for row in rows.filter(~pl.col("unit").is_in(list(taken))).iter_rows(named=True)
                if is_strong(row["g"], largest) == strong
            ]
            if of_colour:
                axes.scatter(
                    [place[row["block_kind"], row["stream"], row["block"]] for row in of_colour],
                    [row["head"] for row in of_colour],
                    s=(mark.size * side * points_per_mm) ** 2,
                    marker=mark.shape, color=colour, linewidths=0, zorder=3,
                )  # fmt: skip
        taken |= set(rows["unit"])
    return used[::-1]


def is_strong(effect: float | None, largest: float) -> bool:
    return effect is not None and abs(position(effect, largest)) > 0.52


def label(
    axes: Axes, place: dict[BlockColumn, float], rows: int, cell: float, height: float
) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=2)
    every = 1 if cell >= 3.4 else 2 if cell >= 1.8 else 4
    shown = {x: str(block) for (_, _, block), x in place.items() if block % every == 0}
    axes.set_xticks(list(shown), list(shown.values()))
    heads = range(0, rows, 1 if height >= 2.6 else 2)
    axes.set_yticks(list(heads), [str(head) for head in heads])
    axes.set_xlabel("block", labelpad=2)
    axes.set_ylabel("head", labelpad=2)
    firsts = {column[:2]: x for column, x in reversed(place.items())}
    for (kind, stream), x in firsts.items():
        axes.annotate(
            f"{kind}\n{'all tokens' if stream == 'all' else stream}",
            (x - 0.5, -0.5), xytext=(0, 3.5), textcoords="offset points",
            ha="left", va="bottom", linespacing=1.25, fontsize=7.5,
        )  # fmt: skip


def scale(
    figure: Canvas, largest: float, left: float, top: float, length: float, *, narrow: bool
) -> None:
    """The diverging scale with its meaning, below the map or next to it."""
    thick = 3.2
    size = (length, thick) if narrow else (thick, length)
    axes = axes_at(figure, left, top, *size)
    for level, colour in enumerate(DIVERGING):
        edge = level / LEVELS * 2 - 1
        corner = (edge, 0.0) if narrow else (0.0, edge)
        sides = (2 / LEVELS, 1.0) if narrow else (1.0, 2 / LEVELS)
        axes.add_patch(Rectangle(corner, *sides, facecolor=colour, edgecolor=colour, linewidth=0.3))
    for spine in axes.spines.values():
        spine.set_visible(False)
    wanted = [tick for tick in TICKS if tick <= largest * 1.001]
    kept: list[float] = []
    for tick in reversed(wanted):
        if all(position(other, largest) - position(tick, largest) > 0.19 for other in kept) and (
            position(tick, largest) > 0.19
        ):
            kept.append(tick)
    ticks = [-tick for tick in kept] + [0.0] + kept[::-1]
    places = [position(tick, largest) for tick in ticks]
    names = [written_tick(tick) for tick in ticks]
    if narrow:
        axes.set(xlim=(-1, 1), ylim=(0, 1), yticks=[])
        axes.set_xticks(places, names)
    else:
        axes.set(xlim=(0, 1), ylim=(-1, 1), xticks=[])
        axes.yaxis.tick_right()
        axes.set_yticks(places, names)
    axes.tick_params(length=1.5, pad=1.5, labelsize=6.5)
    end: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": MUTED}
    title = {**end, "color": INK, "va": "bottom"}
    if narrow:
        axes.annotate("effect, Hedges’ g", (-1, 1), xytext=(0, 12), **title)
        axes.annotate("larger under control", (-1, 1), xytext=(0, 3), va="bottom", **end)
        axes.annotate("larger under test", (1, 1), xytext=(0, 3), va="bottom", ha="right", **end)
    else:
        axes.annotate("effect, Hedges’ g", (0, 1), xytext=(0, 14), **title)
        axes.annotate("larger under test", (0, 1), xytext=(0, 4), va="bottom", **end)
        axes.annotate("larger under control", (0, -1), xytext=(0, -4), va="top", **end)


def legend(
    figure: Canvas, used: list[tuple[Mark, int]], left: float, top: float, *, step: float
) -> None:
    for index, (mark, number) in enumerate(used):
        axes = axes_at(figure, left, top + index * step, 42, step)
        axes.axis("off")
        axes.set(xlim=(0, 42), ylim=(step, 0))
        axes.scatter([1.5], [2], s=14, marker=mark.shape, color=INK, linewidths=0)
        axes.text(4.2, 2, f"{mark.meaning}: {number}", va="center_baseline", fontsize=7)


def alt(table: pl.DataFrame, used: list[tuple[Mark, int]]) -> str:
    said = ", ".join(f"{number} {mark.meaning}" for mark, number in used)
    strongest = table.drop_nulls("g").sort(pl.col("g").abs(), descending=True).head(1)
    ends = "".join(
        f" The largest effect is that of {row['unit']}, g {signed(row['g'])}."
        for row in strongest.iter_rows(named=True)
    )
    return (
        f"Map of {plural(len(table), 'head')}: one column per block and stream, one row per head, "
        f"coloured by Hedges’ g of test minus control: {said}.{ends}"
    )
