"""How well the axis of the role holds in every head, block by block."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, PAPER
from otherview.views.figures.head_map import (
    LABEL_TIER,
    BlockColumn,
    block_ticks,
    group_headings,
    places_of,
    write_headings,
)
from otherview.views.figures.style import NARROW, Drawing, axes_at, canvas, rules
from otherview.views.numbers import decimal, percent, plural

SPREAD = 0.6
"""Width over which the heads of a block are spread, in columns."""
PANELS = (
    ("axis_decoding", "decoded right", 0.5),
    ("axis_cosine", "cosine of axes", 0.0),
)
"""Column, label, and the value without a role."""


def draw_role_axes(result: RunResult, width: float) -> Drawing:
    """Draw decoding and cosine of the role's axis, one marker per head.

    Raises NotInResultError where the study kept no mean vectors.
    """
    heads = result.heads
    if "axis_decoding" not in heads.columns or heads["axis_decoding"].null_count() == len(heads):
        raise NotInResultError(
            "no axes were found: run with capture.keep=[energy,mean] and several wordings per role"
        )
    place = places_of(heads)
    across = max(place.values()) + 1
    narrow = width < NARROW
    left, right, each = 15.0, 3.0, 30.0 if narrow else 34.0
    cell = (width - left - right) / across
    headings = group_headings(place, cell)
    top = LABEL_TIER * (1 + max(tier for _, _, tier in headings)) + (13.5 if narrow else 9.0)
    figure = canvas(width, top + 2 * each + 6 + 12, layout=None)
    for row, (name, label, chance) in enumerate(PANELS):
        axes = axes_at(figure, left, top + row * (each + 6), width - left - right, each)
        draw_panel(axes, heads, name, place)
        axes.axhline(chance, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        axes.set_ylabel(label)
        axes.set_xlim(-0.5, across - 0.5)
        block_ticks(axes, place, cell)
        rules(axes, "y")
        if not row:
            axes.set_ylim(min(0.45, float(np.nanmin(heads[name].to_numpy())) - 0.03), 1.03)
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
            write_headings(axes, headings, 1.03)
        else:
            axes.set_ylim(min(-0.25, float(np.nanmin(heads[name].to_numpy())) - 0.05), 1.06)
    said = {True: "axis of the role, family-wise", False: "not shown to have one"}
    for called, face in ((True, BLUE), (False, PAPER)):
        axes.plot([], [], "o", markersize=3.6, markerfacecolor=face, markeredgecolor=BLUE,
                  markeredgewidth=0.8, label=said[called])  # fmt: skip
    figure.legend(loc="upper left", bbox_to_anchor=(0.01, 1.0), ncols=1 if narrow else 2,
                  borderaxespad=0.1)  # fmt: skip
    found = result.summary["results"]["heads"]["axes"]
    best = heads.filter("axis_called").sort("axis_decoding", descending=True)
    named = "".join(
        f" {row['unit']}: decoded {percent(row['axis_decoding'])}, cosine "
        f"{decimal(row['axis_cosine'])};"
        for row in best.head(3).iter_rows(named=True)
    )
    return Drawing(
        figure,
        f"Axis of the role by block. {plural(found['called'], 'head')} of {len(heads)} "
        f"{'has' if found['called'] == 1 else 'have'} one, family-wise.{named[:-1]}",
        "One marker per head, its block from left to right in the order of the network. Above: "
        "share of responses to items and wordings that were left out which the axis puts on the "
        "right side (half without a role). Below: mean cosine of axes from halves without a "
        f"common item or wording. Filled: the means of the roles differ over items and wordings "
        f"({percent(found['alpha'])}, over all heads together).",
    )


def draw_panel(axes: Axes, heads: pl.DataFrame, name: str, place: dict[BlockColumn, float]) -> None:
    """Draw one value of every head, filled where the head has an axis."""
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelcolor=INK)
    for row in heads.drop_nulls(name).iter_rows(named=True):
        column = (row["block_kind"], row["stream"], row["block"])
        of_block = heads.filter(block_kind=column[0], stream=column[1], block=column[2])
        aside = SPREAD * ((row["head"] + 0.5) / len(of_block) - 0.5)
        axes.plot(
            [place[column] + aside], [row[name]], "o", markersize=3.6, markeredgewidth=0.8,
            markeredgecolor=BLUE, markerfacecolor=BLUE if row["axis_called"] else PAPER, zorder=3,
        )  # fmt: skip
