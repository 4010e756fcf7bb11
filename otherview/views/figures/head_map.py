"""The map of all heads: block by head and stream, coloured by effect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, SymLogNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from otherview.analysis.tables import by_strength
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
from otherview.views.figures.map_marks import (
    AXIS,
    CALLED,
    DEPENDING,
    FAILING,
    FAMILYWISE,
    LEGEND_STEP,
    PREDICTED,
    Mark,
    legend,
)
from otherview.views.figures.style import (
    GLYPH,
    MM_PER_INCH,
    NARROW,
    Drawing,
    axes_at,
    canvas,
    tiers,
)
from otherview.views.numbers import named, percent, plural, signed
from otherview.views.numbers import tick as written_tick
from otherview.views.unit_columns import DEPENDS, by_evidence, with_verdicts
from otherview.views.vocabulary import BLOCK_KINDS, row_name

UNIT_MARK = "unit:"
"""Prefix of the id of the SVG group of a cell; the name of the head follows."""
LINEAR_TO = 0.5
"""The colour scale is linear up to this effect size and logarithmic beyond."""
GAP = 0.55
"""Between groups of blocks, in cells."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
MIN_APART = 0.095
"""Between two ticks, as a share of the scale."""
STRONG = 0.28
"""Distance from the middle of the scale beyond which marks are drawn light on dark."""
MAX_NAMED = 3
"""Heads that the description names."""
LACKING: dict[str, Any] = {"facecolor": "none", "edgecolor": RULE, "hatch": "////"}
"""Look of a cell without an effect."""
LABEL_TIER = 8.0
"""Height of a heading of two lines, in mm."""
BlockColumn = tuple[str, str, int]
"""Kind of block, stream and number of the block: a column of the map."""
Heading = tuple[float, str, int]
"""Of the blocks of one kind and stream: place of the first column, in cells; text; tier. Tier 0 is
next to the map; a heading that would run into another is a tier higher."""


@dataclass(frozen=True)
class EffectWords:
    """What the colours of a map mean."""

    above: str
    """Of an effect above zero, at the end of the scale."""
    below: str
    of: str
    """Whose effect it is, after “Hedges’ g of”."""


ROLE = EffectWords("larger under test", "larger under control", "test minus control")
CAPTION = (
    "Each column is a block of one stream, in the order of the network; each row is a head. Colour "
    "is the effect: orange where the response is larger under the test wordings, blue where it is "
    "larger under the control wordings; linear to 0.5 and logarithmic beyond. {}"
)


def draw_head_map(result: RunResult, width: float) -> Drawing:
    """Draw all heads of a run. Raises NotInResultError if only slices were captured."""
    heads = result.heads
    marks, found = [FAMILYWISE], result.summary["results"]["heads"]
    said = f"A dot marks heads that differ family-wise at {percent(found['sign_flip']['alpha'])}."
    if "role_called" in heads.columns:
        marks.append(CALLED)
        said += " A diamond marks heads that follow the role over wordings and items."
    if "first_order_holds" in heads.columns:
        heads = heads.with_columns(first_order_fails=~pl.col("first_order_holds").cast(pl.Boolean))
        marks = [FAMILYWISE, FAILING, *marks[1:], PREDICTED]
        said += (
            " A cross marks other heads of sites where first order does not hold, a triangle heads "
            "whose zeroing is predicted to change the roles differently."
        )
    if "noise_level" in heads.columns:
        heads = at_strongest_level(heads)
        said += " Each head is shown at the noise level at which it is strongest."
    if "axis_called" in heads.columns:
        marks.append(AXIS)
        said += " A ring marks heads with an axis of the role."
    if result.interventions is not None:
        heads = with_verdicts(heads, result, every_level=True)
        marks.append(DEPENDING)
        said += (
            " A star marks heads that differ and whose edit shows that the role depends on them."
        )
    return map_of(heads, marks, width, CAPTION.format(said))


def at_strongest_level(heads: pl.DataFrame) -> pl.DataFrame:
    """Return one row per head, that of its strongest level, in the order of the network."""
    order = heads.select("unit").unique(maintain_order=True)
    strongest = by_strength(heads).unique("unit", keep="first", maintain_order=True)
    return order.join(strongest, on="unit", how="left", maintain_order="left")


def map_of(
    table: pl.DataFrame,
    marks: list[Mark],
    width: float,
    caption: str,
    words: EffectWords = ROLE,
    noun: str = "head",
) -> Drawing:
    """Draw a table with one row per head, or other `noun`, `g` as colour.

    A cell has at most one mark, the last of `marks` that applies, and those that go around it.
    """
    place = places_of(table)
    rows = int(np.max(table["head"].to_numpy(), initial=0)) + 1
    across = max(place.values()) + 1
    narrow = width < NARROW
    left, aside = 9.0, 0.0 if narrow else 46.0
    cell = min((width - left - aside - 2) / across, 14.0)
    headings = group_headings(place, cell)
    top = LABEL_TIER * (1 + max(tier for _, _, tier in headings)) + 3.0
    height = min(cell, 7.0) if not narrow else min(max(cell, 3.0), 7.0)
    foot, below = 7.0, 18.0 + LEGEND_STEP * len(marks) if narrow else 0.0
    drawn_height = max(rows * height, 0.0 if narrow else max(48.0, 36.0 + LEGEND_STEP * len(marks)))
    figure = canvas(width, top + drawn_height + foot + below, layout=None)
    axes = axes_at(figure, left, top, cell * across, rows * height)
    axes.set_xlim(-0.5, across - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    norm = effect_scale(table)
    cells(axes, table, place, norm)
    used = draw_marks(axes, table, place, marks, norm, min(cell, height))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=2)
    block_ticks(axes, place, cell)
    heads = range(0, rows, 1 if height >= 2.6 else 2)
    axes.set_yticks(heads, list(map(str, heads)))
    axes.set_ylabel(noun, labelpad=2)
    write_headings(axes, headings, -0.5)
    if narrow:
        start = top + rows * height + foot
        scale(figure, norm, left, start + 9, width - left - 4, words, narrow=True)
        legend(figure, used, left, start + 18)
    else:
        start = left + cell * across + 8
        scale(figure, norm, start, top + 6, 26, words, narrow=False)
        legend(figure, used, start, top + 41)
    return Drawing(figure, alt(table, used, words, noun), f"{caption} {legend_of(table, noun)}")


def legend_of(table: pl.DataFrame, noun: str) -> str:
    """Return what the kinds of block are, and what hatching means, in sentences."""
    said = "; ".join(f"{kind}, {BLOCK_KINDS[kind]}" for kind in dict.fromkeys(table["block_kind"]))
    lacking = table.filter(pl.col("g").is_null())
    has_t = "t" in lacking.columns and lacking["t"].count() > 0  # two items give no effect size
    what = "no effect size" if has_t else "no variance"
    hatched = "" if lacking.is_empty() else f" Hatched {noun}s have {what}."
    return f"Kinds of block: {said}.{hatched}"


def group_headings(place: dict[BlockColumn, float], cell: float) -> list[Heading]:
    """Return one heading per kind of block and stream; `cell` is the width of a column in mm."""
    firsts = {column[:2]: x for column, x in reversed(place.items())}
    texts = {
        x: [kind] if kind == stream else [kind, "all tokens" if stream == "all" else stream]
        for (kind, stream), x in reversed(firsts.items())
    }
    ends = [x * cell + GLYPH * (1 + max(map(len, lines))) for x, lines in texts.items()]
    rows = tiers([(x * cell, end) for x, end in zip(texts, ends, strict=True)])
    return [(x, "\n".join(texts[x]), row) for x, row in zip(texts, rows, strict=True)]


def places_of(table: pl.DataFrame) -> dict[BlockColumn, float]:
    """Return the columns from left to right, each with its place in cells.

    Kinds of block and streams come in the order of the table, which is the network's.
    """
    present: list[BlockColumn] = list(
        dict.fromkeys(table.select("block_kind", "stream", "block").iter_rows())
    )
    order = list(dict.fromkeys(column[:2] for column in present))
    columns = sorted(present, key=lambda column: (order.index(column[:2]), column[2]))
    return {column: index + GAP * order.index(column[:2]) for index, column in enumerate(columns)}


def effect_scale(table: pl.DataFrame) -> Normalize:
    """Return the scale of effects: linear to LINEAR_TO, logarithmic beyond, symmetric about 0."""
    sizes = table["g"].drop_nulls().abs().to_numpy()
    largest = float(np.max(sizes, initial=2 * LINEAR_TO))
    slope = 1 - 1 / math.e  # the same at both sides of LINEAR_TO
    return SymLogNorm(LINEAR_TO, linscale=slope, vmin=-largest, vmax=largest, base=math.e)


def cells(
    axes: Axes, table: pl.DataFrame, place: dict[BlockColumn, float], norm: Normalize
) -> None:
    """Draw one cell per head; a head without an effect is hatched."""
    for row in table.iter_rows(named=True):
        x, level = place[row["block_kind"], row["stream"], row["block"]], step(norm, row["g"])
        cell = Rectangle(
            (x - 0.5, row["head"] - 0.5), 1, 1, linewidth=0.5,
            **LACKING if level is None else {"facecolor": DIVERGING[level], "edgecolor": PAPER},
        )  # fmt: skip
        cell.set_gid(f"{UNIT_MARK}{row_name(row)}")
        axes.add_patch(cell)


def step(norm: Normalize, effect: float | None) -> int | None:
    """Return the step of the colour scale for an effect, if there is one."""
    return None if effect is None else round(float(norm(effect)) * (LEVELS - 1))


def mark_colour(level: int | None) -> str:
    """Return the colour of marks on a step of the scale: at least 3:1 in contrast, on each theme.

    None is a cell without an effect.
    """
    strong = level is not None and abs(level / (LEVELS - 1) - 0.5) > STRONG
    return ON_STRONG if strong else ON_WEAK


def draw_marks(
    axes: Axes,
    table: pl.DataFrame,
    place: dict[BlockColumn, float],
    marks: list[Mark],
    norm: Normalize,
    side: float,
) -> list[tuple[Mark, int]]:
    """Draw one mark per cell and what goes around it; return each with the number of its heads."""
    points_per_mm = 72 / MM_PER_INCH
    taken: set[str] = set()
    used = []
    for mark in reversed(marks):
        rows = table.filter(pl.col(mark.column).fill_null(False))
        used.append((mark, len(rows)))
        free = rows if mark.around else rows.filter(~pl.col("unit").is_in(list(taken)))
        for colour in (ON_STRONG, ON_WEAK):
            of_colour = [
                row
                for row in free.iter_rows(named=True)
                if mark_colour(step(norm, row["g"])) == colour
            ]
            if of_colour:
                axes.scatter(
                    [place[row["block_kind"], row["stream"], row["block"]] for row in of_colour],
                    [row["head"] for row in of_colour],
                    s=(mark.size * side * points_per_mm) ** 2, marker=mark.shape,
                    facecolors="none" if mark.around else colour, edgecolors=colour,
                    linewidths=0.7 if mark.around else 0, zorder=3,
                )  # fmt: skip
        if not mark.around:
            taken |= set(rows["unit"])
    return used[::-1]


def block_ticks(axes: Axes, place: dict[BlockColumn, float], cell: float) -> None:
    """Write the numbers of blocks on the horizontal axis, of narrow columns some."""
    every = 1 if cell >= 3.4 else 2 if cell >= 1.8 else 4
    shown = {x: str(block) for (_, _, block), x in place.items() if block % every == 0}
    axes.set_xticks(list(shown), list(shown.values()))
    axes.set_xlabel("block", labelpad=2)


def write_headings(axes: Axes, headings: list[Heading], top: float) -> None:
    """Write the headings of groups of blocks above `top`, the end of the vertical axis."""
    for place, text, tier in headings:
        rise = 3.5 + tier * LABEL_TIER * 72 / MM_PER_INCH
        axes.annotate(
            text,
            (place - 0.5, top), xytext=(0, rise), textcoords="offset points",
            ha="left", va="bottom", linespacing=1.25, fontsize=7.5,
        )  # fmt: skip


def scale(
    figure: Canvas,
    norm: Normalize,
    left: float,
    top: float,
    length: float,
    words: EffectWords,
    *,
    narrow: bool,
) -> None:
    """Draw the colour scale with its meaning, below the map or next to it."""
    axes = axes_at(figure, left, top, *((length, 3.2) if narrow else (3.2, length)))
    ticks = [0.0]
    for tick in sorted((tick for tick in TICKS if norm(tick) <= 1.001), reverse=True):
        if all(abs(norm(tick) - norm(other)) > MIN_APART for other in ticks):
            ticks += [tick, -tick]
    bar = figure.colorbar(
        ScalarMappable(norm, ListedColormap(DIVERGING)),
        cax=axes,
        orientation="horizontal" if narrow else "vertical",
    )
    bar.set_ticks(sorted(ticks), labels=[written_tick(tick) for tick in sorted(ticks)])
    bar.minorticks_off()
    bar.outline.set_visible(False)
    axes.tick_params(length=1.5, pad=1.5, labelsize=6.5)
    text: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    title = {**text, "fontsize": 7, "color": INK, "va": "bottom"}
    end = {**title, "color": MUTED}
    if narrow:
        axes.annotate("effect, Hedges’ g", (0, 1), xytext=(0, 12), **title)
        axes.annotate(words.below, (0, 1), xytext=(0, 3), **end)
        axes.annotate(words.above, (1, 1), xytext=(0, 3), ha="right", **end)
    else:
        axes.annotate("effect, Hedges’ g", (0, 1), xytext=(0, 14), **title)
        axes.annotate(words.above, (0, 1), xytext=(0, 4), **end)
        axes.annotate(words.below, (0, 0), xytext=(0, -4), **{**end, "va": "top"})


def alt(table: pl.DataFrame, used: list[tuple[Mark, int]], words: EffectWords, noun: str) -> str:
    said = ", ".join(f"{number} {mark.meaning}" for mark, number in used)
    tested = "role_t" in table.columns
    by_effect = table.drop_nulls("g").sort(pl.col("g").abs(), descending=True)
    first = by_evidence(table.drop_nulls("role_t")) if tested else by_effect
    if DEPENDS.name in table.columns and table[DEPENDS.name].any():
        depends = by_evidence(table.filter(DEPENDS.name))
        said += f" ({named(depends['unit'].to_list(), MAX_NAMED)})"
    ends = "".join(
        f" The strongest of the role is {row_name(row)}, role t {signed(row['role_t'])}."
        if tested
        else f" The largest effect is that of {row_name(row)}, g {signed(row['g'])}."
        for row in first.head(1).iter_rows(named=True)
    )
    return (
        f"Map of {plural(len(table), noun)}: one column per block and stream, one row per {noun}, "
        f"coloured by Hedges’ g of {words.of}: {said}.{ends}"
    )
