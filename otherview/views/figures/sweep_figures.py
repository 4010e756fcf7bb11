"""Figures of a combined sweep: over templates and seeds, and against null models."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from otherview.results.reader import NotInResultError, SweepResult, table_of
from otherview.views.figures.colours import (
    BLUE,
    DIVERGING,
    INK,
    MUTED,
    ON_STRONG,
    ORANGE,
    PAPER,
    RULE,
)
from otherview.views.figures.head_map import CAPTION, map_of
from otherview.views.figures.map_marks import CALLED, EVERYWHERE
from otherview.views.figures.style import (
    NARROW,
    Drawing,
    canvas,
    clipped,
    legend_above,
    rows_axis,
    share_axis,
)
from otherview.views.numbers import decimal, percent, tick
from otherview.views.vocabulary import COMPONENTS, FOLLOWS, NO_TEST, SHARED_ITEMS, main_unit_set

LOOKS = {
    "item": (BLUE, None),
    "template": (ORANGE, None),
    "seed": (INK, None),
    "item_template": (BLUE, "////"),
    "item_seed": (BLUE, "...."),
    "template_seed": (ORANGE, "...."),
    "residual": (RULE, None),
}
"""Colour and hatch of the components of the variance."""
MAX_GROUPS = 4
MAP_CAPTION = CAPTION.format(
    "The effect is over all templates (placebos left out) and seeds. A dot marks heads that differ "
    "family-wise, with one sign, in every template; a diamond marks those that follow the role "
    "over all wordings, where that was tested."
)
AGREEMENT_CAPTION = (
    f"On the diagonal, a map agrees with itself. {SHARED_ITEMS} A template that agrees with a "
    "placebo is a warning."
)
MODELS_CAPTION = (
    "One row per template, one colour per group. Open diamonds: heads over the published "
    "threshold. Dots: heads that are called with a family-wise error."
)
VARIANCE_CAPTION = (
    "Variance components of the difference, test minus control, of each head; negative estimates "
    "count as 0. Medians need not add up to 100%; here they are scaled to do so. A large share of "
    "the template or of item × template says that the wording matters."
)
SELECTIVITY_CAPTION = (
    "Each point is a head: how much larger its difference is under the template than under the "
    "placebos, in absolute values, mean over items, in units of the response. The scale is linear "
    f"around 0 and logarithmic beyond. {NO_TEST}"
)


def main_group(result: SweepResult, unit_set: str = "heads") -> dict[str, Any]:
    """Return the main group: the first one with a pooled test that is not of a null model.

    Raises NotInResultError if no group has results of the unit set.
    """
    groups = groups_with(result, unit_set)
    groups.sort(key=lambda group: ("null_of" in group, "pooled" not in group["results"][unit_set]))
    return groups[0]


def main_answer(result: SweepResult) -> tuple[dict[str, Any], str]:
    """Return the group and unit set that an answer is about: slices where no group has heads."""
    groups = result.combined["groups"]
    unit_set = main_unit_set({"results": [name for group in groups for name in group["results"]]})
    return main_group(result, unit_set), unit_set


def groups_with(result: SweepResult, unit_set: str = "heads") -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [
        group for group in result.combined["groups"] if unit_set in group["results"]
    ]
    if not groups:
        raise NotInResultError(
            f"no group of this sweep captured {unit_set}: run the sweep with capture=both"
        )
    return groups


def rows_of(result: SweepResult, group: dict[str, Any]) -> pl.DataFrame:
    return table_of(result.units, "heads").filter(pl.col("group") == group["id"])


def pooled_heads(result: SweepResult) -> pl.DataFrame:
    """Return the rows of the main group over all its contrasts, or of its only one."""
    group = main_group(result)
    rows = rows_of(result, group)
    pooled = rows.filter(kind="pooled")
    only = pl.col("templates") == group["contrasts"][0]["templates"]
    return rows.filter(only) if pooled.is_empty() else pooled


def draw_sweep_map(result: SweepResult, width: float) -> Drawing:
    """Draw all heads over all contrasts of the main group."""
    table = pooled_heads(result)
    marks = [
        mark
        for mark in (EVERYWHERE, CALLED)
        if mark.column in table.columns and table[mark.column].null_count() < len(table)
    ]
    return map_of(table, marks, width, MAP_CAPTION)


def draw_agreement(result: SweepResult, width: float) -> Drawing:
    """Draw the correlation of the t-maps of every pair of contrasts in the main group.

    Raises NotInResultError if there is only one contrast.
    """
    group = main_group(result)
    pairs = group["results"]["heads"].get("agreement", {}).get("between_templates", [])
    if not pairs:
        raise NotInResultError(
            "comparing t-maps needs two templates: sweep templates=viewpoint,matched"
        )
    pairs = [pair for pair in pairs if "pearson" in pair]
    names = [contrast["templates"] for contrast in group["contrasts"]]
    matrix = np.eye(len(names))
    for pair in pairs:
        i, j = names.index(pair["one"]), names.index(pair["other"])
        matrix[i, j] = matrix[j, i] = pair["pearson"]
    figure = canvas(min(width, 110.0), 9.0 * len(names) + 38)
    axes, key = figure.subplots(2, height_ratios=[len(names), 0.35])
    for (row, column), value in np.ndenumerate(matrix):
        if column > row:
            continue
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=step_of(value),
                                 edgecolor=PAPER, linewidth=0.8))  # fmt: skip
        axes.text(column, row, "1" if row == column else decimal(value), ha="center",
                  va="center_baseline", color=ON_STRONG if abs(value) > 0.6 else INK,
                  fontsize=7)  # fmt: skip
    draw_correlation_scale(key)
    shown = [clipped(name, 18) for name in names]
    rows_axis(axes, shown)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)), shown, rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_aspect("equal")
    said = [f"{pair['one']} and {pair['other']} {decimal(pair['pearson'])}" for pair in pairs]
    alt = f"Correlation of the t-maps over heads: {', '.join(said)}."
    return Drawing(figure, alt, AGREEMENT_CAPTION)


def step_of(correlation: float) -> str:
    """Return the colour of a correlation: the middle of the scale at 0, its ends at -1 and 1."""
    middle = len(DIVERGING) // 2
    return DIVERGING[middle + round(correlation * middle)]


def draw_correlation_scale(axes: Axes) -> None:
    """Draw the colours from -1 to 1 as a strip with ticks."""
    width = 2 / len(DIVERGING)
    for place, colour in enumerate(DIVERGING):
        axes.add_patch(Rectangle((-1 + place * width, 0), width, 1, facecolor=colour, linewidth=0))
    axes.set_xlim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ticks = (-1, -0.5, 0, 0.5, 1)
    axes.set_xticks(ticks, [tick(value) for value in ticks])
    axes.set_xlabel("Pearson’s r of t-maps, over heads")


def draw_models(result: SweepResult, width: float) -> Drawing:
    """Draw the share of heads that each contrast calls, for every group including null models.

    Raises NotInResultError if no group has results of heads.
    """
    main = main_group(result)
    groups = groups_with(result)
    groups.sort(key=lambda group: (group["id"] != main["id"], "null_of" in group))
    rows = {group["id"]: called_shares(group) for group in groups[:MAX_GROUPS]}
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    step = (5.0 if width < NARROW else 4.2) * len(rows) + 2.6
    figure = canvas(width, step * len(names) + 24)
    axes = figure.subplots()
    said = []
    for index, (group, colour) in enumerate(zip(groups, (BLUE, ORANGE, INK, MUTED), strict=False)):
        offset = (index - (len(rows) - 1) / 2) * 0.62 / len(rows) * (len(rows) > 1)
        for name, (share, called) in rows[group["id"]].items():
            y = names.index(name) + offset
            axes.plot([0, called], [y, y], color=colour, linewidth=1.0, alpha=0.4)
            axes.plot(called, y, "o", color=colour, markersize=4.4)
            if share is not None:
                axes.plot(share, y, "D", color=colour, markersize=4, markerfacecolor="none")
        kind = f", null model of {group['null_of']}" if "null_of" in group else ""
        axes.plot([], [], color=colour, linewidth=2.2, label=clipped(group["title"], 26) + kind)
        shares = (f"{name} {percent(called)}" for name, (_, called) in rows[group["id"]].items())
        said.append(f"{group['title']}: {', '.join(shares)}")
    axes.plot([], [], "o", color=INK, markersize=4.4, label="family-wise, or as named")
    axes.plot([], [], "D", color=INK, markersize=4, markerfacecolor="none",
              label=f"|t| > {main['thresholds'][0]:g}")  # fmt: skip
    rows_axis(axes, [clipped(name, 24) for name in names])
    share_axis(axes, "share of the heads that are called")
    legend_above(figure, 1 if width < NARROW else 3 if len(rows) == 1 else 2)
    alt = f"Share of the heads that are called. {'; '.join(said)}."
    more = f" The first {MAX_GROUPS} of {len(groups)} groups." if len(groups) > MAX_GROUPS else ""
    return Drawing(figure, alt, MODELS_CAPTION + more)


def called_shares(group: dict[str, Any]) -> dict[str, tuple[float | None, float]]:
    """Return, by row, the share over the lowest threshold (None if undefined) and that called."""
    found = group["results"]["heads"]
    units = found["units"]
    rows: dict[str, tuple[float | None, float]] = {}
    for test in found["contrasts"]:
        unmarked = "placebo" in test and "placebo" not in test["templates"]
        name = test["templates"] + (" (placebo)" if unmarked else "")
        rows[name] = (test["counts"][0]["observed"] / units, test["familywise"] / units)
    if "in_every_template" in found:
        rows["in every template"] = (None, found["in_every_template"]["units"] / units)
    if "role_test" in found:
        rows[FOLLOWS] = (None, found["role_test"]["called"] / units)
    return rows


def draw_variance(result: SweepResult, width: float) -> Drawing:
    """Draw the median share, over heads, of each component of the variance of differences.

    Raises NotInResultError if the balanced part has one point.
    """
    groups = [group for group in result.combined["groups"]
              if "variance" in group["results"].get("heads", {})]  # fmt: skip
    if not groups:
        raise NotInResultError("variance components need a sweep over templates or seeds")
    figure = canvas(width, 11.0 * len(groups) + (34 if width < NARROW else 27))
    axes = figure.subplots()
    seen: set[str] = set()
    said = []
    for place, group in enumerate(groups):
        found = group["results"]["heads"]["variance"]["shares"]
        medians = {name: found[name]["median"] for name in COMPONENTS if name in found}
        total, start = sum(medians.values()) or 1.0, 0.0
        for name, median in medians.items():
            colour, hatch = LOOKS[name]
            axes.barh(place, median / total, left=start, height=0.55, edgecolor=colour,
                      facecolor=PAPER if hatch else colour, hatch=hatch, linewidth=0.6,
                      label=None if name in seen else COMPONENTS[name])  # fmt: skip
            seen.add(name)
            start += median / total
        shares = (f"{COMPONENTS[name]} {percent(median)}" for name, median in medians.items())
        said.append(f"{group['title']}: {', '.join(shares)}")
    rows_axis(axes, [clipped(group["title"], 24) for group in groups])
    share_axis(axes, "median share of the variance of a difference")
    legend_above(figure, 3 if width < NARROW else 7, handlelength=1.1, columnspacing=1.1,
                 handletextpad=0.4)  # fmt: skip
    alt = f"Variance of the differences, median over heads. {'; '.join(said)}."
    return Drawing(figure, alt, VARIANCE_CAPTION)


def draw_selectivity(result: SweepResult, width: float) -> Drawing:
    """Draw by how much the effect of each head under a template exceeds that under the placebos.

    Raises NotInResultError if no placebo was swept.
    """
    rows = rows_of(result, main_group(result)).filter(kind="contrast")
    if "selectivity" in rows.columns:
        rows = rows.drop_nulls("selectivity")
    if "selectivity" not in rows.columns or rows.is_empty():
        raise NotInResultError("selectivity needs a placebo: sweep templates=placebo_mention too")
    by_name = {name: part["selectivity"].to_numpy()
               for (name,), part in rows.group_by("templates", maintain_order=True)}  # fmt: skip
    figure = canvas(width, 11.0 * len(by_name) + 16)
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    said = []
    for place, (name, values) in enumerate(by_name.items()):
        spread = generator.permutation(np.linspace(-0.24, 0.24, len(values)))
        axes.scatter(values, place + spread, s=8, linewidths=0, alpha=0.8,
                     color=np.where(values > 0, ORANGE, BLUE).tolist())  # fmt: skip
        above = f"{int((values > 0).sum())} of {len(values)}"
        said.append(f"{name}: {above} heads above 0")
        axes.annotate(f"{above} above 0", (1, place), xycoords=("axes fraction", "data"),
                      xytext=(0, 11), ha="right", textcoords="offset points", fontsize=6.5,
                      color=MUTED)  # fmt: skip
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    every = rows["selectivity"].to_numpy()
    sizes = np.abs(every)
    axes.set_xscale("symlog", linthresh=float(max(np.median(sizes), sizes.max() / 1e3, 1e-9)))
    axes.margins(x=0.06)
    few_ticks(axes, every)
    rows_axis(axes, [clipped(str(name), 24) for name in by_name])
    axes.set_xlabel("size of the difference, template minus placebos")
    alt = f"Selectivity, one point per head. {'; '.join(said)}."
    return Drawing(figure, alt, SELECTIVITY_CAPTION)


def few_ticks(axes: Axes, values: np.ndarray) -> None:
    """Set ticks at zero and at the largest powers of ten on each side."""
    ticks = [0.0]
    for sign in (-1, 1):
        largest = float((sign * values).max())
        if largest > 0:
            top = np.floor(np.log10(largest))
            ticks += [sign * 10.0**power for power in (top - 1, top)]
    places = dict(zip(ticks, axes.xaxis.get_transform().transform(np.array(ticks)), strict=True))
    span = float(np.ptp(list(places.values()))) or 1.0
    kept = [0.0]
    for size in sorted(ticks, key=abs, reverse=True):
        if size and min(abs(places[size] - places[other]) for other in kept) > 0.09 * span:
            kept.append(size)
    axes.set_xticks(kept, [tick(size) for size in kept])
    axes.xaxis.set_minor_locator(NullLocator())
