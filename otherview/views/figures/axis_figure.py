"""The effect item by item, along the study's axis, for the strongest heads."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.ticker import MaxNLocator

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.numbers import significant
from otherview.views.figures.style import NARROW, Drawing, canvas, clipped

PANELS_WIDE, PANELS_NARROW = 6, 3
LETTER = 1.4
"""Millimetres of a letter of the axis' name, about."""
MOST_NAMED = 40
"""Items that can be named one below the other."""


def strongest_heads(heads: pl.DataFrame, number: int) -> list[str]:
    """Addresses by |t|, or those that follow the role first."""
    order = [pl.col("t").abs()]
    if "role_called" in heads.columns:
        order = [pl.col("role_called"), pl.col("role_min_f")]
    return heads.sort(order, descending=True, nulls_last=True)["unit"].head(number).to_list()


def draw_axis(result: RunResult, width: float) -> Drawing:
    """A row an item, a panel a head: response under test minus under control.

    Raises NotInResultError where only slices were captured or no head has an effect.
    """
    narrow = width < NARROW
    heads = result.heads
    panels_wanted = 2 if width < 80 else PANELS_NARROW if narrow else PANELS_WIDE
    units = strongest_heads(heads.drop_nulls("t"), panels_wanted)
    if not units:
        raise NotInResultError("no head has a t")
    items = result.differences.items
    named = len(items) <= MOST_NAMED
    height = (3.5 if named else 1.2) * len(items)
    figure = canvas(width, height + (26 if narrow else 22))
    panels = figure.subplots(1, len(units), sharey=True, squeeze=False)[0]
    rows = np.arange(len(items))
    for axes, unit in zip(panels, units, strict=True):
        values = result.differences.of(unit)
        colours = np.where(values > 0, ORANGE, BLUE)
        axes.axvline(0, color=MUTED, linewidth=0.6)
        axes.hlines(rows, 0, values, color=colours.tolist(), linewidth=0.9, alpha=0.55)
        axes.scatter(values, rows, s=8, color=colours.tolist(), linewidths=0, zorder=3)
        facts = heads.row(by_predicate=pl.col("unit") == unit, named=True)
        note = f"t {facts['t']:.1f}".replace("-", "−")
        if facts.get("trend_p_maxt") is not None:
            note += f"\ntrend p {significant(facts['trend_p_maxt'], 1)}"
        axes.set_title(
            f"{unit}\n{note}", fontsize=6 if narrow else 6.5, linespacing=1.3, loc="left"
        )
        axes.xaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2))
        axes.tick_params(axis="x", labelsize=6.5)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", color=RULE, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    length = 22 if narrow else 40
    panels[0].set_ylim(len(items) - 0.3, -0.7)
    if named:
        panels[0].set_yticks(rows, [clipped(item, length) for item in items], fontsize=6.5)
    axis = result.summary.get("axis")
    written = clipped(axis or "", 60)
    if axis is not None and (narrow or height < LETTER * len(written)):
        figure.suptitle(f"↓ {written}", x=0.01, ha="left", fontsize=7, color=MUTED)
    elif axis is not None:
        panels[0].set_ylabel(f"{written} →", color=MUTED)
        panels[0].yaxis.label.set_rotation(270)
        panels[0].yaxis.label.set_rotation_mode("anchor")
        panels[0].yaxis.labelpad = 10
    scale = {"rms": "RMS", "log_rms": "log RMS"}[result.summary["reading"]["response"]]
    figure.supxlabel(f"difference in {scale}, test − control", fontsize=7.5, color=INK)
    return Drawing(figure, alt(result, units, axis))


def alt(result: RunResult, units: list[str], axis: str | None) -> str:
    along = f" in the order of {axis}" if axis else ""
    parts = []
    for unit in units:
        values = result.differences.of(unit)
        same = int(max((values > 0).sum(), (values < 0).sum()))
        parts.append(f"{unit}: {same} of {len(values)} items on one side")
    return f"Difference test minus control of each item{along}. " + "; ".join(parts) + "."
