"""Would other items have said the same: the half that chose the heads against the other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, MUTED, ORANGE, RULE
from otherview.views.figures.numbers import plural
from otherview.views.figures.style import NARROW, Drawing, canvas

TICKS = [sign * tick for sign in (-1, 1) for tick in (3, 10, 30, 100, 300, 1000)]


def draw_halves(result: RunResult, width: float) -> Drawing:
    """t on the items that chose a head, and on those that tested it; a point a head.

    Raises NotInResultError with fewer than four items or where only slices were captured.
    """
    from otherview.stats.stability import discovery_halves

    heads = result.heads
    if "confirmed" not in heads.columns:
        raise NotInResultError("four items are needed to choose on one half and test on the other")
    values = result.differences.values
    columns = np.array([result.differences.heads.index(unit) for unit in heads["unit"]])
    chose, tested = discovery_halves(len(values), result.summary["seed"])
    x, y = _t(values[np.ix_(chose, columns)]), _t(values[np.ix_(tested, columns)])
    chosen, confirmed = (heads[name].to_numpy() for name in ("discovered", "confirmed"))
    side = min(width, 96.0)
    figure = canvas(width if width < 100 else 110.0, side * 0.86)
    axes = figure.subplots()
    axes.axhline(0, color=RULE, linewidth=0.6)
    axes.axvline(0, color=RULE, linewidth=0.6)
    groups = (
        (~chosen, MUTED, "none", "not chosen"),
        (chosen & ~confirmed, ORANGE, "none", "chosen, not confirmed"),
        (confirmed, BLUE, BLUE, "chosen and confirmed"),
    )
    for which, edge, face, name in groups:
        axes.scatter(x[which], y[which], s=13, facecolors=face, edgecolors=edge, linewidths=0.9,
                     label=f"{name}: {int(which.sum())}", zorder=3)  # fmt: skip
    _axes(axes, x, y)
    axes.set_xlabel(f"t on the {plural(len(chose), 'item')} that chose")
    axes.set_ylabel(f"t on the other {plural(len(tested), 'item')}")
    figure.legend(loc="outside upper left", ncols=1 if width < NARROW else 3, handletextpad=0.2,
                  borderaxespad=0.1, columnspacing=1.4)  # fmt: skip
    found = result.summary["results"]["heads"]
    mean = found.get("split_half", {}).get("mean_correlation")
    said = f" Over random halves the t-maps correlate {mean:.2f} on average." if mean else ""
    return Drawing(
        figure,
        f"t of {len(heads)} heads on the half of the items that chose them against the other half: "
        f"{int(chosen.sum())} were chosen, {int(confirmed.sum())} of them confirmed.{said}",
    )


def _t(values: Float[np.ndarray, "items heads"]) -> Float[np.ndarray, " heads"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))
    return np.where(np.isfinite(t), t, np.nan)


def _axes(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    largest = float(np.nanmax(np.abs([x, y]), initial=4.0)) * 1.25
    for name in ("x", "y"):
        axis = getattr(axes, f"{name}axis")
        getattr(axes, f"set_{name}scale")("symlog", linthresh=3, linscale=0.9)
        getattr(axes, f"set_{name}lim")(-largest, largest)
        ticks = sorted([0, *(tick for tick in TICKS if abs(tick) <= largest)])
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
