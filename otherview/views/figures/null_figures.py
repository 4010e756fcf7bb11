"""Observed against null: both counts, and the largest |t|."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from otherview.results.reader import RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.numbers import count, power_of_ten, significant
from otherview.views.figures.style import NARROW, Drawing, canvas

NOUNS = {"heads": "heads", "slices16": "slices"}
MOST_POINTS = 240
"""Of a curve: more cannot be told apart in print."""
MOST_THRESHOLDS = 3


def draw_nulls(result: RunResult, width: float, unit_set: str = "heads") -> Drawing:
    """How often sign flips alone give as many units, or as large a |t|, as was seen.

    Falls back to the slices where no heads were captured.
    """
    unit_set = unit_set if unit_set in result.units else next(iter(result.units))
    found = result.summary["results"][unit_set]
    counts = found["sign_flip"]["counts"][:MOST_THRESHOLDS]
    statistics = [f"count_{row['threshold']:g}" for row in counts] + ["max_abs_t"]
    narrow = width < NARROW
    figure = canvas(width, (46.0 * len(statistics) + 4) if narrow else 58.0)
    shape = (len(statistics), 1) if narrow else (1, len(statistics))
    panels = figure.subplots(*shape, squeeze=False).ravel()
    rows = result.nulls.filter(unit_set=unit_set)
    for index, (axes, statistic) in enumerate(zip(panels, statistics, strict=True)):
        of_statistic = rows.filter(statistic=statistic)
        curve(axes, of_statistic.filter(null="sign_flip"), BLUE, flips_name(found["sign_flip"]),
               found["sign_flip"]["patterns"])  # fmt: skip
        curve(axes, of_statistic.filter(null="published"), ORANGE,
               f"{found['published_reading']['flips']} random flips", None)  # fmt: skip
        _axes(axes, narrow or index == 0)
        if statistic == "max_abs_t":
            _largest(axes, found, unit_set)
        else:
            largest_null = float(np.max(of_statistic["value"].to_numpy(), initial=0))
            _count(axes, counts[index], unit_set, largest_null)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0.1,
                  columnspacing=1.6, handlelength=1.4)  # fmt: skip
    return Drawing(figure, alt(found, counts, unit_set))


def flips_name(test: dict[str, Any]) -> str:
    return "all sign patterns" if test["exact"] else f"{test['patterns']:,} random patterns"


def curve(axes: Axes, rows: pl.DataFrame, colour: str, label: str, patterns: int | None) -> None:
    """Share of the patterns that reach a value, as a falling staircase on a logarithmic scale.

    `patterns` is their number. Pruned enumeration counts all patterns below a floor as largest
    |t| 0: the curve starts at the floor.
    """
    if rows.is_empty():
        return
    ordered = rows.filter((pl.col("value") > 0) | (pl.col("statistic") != "max_abs_t")).sort(
        "value"
    )
    values = ordered["value"].to_numpy()
    reached = np.cumsum(ordered["patterns"].to_numpy()[::-1])[::-1]
    shares = reached / (patterns or reached[0])
    if len(values) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int))
        values, shares = values[kept], shares[kept]
    end = shares[-1] / 3
    axes.step([*values, values[-1]], [*shares, end], where="pre", color=colour, label=label,
              solid_joinstyle="round")  # fmt: skip


def _axes(axes: Axes, labelled: bool) -> None:
    axes.set_yscale("log")
    low = max(axes.get_ylim()[0], 1e-12)
    axes.set_ylim(low / 1.5, 2)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: power_of_ten(round(np.log10(value))))
    )
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    if labelled:
        axes.set_ylabel("share of sign patterns\nthat reach it")


def _observed(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=INK, linewidth=1.1)
    is_right = axes.transAxes.inverted().transform(axes.transData.transform((value, 1)))[0] > 0.5
    axes.annotate(
        text, (value, 0.97), xycoords=("data", "axes fraction"),
        xytext=(-3, 0) if is_right else (9, 0), textcoords="offset points", rotation=90,
        rotation_mode="anchor", ha="right", va="bottom", fontsize=7,
    )  # fmt: skip


def _count(axes: Axes, row: dict[str, Any], unit_set: str, largest_null: float) -> None:
    axes.set_title(f"How many {NOUNS[unit_set]} pass |t| > {row['threshold']:g}")
    axes.set_xlabel(f"{NOUNS[unit_set]} with |t| > {row['threshold']:g}")
    right = max(row["observed"], largest_null, 4)
    axes.set_xlim(-0.03 * right, right * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _observed(axes, row["observed"], f"observed {row['observed']:,}")


def _largest(axes: Axes, found: dict[str, Any], unit_set: str) -> None:
    axes.set_title("The largest |t|")
    axes.set_xlabel(f"largest |t| over {count(found['units'])} {NOUNS[unit_set]}")
    axes.set_xscale("log")
    observed = found["published_reading"].get("max_abs_t")
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, 0.5), max(high, (observed or 0) * 1.35))
    ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
             if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]  # fmt: skip
    ticks = ticks if len(ticks) <= 7 else [tick for tick in ticks if tick not in (3, 500)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    critical = found["sign_flip"].get("critical_t")
    if critical is not None:
        axes.plot([critical], [found["sign_flip"]["alpha"]], "o", color=BLUE, markersize=3.5)
        axes.annotate(
            f"critical {critical:.2f}", (critical, found["sign_flip"]["alpha"]), xytext=(5, 1),
            textcoords="offset points", fontsize=7, va="bottom", color=INK,
        )  # fmt: skip
    if observed is not None:
        _observed(axes, observed, f"observed {observed:.1f}")
    else:
        axes.text(0.5, 0.5, "no head has a t", transform=axes.transAxes, color=MUTED, ha="center")


def alt(found: dict[str, Any], counts: list[dict[str, Any]], unit_set: str) -> str:
    parts = [
        f"{row['observed']:,} of {found['units']:,} {NOUNS[unit_set]} have |t| > "
        f"{row['threshold']:g}; sign flips give {significant(row['null_mean'])} on average and as "
        f"many with p = {significant(row['p'])}"
        for row in counts
    ]
    largest = found["published_reading"].get("max_abs_t")
    if largest is not None:
        parts.append(f"the largest |t| is {largest:.2f}")
    if "critical_t" in found["sign_flip"]:
        parts.append(f"{found['sign_flip']['critical_t']:.2f} is reached by chance in "
                     f"{found['sign_flip']['alpha']:.0%} of the patterns")  # fmt: skip
    return "Observed against null. " + "; ".join(parts) + "."
