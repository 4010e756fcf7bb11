"""Pictures of what was observed against its null, as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from otherview.views.tracking.histograms import T_BINS, Histogram

NULL_STYLES = {
    "published": ("#E69F00", "200 random flips, as published"),
    "sign_flip": ("#0072B2", "sign flips of items"),
}
"""Colours of Okabe and Ito, which colour-blind people can tell apart."""
OBSERVED = "#D55E00"
TITLES = {"heads": "heads", "slices16": "slices of 16 channels"}


def null_figure(
    unit_set: str, statistic: str, observed: float, nulls: Mapping[str, Histogram]
) -> bytes:
    """Where the observed value lies in its null distributions.

    Counts as shares of sign patterns; the largest |t| as a density, since bins differ in width.
    """
    figure, axes = _axes()
    counted = statistic != "max_abs_t"
    for name, null in nulls.items():
        colour, label = NULL_STYLES.get(name, ("#999999", name))
        shares = null.weights / null.weights.sum()
        heights = shares if counted else shares / np.diff(null.edges)
        flips = f"{null.weights.sum():,.0f}"
        label = label.replace("200", flips) if name == "published" else f"{label} ({flips})"
        axes.stairs(heights, null.edges, fill=True, alpha=0.45, color=colour, label=label)
    axes.axvline(observed, color=OBSERVED, linewidth=2, label=f"observed: {observed:,.4g}")
    named = TITLES.get(unit_set, unit_set)
    above = statistic.removeprefix("count_")
    axes.set_xlabel(f"{named} with |t| > {above}" if counted else f"largest |t| over {named}")
    axes.set_ylabel("share of sign patterns" if counted else "density over sign patterns")
    return png(figure, axes)


def t_figure(
    unit_set: str, t: Float[np.ndarray, " units"], items: int, critical_t: float | None
) -> bytes:
    """t over units against Student's t: what a unit without effect gives, were items normal."""
    figure, axes = _axes()
    heights, edges = np.histogram(t, bins=T_BINS, density=True)
    axes.stairs(
        heights, edges, fill=True, alpha=0.6, color=OBSERVED, label=f"observed ({len(t):,})"
    )
    reach = max(5.0, float(np.abs(t).max()))
    grid = np.linspace(-reach, reach, 801)
    axes.plot(
        grid,
        stats.t.pdf(grid, items - 1),
        color="#0072B2",
        label=f"no effect: Student's t, {items - 1} df",
    )
    if critical_t is not None:
        for side in (-critical_t, critical_t):
            axes.axvline(side, color="black", linestyle="--", linewidth=1)
        axes.plot([], [], "k--", linewidth=1, label=f"family-wise |t| > {critical_t:.2f}")
    axes.set_xlabel(f"t of {TITLES.get(unit_set, unit_set)}, test minus control")
    axes.set_ylabel("density")
    return png(figure, axes)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
    return figure, figure.add_subplot()


def png(figure: Figure, axes: Axes) -> bytes:
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
