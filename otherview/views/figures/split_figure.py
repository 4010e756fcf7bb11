"""t on the half of the items that selected the heads, against t on the other half."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from otherview.results.reader import NotInResultError, RunResult
from otherview.stats.stability import discovery_halves
from otherview.views.figures.colours import BLUE, MUTED, ORANGE, RULE
from otherview.views.figures.style import NARROW, Drawing, canvas, legend_above, symlog_square
from otherview.views.numbers import decimal, plural

TICKS = (3, 10, 30, 100, 300, 1000)
CAPTION = "Each point is a head. The scale is linear to 3 and logarithmic beyond."


def draw_halves(result: RunResult, width: float) -> Drawing:
    """Draw one point per head: t on the items that selected heads, and on those that tested them.

    Raises NotInResultError with fewer than four items or if only slices were captured.
    """
    heads = result.heads
    if "confirmed" not in heads.columns:
        raise NotInResultError("selecting on one half and testing on the other needs four items")
    values = result.differences.of_table(heads)
    halves = discovery_halves(len(values), result.summary["seed"])
    x, y = (t_of(values[list(half)]) for half in halves)
    chosen, confirmed = (heads[name].to_numpy() for name in ("discovered", "confirmed"))
    figure = canvas(width if width < 100 else 110.0, min(width, 96.0) * 0.86)
    axes = figure.subplots()
    axes.axhline(0, color=RULE, linewidth=0.6)
    axes.axvline(0, color=RULE, linewidth=0.6)
    for which, edge, face, name in (
        (~chosen, MUTED, "none", "not selected"),
        (chosen & ~confirmed, ORANGE, "none", "selected, not confirmed"),
        (confirmed, BLUE, BLUE, "selected and confirmed"),
    ):
        axes.scatter(x[which], y[which], s=13, facecolors=face, edgecolors=edge, linewidths=0.9,
                     label=f"{name}: {int(which.sum())}", zorder=3)  # fmt: skip
    largest = float(np.nanmax(np.abs([x, y]), initial=4.0)) * 1.25
    symlog_square(axes, largest, TICKS, linear=3, linscale=0.9)
    chose, tested = (plural(len(half), "item") for half in halves)
    axes.set_xlabel(f"t on the {chose} that selected")
    axes.set_ylabel(f"t on the other {tested}")
    legend_above(figure, 1 if width < NARROW else 3, handletextpad=0.2, columnspacing=1.4)
    mean = result.summary["results"]["heads"].get("split_half", {}).get("mean_correlation")
    said = f" Over random halves the t-maps correlate {decimal(mean)} on average." if mean else ""
    alt = (
        f"t of {len(heads)} heads on the half of the items that selected them against the other "
        f"half: {int(chosen.sum())} were selected, {int(confirmed.sum())} of them confirmed.{said}"
    )
    return Drawing(figure, alt, CAPTION)


def t_of(values: Float[np.ndarray, "items heads"]) -> Float[np.ndarray, " heads"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))
    return np.where(np.isfinite(t), t, np.nan)
