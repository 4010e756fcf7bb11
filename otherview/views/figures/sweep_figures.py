"""Figures of a combined sweep: what holds over templates and seeds, and what null models give."""

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
from otherview.views.figures.head_map import CALLED, EVERYWHERE, map_of
from otherview.views.figures.numbers import percent
from otherview.views.figures.style import NARROW, Drawing, canvas, clipped, share_axis

FACTORS = {
    "item": ("item", BLUE, None),
    "template": ("template", ORANGE, None),
    "seed": ("seed", INK, None),
    "item_template": ("item × template", BLUE, "////"),
    "item_seed": ("item × seed", BLUE, "...."),
    "template_seed": ("template × seed", ORANGE, "...."),
    "residual": ("residual", RULE, None),
}
"""Components of the variance: name, colour and hatch."""
MOST_GROUPS = 4


def main_group(result: SweepResult) -> dict[str, Any]:
    """The group that the sweep is about: the first of no null model that has a pooled test.

    Raises NotInResultError where no group has results of heads.
    """
    groups: list[dict[str, Any]] = [
        group for group in result.combined["groups"] if "heads" in group["results"]
    ]
    if not groups:
        raise NotInResultError("no group of this sweep captured heads")
    groups.sort(key=lambda group: ("null_of" in group, "pooled" not in group["results"]["heads"]))
    return groups[0]


def pooled_heads(result: SweepResult) -> pl.DataFrame:
    """Rows of the main group over all its contrasts; where it has one only, of that one."""
    group = main_group(result)
    rows = table_of(result.units, "heads").filter(pl.col("group") == group["id"])
    pooled = rows.filter(kind="pooled")
    if not pooled.is_empty():
        return pooled
    first = group["contrasts"][0]["templates"]
    return rows.filter(pl.col("templates") == first)


def draw_sweep_map(result: SweepResult, width: float) -> Drawing:
    """All heads over all contrasts of the main group."""
    table = pooled_heads(result)
    marks = [
        mark
        for mark in (EVERYWHERE, CALLED)
        if mark.column in table.columns and table[mark.column].null_count() < len(table)
    ]
    return map_of(table, marks, width)


def draw_agreement(result: SweepResult, width: float) -> Drawing:
    """Correlation of the t-maps of each two contrasts of the main group.

    Raises NotInResultError with one contrast only.
    """
    group = main_group(result)
    pairs = group["results"]["heads"].get("agreement", {}).get("between_templates", [])
    if not pairs:
        raise NotInResultError("t-maps are compared where two templates or more were swept")
    names = [contrast["templates"] for contrast in group["contrasts"]]
    matrix = np.eye(len(names))
    for pair in pairs:
        if "pearson" in pair:
            i, j = names.index(pair["one"]), names.index(pair["other"])
            matrix[i, j] = matrix[j, i] = pair["pearson"]
    figure = canvas(min(width, 110.0), 9.0 * len(names) + 28)
    axes = figure.subplots()
    for (row, column), value in np.ndenumerate(matrix):
        if column > row:
            continue
        middle = len(DIVERGING) // 2
        step = middle + round(float(value) * middle) * (row != column)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=DIVERGING[step],
                                 edgecolor=PAPER, linewidth=0.8))  # fmt: skip
        strong = abs(value) > 0.6 and row != column
        axes.text(column, row, "1" if row == column else two_digits(value),
                  ha="center", va="center_baseline", color=ON_STRONG if strong else INK,
                  fontsize=7)  # fmt: skip
    shown = [clipped(name, 18) for name in names]
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.set_xticks(range(len(names)), shown, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), shown)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("Pearson’s r of the t-maps, over heads", fontsize=7.5)
    said = [f"{pair['one']} and {pair['other']} {pair['pearson']:.2f}"
            for pair in pairs if "pearson" in pair]  # fmt: skip
    return Drawing(figure, "Correlation of the t-maps over heads: " + ", ".join(said) + ".")


def two_digits(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")


def draw_models(result: SweepResult, width: float) -> Drawing:
    """Share of heads that each contrast calls, groups side by side, null models among them.

    Raises NotInResultError where no group has results of heads.
    """
    main = main_group(result)
    groups = [group for group in result.combined["groups"] if "heads" in group["results"]]
    groups.sort(key=lambda group: (group["id"] != main["id"], "null_of" in group))
    groups = groups[:MOST_GROUPS]
    rows = {group["id"]: _called(group) for group in groups}
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    step = (5.0 if width < NARROW else 4.2) * len(groups) + 2.6
    figure = canvas(width, step * len(names) + 24)
    axes = figure.subplots()
    colours = [BLUE, ORANGE, INK, MUTED]
    for index, (group, colour) in enumerate(zip(groups, colours, strict=False)):
        offset = (index - (len(groups) - 1) / 2) * 0.62 / len(groups) * (len(groups) > 1)
        for name, (share, called) in rows[group["id"]].items():
            y = names.index(name) + offset
            axes.plot([0, called], [y, y], color=colour, linewidth=1.0, alpha=0.4)
            axes.plot(called, y, "o", color=colour, markersize=4.4)
            if share is not None:
                axes.plot(share, y, "D", color=colour, markersize=4, markerfacecolor="none")
        kind = f", null model of {group['null_of']}" if "null_of" in group else ""
        axes.plot([], [], color=colour, linewidth=2.2, label=clipped(group["title"], 26) + kind)
    threshold = main["thresholds"][0]
    axes.plot([], [], "o", color=INK, markersize=4.4, label="family-wise, or as named")
    axes.plot([], [], "D", color=INK, markersize=4, markerfacecolor="none",
              label=f"|t| > {threshold:g}")  # fmt: skip
    axes.set_yticks(range(len(names)), [clipped(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    share_axis(axes, "share of the heads that are called")
    across = 3 if len(groups) == 1 else 2
    figure.legend(loc="outside upper left", ncols=1 if width < NARROW else across,
                  borderaxespad=0.1, columnspacing=1.6)  # fmt: skip
    return Drawing(figure, alt_models(groups, rows))


def _called(group: dict[str, Any]) -> dict[str, tuple[float | None, float]]:
    """Per row: share over the lowest threshold (None where there is no such), share called."""
    found = group["results"]["heads"]
    units = found["units"]
    rows: dict[str, tuple[float | None, float]] = {}
    for test in found["contrasts"]:
        name = test["templates"] + ("" if "placebo" not in test or "placebo" in test["templates"]
                                    else " (placebo)")  # fmt: skip
        rows[name] = (test["counts"][0]["observed"] / units, test["familywise"] / units)
    if "in_every_template" in found:
        rows["in every template"] = (None, found["in_every_template"]["units"] / units)
    if "role_test" in found:
        rows["follow the role"] = (None, found["role_test"]["called"] / units)
    return rows


def alt_models(
    groups: list[dict[str, Any]], rows: dict[str, dict[str, tuple[float | None, float]]]
) -> str:
    said = [
        f"{group['title']}: "
        + ", ".join(f"{name} {percent(called)}" for name, (_, called) in rows[group["id"]].items())
        for group in groups
    ]
    return "Share of the heads that are called. " + "; ".join(said) + "."


def draw_variance(result: SweepResult, width: float) -> Drawing:
    """Where an item's difference varies: median share of each component over heads.

    Raises NotInResultError where the balanced part has one point.
    """
    groups = [group for group in result.combined["groups"]
              if "variance" in group["results"].get("heads", {})]  # fmt: skip
    if not groups:
        raise NotInResultError("the variance is split where templates or seeds were swept")
    figure = canvas(width, 11.0 * len(groups) + (34 if width < NARROW else 27))
    axes = figure.subplots()
    seen: set[str] = set()
    for place, group in enumerate(groups):
        shares = group["results"]["heads"]["variance"]["shares"]
        total = sum(shares[name]["median"] for name in shares) or 1.0
        start = 0.0
        for name, (title, colour, hatch) in FACTORS.items():
            if name not in shares:
                continue
            share = shares[name]["median"] / total
            axes.barh(place, share, left=start, height=0.55,
                      facecolor=PAPER if hatch else colour, edgecolor=colour, hatch=hatch,
                      linewidth=0.6,
                      label=title if title not in seen else None)  # fmt: skip
            seen.add(title)
            start += share
    axes.set_yticks(range(len(groups)), [clipped(group["title"], 24) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    share_axis(axes, "median share of the variance of a difference")
    figure.legend(loc="outside upper left", ncols=3 if width < NARROW else 7, borderaxespad=0.1,
                  handlelength=1.1, columnspacing=1.1, handletextpad=0.4)  # fmt: skip
    said = [
        f"{group['title']}: " + ", ".join(
            f"{FACTORS[name][0]} {percent(share['median'])}"
            for name, share in group["results"]["heads"]["variance"]["shares"].items()
            if name in FACTORS
        )
        for group in groups
    ]  # fmt: skip
    return Drawing(
        figure, "Variance of the differences, median over heads. " + "; ".join(said) + "."
    )


def draw_selectivity(result: SweepResult, width: float) -> Drawing:
    """How far each head's effect under a template exceeds that under the placebos.

    Raises NotInResultError where no placebo was swept.
    """
    group = main_group(result)
    table = table_of(result.units, "heads").filter(pl.col("group") == group["id"])
    rows = table.filter(kind="contrast").drop_nulls("selectivity") if (
        "selectivity" in table.columns) else table.clear()  # fmt: skip
    if rows.is_empty():
        raise NotInResultError("selectivity needs a placebo: sweep templates=placebo_mention too")
    names = rows["templates"].unique(maintain_order=True).to_list()
    figure = canvas(width, 11.0 * len(names) + 16)
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    parts = []
    for place, name in enumerate(names):
        values = rows.filter(pl.col("templates") == name)["selectivity"].to_numpy()
        spread = generator.permutation(np.linspace(-0.24, 0.24, len(values)))
        axes.scatter(values, place + spread, s=8, linewidths=0, alpha=0.8,
                     color=np.where(values > 0, ORANGE, BLUE).tolist())  # fmt: skip
        parts.append(f"{name}: {int((values > 0).sum())} of {len(values)} heads above 0")
        axes.annotate(f"{int((values > 0).sum())} of {len(values)} above 0", (1, place),
                      xycoords=("axes fraction", "data"), xytext=(0, 11), ha="right",
                      textcoords="offset points", fontsize=6.5, color=MUTED)  # fmt: skip
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    sizes = np.abs(rows["selectivity"].to_numpy())
    axes.set_xscale("symlog", linthresh=float(max(np.median(sizes), sizes.max() / 1e3, 1e-9)))
    axes.margins(x=0.06)
    few_ticks(axes, rows["selectivity"].to_numpy())
    axes.set_yticks(range(len(names)), [clipped(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlabel("size of the difference, template less placebos")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return Drawing(figure, "Selectivity, a point a head. " + "; ".join(parts) + ".")


def few_ticks(axes: Axes, values: np.ndarray) -> None:
    """Zero, and on either side the powers of ten that the values reach."""
    ticks = [0.0]
    for sign in (-1, 1):
        largest = float((sign * values).max())
        if largest > 0:
            top = np.floor(np.log10(largest))
            ticks += [sign * 10.0**power for power in (top - 1, top)]
    near = axes.xaxis.get_transform().transform(np.array([0.0, *ticks]))
    span = float(np.ptp(near)) or 1.0
    kept = [0.0]
    for tick in sorted(ticks, key=abs, reverse=True):
        places = axes.xaxis.get_transform().transform(np.array([tick, *kept]))
        if tick and np.abs(places[1:] - places[0]).min() > 0.09 * span:
            kept.append(tick)
    axes.set_xticks(kept, [f"{tick:g}".replace("-", "−") for tick in kept])
    axes.xaxis.set_minor_locator(NullLocator())
