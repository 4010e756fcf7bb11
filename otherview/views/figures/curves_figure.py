"""Effects of edits by dose, and by the number of heads that are edited together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.causes_sentences import COMPARED
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, PAPER, RULE
from otherview.views.figures.style import NARROW, Drawing, canvas, legend_above, rules
from otherview.views.numbers import plural, significant, tick
from otherview.views.run_tables import measure_title, primary_measure

DOSES = {"steer": "doses", "scale": "factors"}
"""Kinds of edit that come in doses, and the setting that lists these."""
LETTERS = 30
"""Of a line of the label at the vertical axis."""
COLOURS = {"test": ORANGE, "control": BLUE}
Point = tuple[float, Mapping[str, Any]]
"""A number, and a row of interventions.json, of one role and measure."""

Curves = Mapping[str, Sequence[Point]]
"""Of one role, by name: the edits that random ones are compared with come first."""


def draw_doses(result: RunResult, width: float) -> Drawing:
    """Draw the effect of the selected heads by dose, against that of random edits.

    Raises NotInResultError with fewer than two doses.
    """
    found = result.interventions
    rows = [] if found is None else primary_rows(found, found["sets"])
    if found is None or found["kind"] not in DOSES or len(found["variants"]) < 2 or not rows:
        raise NotInResultError(
            "effects have no doses: run with intervention=steer or scale, and several of them"
        )
    settings = result.settings["intervention"][DOSES[found["kind"]]]
    doses = dict(zip(found["variants"], settings, strict=True))
    selected = [(doses[row["variant"]], row) for row in rows if row["set"] == "selected"]
    curves = {role: {"the selected heads": points_of(selected, role)} for role in COLOURS}
    what = "dose, in lengths of the axis" if found["kind"] == "steer" else "factor"
    return drawing(found, curves, what, width, logarithmic=False)


def draw_sizes(result: RunResult, width: float) -> Drawing:
    """Draw the effect of the strongest few heads, and of a set that grew head by head.

    Raises NotInResultError if sets of one size alone were edited.
    """
    found = result.interventions
    if found is None:
        raise NotInResultError("no head was edited: run the study with intervention=ablate")
    main = found["variants"][0]
    sets, grown = (
        [(row["size"], row) for row in primary_rows(found, rows)]
        for rows in (
            [row for row in found["sets"] if row["variant"] == main],
            found.get("growth", {}).get("rows", []),
        )
    )
    if len({size for size, _ in [*sets, *grown]}) < 2:
        raise NotInResultError("heads were edited in sets of one size alone")
    curves = {
        role: {"the strongest by the test": points_of(sets, role)}
        | ({"grown head by head": points_of(grown, role)} if grown else {})
        for role in COLOURS
    }
    return drawing(found, curves, "heads edited together", width, logarithmic=True)


def primary_rows(
    found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the rows of the main measure."""
    name = primary_measure(found)["name"]
    return [row for row in rows if row["measure"] == name]


def points_of(points: Sequence[Point], role: str) -> list[Point]:
    """Return the points of a role, by number."""
    found = [(float(number), row) for number, row in points if row["role"] == role]
    return sorted(found, key=lambda point: point[0])


def drawing(
    found: Mapping[str, Any],
    curves: Mapping[str, Curves],
    what: str,
    width: float,
    *,
    logarithmic: bool,
) -> Drawing:
    """Draw one panel per role."""
    measure, narrow = primary_measure(found), width < NARROW
    compared = COMPARED.get(found["kind"], "random heads")
    figure = canvas(width, 104 if narrow else 58)
    panels = figure.subplots(*((2, 1) if narrow else (1, 2)), sharey=True).ravel()
    for axes, (role, of_role) in zip(panels, curves.items(), strict=True):
        draw_role(axes, of_role, COLOURS[role], compared)
        axes.set_title(f"{role} role")
        numbers = sorted({number for points in of_role.values() for number, _ in points})
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(numbers, [tick(number) for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(what)
        rules(axes, "y")
        axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    label = "\n".join(wrap(measure_title(measure), LETTERS, max_lines=3, placeholder="…"))
    for axes in panels[: 2 if narrow else 1]:
        axes.set_ylabel(label)
    handles, labels = panels[0].get_legend_handles_labels()
    for handle, label in zip(*panels[1].get_legend_handles_labels(), strict=True):
        if label not in labels:
            handles, labels = [*handles, handle], [*labels, label]
    legend_above(figure, 2 if narrow else 4, handles=handles, labels=labels, handlelength=1.4)
    said = "; ".join(
        f"{role} role, {name}: "
        + ", ".join(f"{significant(row['value'])} at {tick(at)}" for at, row in points)
        for role, of_role in curves.items()
        for name, points in of_role.items()
    )
    others = (
        "Grey dots are random axes of the same length at the same heads, open squares placebo axes"
        if found["kind"] == "steer"
        else "Grey dots are random heads of the same sites"
    )
    return Drawing(
        figure,
        f"{measure_title(measure)} by {what}. {said}.",
        f"{measure_title(measure).capitalize()} by {what}, mean over "
        f"{plural(len(found['selection']['measured_items']), 'measured item')}. {others}.",
    )


def draw_role(axes: Axes, curves: Curves, colour: str, compared: str) -> None:
    """Draw the curves of a role, the first filled, and what random edits do at its numbers."""
    first, *_ = curves.values()
    for name, points in curves.items():
        filled = points is first
        axes.plot(
            [number for number, _ in points], [row["value"] for _, row in points],
            marker="D" if filled else "o", markersize=4.2, color=colour,
            markerfacecolor=colour if filled else PAPER, markeredgewidth=0.9,
            linestyle="-" if filled else (0, (3, 2)), label=name, zorder=3,
        )  # fmt: skip
    random, placebo = (
        [(number, value) for number, row in first for value in row.get(name, ())]
        for name in ("null", "placebo")
    )
    if random:
        x, y = np.transpose(random)
        axes.scatter(x, y, s=6, color=MUTED, linewidths=0, alpha=0.6,
                     label=compared, zorder=2)  # fmt: skip
    if placebo:
        x, y = np.transpose(placebo)
        axes.scatter(x, y, s=11, marker="s", facecolors="none",
                     edgecolors=INK, linewidths=0.6, label="placebo axes", zorder=2)  # fmt: skip
