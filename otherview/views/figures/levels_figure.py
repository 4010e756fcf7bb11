"""The difference of the strongest heads at every noise level, or step of a trajectory."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from otherview.analysis.tables import by_strength
from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, PAPER, RULE
from otherview.views.figures.map_marks import CALLED, FAMILYWISE, Mark
from otherview.views.figures.style import NARROW, Drawing, canvas, rules
from otherview.views.numbers import percent, signed
from otherview.views.vocabulary import CONFOUNDED, RESPONSES

PANELS = 6
NARROW_ROW, WIDE_ROW = 2, 3
"""Panels next to each other."""
MIN_APART = 0.1
"""Between two levels whose numbers are written on the axis."""


def draw_levels(result: RunResult, width: float) -> Drawing:
    """Draw one panel per head: its items' differences and their mean, by noise level.

    Raises NotInResultError where one level was measured, or if only slices were captured.
    """
    heads = result.heads
    if "noise_level" not in heads.columns:
        raise NotInResultError("one noise level was measured: set sampling.levels to several")
    units = by_strength(heads.drop_nulls("t"))["unit"].unique(maintain_order=True)[:PANELS]
    if units.is_empty():
        raise NotInResultError("no head has a t")
    mark = CALLED if "role_called" in heads.columns else FAMILYWISE
    in_row = NARROW_ROW if width < NARROW else WIDE_ROW
    rows = -(-len(units) // in_row)
    figure = canvas(width, 40.0 * rows + 14)
    panels = figure.subplots(rows, in_row, sharex=True, squeeze=False).ravel()
    levels = heads["noise_level"].unique(maintain_order=True).to_list()
    said = []
    for axes, unit in zip(panels, units, strict=False):
        table = heads.filter(unit=unit)
        draw_head(axes, table, result.differences.of_table(table), mark)
        marked = table.filter(pl.col(mark.column).fill_null(value=False))["noise_level"]
        at = ", ".join(f"{level:.4g}" for level in marked)
        effects = ", ".join("no t" if g is None else signed(g, 1) for g in table["g"])
        said.append(f"{unit}: g {effects}; {mark.meaning} at {at or 'no level'}")
    for axes in panels[len(units) :]:
        axes.axis("off")
    scale = RESPONSES[result.summary["reading"]["response"]]
    figure.supxlabel("noise level: from noise (1) towards the picture (0)", fontsize=7.5, color=INK)
    figure.supylabel(f"difference in {scale}, test − control", fontsize=7.5, color=INK)
    alpha = percent(result.summary["results"]["heads"]["sign_flip"]["alpha"])
    confounded = any(row["confounded"] for row in result.summary["results"]["heads"]["levels"])
    named = ", ".join(f"{level:.4g}" for level in levels)
    return Drawing(
        figure,
        f"Difference of the strongest heads at noise levels {named}. {'. '.join(said)}.",
        f"Difference in {scale}, test minus control, at every noise level for the strongest heads. "
        f"Thin lines are items, the thick one is their mean; filled marks: {mark.meaning} "
        f"({alpha}, over all heads and levels together). Each head has its own scale."
        + (f" {CONFOUNDED}" if confounded else ""),
    )


def draw_head(axes: Axes, table: pl.DataFrame, differences: np.ndarray, mark: Mark) -> None:
    """Draw `differences` `[items, levels]` of one head; `mark` says which levels are marked."""
    levels = table["noise_level"].to_numpy()
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.plot(levels, differences.T, color=RULE, linewidth=0.6)
    mean, marked = differences.mean(axis=0), table[mark.column].fill_null(value=False).to_numpy()
    axes.plot(levels, mean, color=BLUE, linewidth=1.4)
    for which, face in ((marked, BLUE), (~marked, PAPER)):
        axes.scatter(levels[which], mean[which], s=20, marker=mark.shape, facecolors=face,
                     edgecolors=BLUE, linewidths=0.9, zorder=3)  # fmt: skip
    axes.set_title(str(table["unit"][0]), fontsize=6.5)
    axes.set_xlim(1.06, min(levels.min() - 0.06, 0.94))
    named: list[float] = []
    for level in levels.tolist():
        if all(abs(level - other) >= MIN_APART for other in named):
            named.append(level)
    axes.set_xticks(levels, [f"{level:.3g}" if level in named else "" for level in levels])
    axes.tick_params(axis="x", labelsize=6.5, labelbottom=True)
    axes.tick_params(axis="y", labelsize=6.5)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    rules(axes, "y")
