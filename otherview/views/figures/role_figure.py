"""The claim of a run and its own null: which units stand out from the largest |t| by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED
from otherview.views.figures.null_figures import TICKS, curve, share_of_patterns
from otherview.views.figures.style import NARROW, Drawing, canvas, rules
from otherview.views.numbers import count, decimal, percent, plural
from otherview.views.vocabulary import main_result, one_of, patterns

MAX_LABELS = 3
MAX_MARKS = 400
"""Of a row of units that are all drawn."""
APART = 0.008
"""Distance of marks of longer rows, in ln |t|."""
BELOW = 0.3
"""Share of the height of the null that a label below a point needs."""
LOWEST = 0.3
"""Of the axis of |t|: units below are drawn at its left end."""


def draw_role_null(result: RunResult, width: float) -> Drawing:
    """Largest |t| of the role over units under randomised roles and items, and every unit's own.

    Raises NotInResultError where the role was not tested.
    """
    _, found, noun = main_result(result.summary)
    if "role_test" not in found:
        raise NotInResultError("one pair of wordings cannot tell the role from the wording")
    figure, t, called = draw_claim(
        result, "role_test", ("role_t", "role_called"), ("randomisations", "|t| of the role"), width
    )
    role = found["role_test"]
    said = f"Role test: {count(role['called'])} of {count(found['units'])} {noun} are called."
    said += largest_words(role, t, "Under randomised roles", "randomisations")
    if called.any():
        said += f" The smallest that is called is {decimal(float(t[called].min()))}."
    return Drawing(figure, said, caption(role, noun))


def draw_item_null(result: RunResult, width: float) -> Drawing:
    """Largest |t| over units under sign flips of items, and every unit's own."""
    _, found, noun = main_result(result.summary)
    test = found["sign_flip"]
    figure, t, _ = draw_claim(
        result, "sign_flip", ("t", "familywise"), ("sign patterns", "|t| over items"), width
    )
    said = f"{count(test['familywise'])} of {count(found['units'])} {noun} differ family-wise."
    return Drawing(
        figure,
        said + largest_words(test, t, "By sign flips", "patterns"),
        f"Blue curve: the largest |t| over all {noun} under {patterns(test)} sign patterns, in "
        f"which the roles of items are swapped. Below: |t| of every {one_of(noun)}; diamonds "
        "differ family-wise. The test is step-down, so that some may be called left of the line.",
    )


def draw_claim(
    result: RunResult,
    statistic: str,
    columns: tuple[str, str],
    words: tuple[str, str],
    width: float,
) -> tuple[Canvas, Float[np.ndarray, " units"], Bool[np.ndarray, " units"]]:
    """Draw the null of a test above, and one mark per unit below it; return |t| and who is called.

    `columns` hold t and whether a unit is called, `words` are what the null consists of and the
    label of |t|. Where the null of a unit is wider than that of others, its |t| is scaled down.
    """
    unit_set, found, noun = main_result(result.summary)
    test, table = found[statistic], result.units[unit_set].drop_nulls(columns[0])
    t, called = np.abs(table[columns[0]].to_numpy()), table[columns[1]].to_numpy()
    critical, needed = test.get("critical_t"), f"{columns[0]}_needed"
    if critical is not None and needed in table.columns:
        t = t * critical / table[needed].to_numpy()
    rows = result.nulls.filter(unit_set=unit_set, null=statistic, statistic="max_abs_t")
    narrow = width < NARROW
    figure = canvas(width, 78.0 if narrow else 70.0)
    null, units = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.2, 1)})
    is_one = statistic == "sign_flip" and test["exact"]  # the observed is one of the patterns
    curve(null, rows, BLUE, "", float(t.max()) if is_one and len(t) else None)
    share_of_patterns(null, labelled=False)
    null.set_ylabel(f"share of {words[0]}\nthat reach it")
    highest = float(np.max([*t, *rows["value"], critical or 1.0]))
    null.set_title(f"Largest |t| over {count(found['units'])} {noun}, by chance")
    draw_critical(null, units, critical, test["alpha"],
                  right=critical is not None and critical > highest / 3)  # fmt: skip
    draw_units(units, t, called, table["unit"].to_list(), narrow=narrow)
    units.set_xscale("log")
    units.set_xlim(LOWEST * 0.93, highest * (1.9 if narrow else 1.5))
    ticks = [size for size in TICKS if LOWEST <= size <= highest * 1.4]
    units.set_xticks(ticks, [f"{size:g}" for size in ticks])
    units.xaxis.set_minor_locator(NullLocator())
    units.set_xlabel(words[1])
    return figure, t, called


def draw_critical(
    null: Axes, units: Axes, critical: float | None, alpha: float, *, right: bool
) -> None:
    """Mark |t| from which a unit is called, or say that there is none.

    `right`: little room is left to the right of it.
    """
    if critical is None:
        null.annotate("no |t| is rare enough to call a unit", (0.98, 0.9), ha="right",
                      xycoords="axes fraction", fontsize=7, color=MUTED)  # fmt: skip
        return
    for axes in (null, units):
        axes.axvline(critical, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    null.plot([critical], [alpha], "o", color=BLUE, markersize=3.5)
    height = null.transLimits.transform(null.transScale.transform((critical, alpha)))[1]
    below = right and height > BELOW  # to the left of the line the curve is above alpha
    null.annotate(
        f"called from {decimal(critical)},\nwhich {percent(alpha)} reach by chance",
        (critical, alpha), xytext=(-6 if right else 6, -4 if below else 4),
        textcoords="offset points", fontsize=7, va="top" if below else "bottom",
        ha="right" if right else "left", color=INK,
    )  # fmt: skip


def draw_units(
    axes: Axes,
    t: Float[np.ndarray, " units"],
    called: Bool[np.ndarray, " units"],
    addresses: list[str],
    *,
    narrow: bool,
) -> None:
    """Draw one mark per unit at its |t|, called units above the others, the strongest named."""
    shown = np.maximum(t, LOWEST)
    others, own = distinct(shown[~called]), distinct(shown[called])
    axes.scatter(others, np.zeros(len(others)), s=11, facecolors="none", edgecolors=MUTED,
                 linewidths=0.7)  # fmt: skip
    axes.scatter(own, np.ones(len(own)), s=13, marker="D", color=BLUE, linewidths=0)
    axes.set_yticks([0, 1], [f"others: {int((~called).sum())}", f"called: {int(called.sum())}"])
    axes.set_ylim(-0.6, 2.3)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    rules(axes, "y")
    edge = np.inf
    for place in np.argsort(-t)[: 1 if narrow else MAX_LABELS]:
        if called[place] and shown[place] < edge / (2.0 if narrow else 1.55):
            axes.annotate(addresses[place], (shown[place], 1), xytext=(0, 5), ha="center",
                          textcoords="offset points", fontsize=6.5, color=INK,
                          bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})  # fmt: skip
            edge = shown[place]


def distinct(t: Float[np.ndarray, " units"]) -> Float[np.ndarray, " marks"]:
    """Return `t` without those whose marks would cover each other; all where there are few."""
    if len(t) <= MAX_MARKS:
        return t
    _, first = np.unique(np.round(np.log(t) / APART), return_index=True)
    return t[np.sort(first)]


def largest_words(
    test: dict[str, Any], t: Float[np.ndarray, " units"], under: str, draws: str
) -> str:
    """Return the largest |t| by chance and the observed one, in sentences."""
    said = f" The largest |t| observed is {decimal(float(t.max()))}." if len(t) else ""
    if "critical_t" not in test:
        return said
    return (
        f" {under} the largest |t| reaches {decimal(test['critical_t'])} in "
        f"{percent(test['alpha'])} of the {draws}.{said}"
    )


def caption(role: dict[str, Any], noun: str) -> str:
    """Return what is drawn, and what was randomised."""
    drawn = "all " if role["exact"] else ""
    wordings = role["wordings"]
    frames = f" within {plural(role['frames'], 'frame')}" if role["frames"] > 1 else ""
    scenes = f" and {plural(role['scenes'], 'scene')}" if "scenes" in role else ""
    return (
        f"Blue curve, to its 99.9th percentile: the largest |t| over all {noun} in {drawn}"
        f"{count(role['randomisations'])} randomisations, in which the roles are reassigned to "
        f"the {wordings['test']} + {wordings['control']} wordings{frames} and the {role['items']} "
        f"items{scenes} are resampled. Below: |t| of every {one_of(noun)}; diamonds are called. "
        f"Where the null of a {one_of(noun)} is wider than that of the typical one, its |t| is "
        "scaled down as in the test."
    )
