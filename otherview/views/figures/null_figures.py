"""Observed against null: the counts, and the largest |t|."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from otherview.results.reader import RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE
from otherview.views.figures.style import NARROW, Drawing, canvas, legend_above, rules
from otherview.views.numbers import count, decimal, percent, plural, power_of_ten, significant
from otherview.views.vocabulary import LARGEST, main_result, patterns

MAX_POINTS = 240
"""Maximal number of points of a curve."""
MAX_THRESHOLDS = 3
NEAR = 2.5
"""Ratio to the critical |t| below which the observed one leaves no room for a label between."""
TICKS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


def draw_nulls(result: RunResult, width: float) -> Drawing:
    """Draw how often sign flips alone give as many units, or as large a |t|, as observed.

    Uses the slices if no heads were captured.
    """
    unit_set, found, noun = main_result(result.summary)
    test, reading = found["sign_flip"], found["published_reading"]
    counts = test["counts"][:MAX_THRESHOLDS]
    statistics = [f"count_{row['threshold']:g}" for row in counts] + ["max_abs_t"]
    narrow = width < NARROW
    figure = canvas(width, (46.0 * len(statistics) + 4) if narrow else 58.0)
    shape = (len(statistics), 1) if narrow else (1, len(statistics))
    panels = figure.subplots(*shape, squeeze=False).ravel()
    rows = result.nulls.filter(unit_set=unit_set)
    all_patterns = (
        "all sign patterns" if test["exact"] else f"{count(test['patterns'])} random patterns"
    )
    for index, (axes, statistic) in enumerate(zip(panels, statistics, strict=True)):
        of_statistic = rows.filter(statistic=statistic)
        reached = reading.get("max_abs_t") if test["exact"] and statistic == "max_abs_t" else None
        curve(axes, of_statistic.filter(null="sign_flip"), BLUE, all_patterns, reached)
        published = of_statistic.filter(null="published")
        curve(axes, published, ORANGE, plural(reading["flips"], "random flip"))
        share_of_patterns(axes, labelled=narrow or index == 0)
        if statistic == "max_abs_t":
            draw_largest(axes, found, noun)
        else:
            largest = float(np.max(of_statistic["value"].to_numpy(), initial=0))
            draw_count(axes, counts[index], noun, largest)
    handles, labels = panels[0].get_legend_handles_labels()
    legend_above(figure, 2, handles=handles, labels=labels, handlelength=1.4)
    return Drawing(figure, alt(found, counts, noun), caption(found, noun))


def curve(
    axes: Axes, rows: pl.DataFrame, colour: str, label: str, reached: float | None = None
) -> None:
    """Draw the share of the patterns that reach a value, as a falling staircase.

    Pruned enumeration counts all patterns below a floor as largest |t| 0: the curve starts at the
    floor. The last bin of the largest |t| has no upper end: `reached` is a value that one of the
    patterns has, to which the curve then goes.
    """
    ordered = rows.filter((pl.col("value") > 0) | (pl.col("statistic") != "max_abs_t")).sort(
        "value"
    )
    if ordered.is_empty():
        return
    values = ordered["value"].to_numpy()
    shares = np.cumsum(ordered["patterns"].to_numpy()[::-1])[::-1] / rows["patterns"].sum()
    if reached is not None and reached > values[-1]:
        values = np.append(values[:-1], reached)
    if len(values) > MAX_POINTS:
        kept = np.unique(np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int))
        values, shares = values[kept], shares[kept]
    end = shares[-1] / 3
    axes.step([*values, values[-1]], [*shares, end], where="pre", color=colour, label=label,
              solid_joinstyle="round")  # fmt: skip


def share_of_patterns(axes: Axes, *, labelled: bool) -> None:
    """Make the vertical axis a logarithmic one of shares."""
    axes.set_yscale("log")
    axes.set_ylim(max(axes.get_ylim()[0], 1e-12) / 1.5, 2)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: power_of_ten(round(np.log10(value))))
    )
    rules(axes, "y")
    if labelled:
        axes.set_ylabel("share of sign patterns\nthat reach it")


def mark_observed(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=INK, linewidth=1.1)
    is_right = axes.transAxes.inverted().transform(axes.transData.transform((value, 1)))[0] > 0.5
    axes.annotate(
        f"observed {text}", (value, 0.97), xycoords=("data", "axes fraction"),
        xytext=(-3, 0) if is_right else (9, 0), textcoords="offset points", rotation=90,
        rotation_mode="anchor", ha="right", va="bottom", fontsize=7,
    )  # fmt: skip


def draw_count(axes: Axes, row: dict[str, Any], noun: str, largest_null: float) -> None:
    axes.set_title(f"How many {noun} pass |t| > {row['threshold']:g}")
    axes.set_xlabel(f"{noun} with |t| > {row['threshold']:g}")
    right = max(row["observed"], largest_null, 4)
    axes.set_xlim(-0.03 * right, right * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    mark_observed(axes, row["observed"], count(row["observed"]))


def draw_largest(axes: Axes, found: dict[str, Any], noun: str) -> None:
    axes.set_title("The largest |t|")
    axes.set_xlabel(f"{LARGEST} over {count(found['units'])} {noun}")
    axes.set_xscale("log")
    observed = found["published_reading"].get("max_abs_t")
    low, high = axes.get_xlim()
    low, high = max(low, 0.5), max(high, (observed or 0) * 1.35)
    axes.set_xlim(low, high)
    ticks = [size for size in TICKS if low <= size <= high]
    ticks = ticks if len(ticks) <= 7 else [size for size in ticks if size not in (3, 500)]
    axes.set_xticks(ticks, [f"{size:g}" for size in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    test = found["sign_flip"]
    if (critical := test.get("critical_t")) is not None:
        axes.plot([critical], [test["alpha"]], "o", color=BLUE, markersize=3.5)
        before = observed is not None and critical < observed < NEAR * critical
        axes.annotate(
            f"critical {decimal(critical)}", (critical, test["alpha"]),
            xytext=(-5, -1) if before else (5, 1), textcoords="offset points", fontsize=7,
            ha="right" if before else "left", va="top" if before else "bottom", color=INK,
        )  # fmt: skip
    if observed is not None:
        mark_observed(axes, observed, decimal(observed, 1))
    else:
        axes.text(0.5, 0.5, "no head has a t", transform=axes.transAxes, color=MUTED, ha="center")


def alt(found: dict[str, Any], counts: list[dict[str, Any]], noun: str) -> str:
    test, largest = found["sign_flip"], found["published_reading"].get("max_abs_t")
    parts = [
        f"{count(row['observed'])} of {count(found['units'])} {noun} have |t| > "
        f"{row['threshold']:g}; sign flips give {significant(row['null_mean'])} on average and as "
        f"many with p = {significant(row['p'])}"
        for row in counts
    ]
    if largest is not None:
        parts.append(f"the {LARGEST} is {decimal(largest)}")
    if "critical_t" in test:
        parts.append(f"{decimal(test['critical_t'])} is reached by chance in "
                     f"{percent(test['alpha'])} of the patterns")  # fmt: skip
    return f"Observed against null. {'; '.join(parts)}."


def caption(found: dict[str, Any], noun: str) -> str:
    """Return a caption for panels and curves."""
    test = found["sign_flip"]
    critical = (
        f" The dot is the critical |t|: {decimal(test['critical_t'])} or more is reached by chance "
        f"in {percent(test['alpha'])} of the patterns."
        if "critical_t" in test
        else ""
    )
    ends = (
        " The observed pattern is one of the patterns, so the blue curve does not end before it."
        if test["exact"]
        else ""
    )
    return (
        f"Left to right: {noun} over each threshold, and the largest |t| of all. Blue: "
        f"{patterns(test)} patterns; orange: the "
        f"{plural(found['published_reading']['flips'], 'random flip')} of the published reading."
        f"{critical}{ends}"
    )
