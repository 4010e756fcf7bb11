"""The effect of every item, along the axis of the study, for the strongest heads."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from otherview.analysis.analyse import at_level
from otherview.analysis.tables import by_strength
from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE
from otherview.views.figures.style import NARROW, Drawing, canvas, clipped, rows_axis, rules
from otherview.views.numbers import decimal, significant
from otherview.views.vocabulary import RESPONSES

PANELS_WIDE, PANELS_NARROW = 6, 3
LETTER = 1.4
"""Approximate width of a letter of the name of the axis, in millimetres."""
MAX_NAMED = 40
"""Items up to which every row is labelled."""


def draw_axis(result: RunResult, width: float) -> Drawing:
    """One row per item, one panel per head: response under test minus under control.

    Raises NotInResultError if only slices were captured or no head has a t.
    """
    narrow = width < NARROW
    panels_wanted = 2 if width < 80 else PANELS_NARROW if narrow else PANELS_WIDE
    heads = by_strength(result.heads.drop_nulls("t")).head(panels_wanted)
    if heads.is_empty():
        raise NotInResultError("no head has a t")
    items = result.differences.items
    named = len(items) <= MAX_NAMED
    height = (3.5 if named else 1.2) * len(items)
    figure = canvas(width, height + (26 if narrow else 22))
    panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    rows_axis(panels[0], [clipped(item, 22 if narrow else 40) if named else "" for item in items],
              fontsize=6.5)  # fmt: skip
    rows = np.arange(len(items))
    said = []
    for axes, facts in zip(panels, heads.iter_rows(named=True), strict=True):
        name, level = facts["unit"], facts.get("noise_level")
        values = result.differences.of(name, level)
        name = name if level is None else at_level(name, level)
        colours = np.where(values > 0, ORANGE, BLUE)
        axes.axvline(0, color=MUTED, linewidth=0.6)
        axes.hlines(rows, 0, values, color=colours.tolist(), linewidth=0.9, alpha=0.55)
        axes.scatter(values, rows, s=8, color=colours.tolist(), linewidths=0, zorder=3)
        note = f"t {decimal(facts['t'], 1)}"
        if facts.get("trend_p_maxt") is not None:
            note += f"\ntrend p {significant(facts['trend_p_maxt'], 1)}"
        axes.set_title(
            f"{name}\n{note}", fontsize=6 if narrow else 6.5, linespacing=1.3, loc="left"
        )
        axes.xaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2))
        axes.tick_params(axis="x", labelsize=6.5)
        axes.spines["left"].set_visible(False)
        rules(axes, "y")
        axes.tick_params(axis="y", length=0)
        same = int(max((values > 0).sum(), (values < 0).sum()))
        said.append(f"{name}: {same} of {len(values)} items on one side")
    axis = result.summary.get("axis")
    written = clipped(axis or "", 60)
    if axis is not None and (narrow or height < LETTER * len(written)):
        figure.suptitle(f"↓ {written}", x=0.01, ha="left", fontsize=7, color=MUTED)
    elif axis is not None:
        panels[0].set_ylabel(f"{written} →", color=MUTED)
        panels[0].yaxis.label.set_rotation(270)
        panels[0].yaxis.label.set_rotation_mode("anchor")
        panels[0].yaxis.labelpad = 10
    scale = RESPONSES[result.summary["reading"]["response"]]
    figure.supxlabel(f"difference in {scale}, test − control", fontsize=7.5, color=INK)
    along = f" in the order of {axis}" if axis else ""
    first = ", those that follow the role first" if "role_called" in heads.columns else ""
    return Drawing(
        figure,
        f"Difference test minus control of each item{along}. {'; '.join(said)}.",
        f"Difference in {scale}, test minus control, of every item for the strongest heads{first}. "
        "Each head has its own scale.",
    )
