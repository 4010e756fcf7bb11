"""Effects of editing heads, against those of random heads."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.causes_sentences import COMPARED
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.style import NARROW, Drawing, canvas, clipped, rows_axis
from otherview.views.numbers import plural, significant
from otherview.views.run_tables import measure_title, primary_measure

MAX_NAMED = 3
AT_THE_EDGE = 0.15
"""Share of the range, left of which a centred label would cover the names of rows."""
LETTERS = 44
"""Of a line of a label."""
ROLES = {"test": ("wanted", ORANGE), "control": ("collateral", BLUE)}
STEERED = {"test": "axis taken away", "control": "axis added"}
"""What steering does to each role."""
CAPTION = (
    "First panel: the effect of editing all selected heads together, on passes of each role. "
    "Second panel: each head edited alone; below the line it changes the test role more than the "
    "control role."
)


def draw_interventions(result: RunResult, width: float) -> Drawing:
    """Draw the selected heads against random sets, and every head that was edited alone.

    Raises NotInResultError if no head was edited or selected.
    """
    found, heads = result.interventions, result.single_heads
    if found is None or heads is None:
        raise NotInResultError("no head was edited: run the study with intervention=ablate")
    if not found["sets"]:
        raise NotInResultError("no head was selected, so that none were edited together")
    measure = primary_measure(found)
    rows = [row for row in found["sets"]
            if row["set"] == "selected" and row["measure"] == measure["name"]]  # fmt: skip
    narrow = width < NARROW
    figure = canvas(width, 118 if narrow else 66)
    sets, single = figure.subplots(*((2, 1) if narrow else (1, 2))).ravel()
    draw_sets(sets, rows, measure, STEERED if found["kind"] == "steer" else {})
    between = ";\n" if narrow else "; "
    steered = found["kind"] == "steer"
    others = "random axes of the same length" if steered else "random heads of the same sites"
    sets.set_title(f"Diamond: the selected heads{between}grey: {others}", fontsize=7)
    draw_singles(single, heads)
    single.set_title(f"Each head alone, {clipped(str(found['variants'][0]), 20)}", fontsize=7)
    compared = COMPARED.get(found["kind"], "random heads")
    return Drawing(figure, alt(rows, measure, heads, compared), CAPTION)


def draw_sets(
    axes: Axes,
    rows: list[dict[str, Any]],
    measure: dict[str, Any],
    meanings: Mapping[str, str],
) -> None:
    names = []
    drawn = [0.0, *(value for row in rows for value in (row["value"], *row.get("null", [])))]
    edge = min(drawn) + AT_THE_EDGE * (max(drawn) - min(drawn))
    for place, row in enumerate(rows):
        meaning, colour = ROLES[row["role"]]
        null = np.asarray(row.get("null", []), dtype=float)
        spread = np.linspace(-0.22, 0.22, len(null)) if len(null) > 1 else np.zeros(len(null))
        axes.scatter(null, place + np.random.default_rng(0).permutation(spread), s=5, color=MUTED,
                     linewidths=0, alpha=0.6)  # fmt: skip
        axes.scatter(
            [row["value"]], [place], s=34, marker="D", color=colour, linewidths=0, zorder=3
        )
        words = significant(row["value"]) + (f"  p = {significant(row['p'])}" if "p" in row else "")
        near = row["value"] < edge
        axes.annotate(words, (row["value"], place - 0.31), xytext=(-5 if near else 0, 0),
                      textcoords="offset points", fontsize=6.5, ha="left" if near else "center",
                      color=INK)  # fmt: skip
        meaning = meanings.get(row["role"], meaning)
        names.append(f"{row['role']} ({meaning})\n{clipped(str(row['variant']), 16)}")
    rows_axis(axes, names, linespacing=1.2)
    axes.margins(x=0.15)
    axes.axvline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.set_xlabel(fill(measure_title(measure), LETTERS, max_lines=2, placeholder="…"))


def draw_singles(axes: Axes, heads: pl.DataFrame) -> None:
    chosen = heads["selected"].to_numpy().astype(bool)
    x, y = heads["change_test"].to_numpy(), heads["change_control"].to_numpy()
    largest = (float(np.nanmax([*x, *y], initial=0.0)) or 0.01) * 1.12
    axes.plot([0, largest], [0, largest], color=RULE, linewidth=0.8, zorder=0)
    for which, colour, face, name in (
        (~chosen, MUTED, "none", "not selected"), (chosen, ORANGE, ORANGE, "selected"),
    ):  # fmt: skip
        axes.scatter(x[which], y[which], s=15, facecolors=face, edgecolors=colour, linewidths=0.9,
                     label=f"{name}: {int(which.sum())}", zorder=2)  # fmt: skip
    for index in np.argsort(-np.nan_to_num(x - y))[:MAX_NAMED]:
        left = x[index] < 0.7 * largest
        axes.annotate(str(heads["unit"][int(index)]), (x[index], y[index]),
                      xytext=(5 if left else -5, 0), textcoords="offset points", fontsize=6.5,
                      ha="left" if left else "right", va="center_baseline")  # fmt: skip
    axes.set(xlim=(-0.02 * largest, largest), ylim=(-0.02 * largest, largest))
    axes.set_xlabel("change of the prediction, test role")
    axes.set_ylabel("change, control role")
    axes.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.2)


def alt(
    rows: list[dict[str, Any]], measure: dict[str, Any], heads: pl.DataFrame, compared: str
) -> str:
    said = [
        f"{row['role']} role, {row['variant']}: {significant(row['value'])}"
        + (f" against {significant(row['null_mean'])} for {compared}" if "null_mean" in row else "")
        for row in rows
    ]
    strongest = heads.sort("change_test", descending=True, nulls_last=True).row(0, named=True)
    return (
        f"Editing the selected heads, {measure_title(measure)}: {'; '.join(said)}. "
        f"{plural(len(heads), 'head')} edited alone; {strongest['unit']} changes the test role "
        "most."
    )
