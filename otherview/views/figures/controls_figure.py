"""The contrast of the study, other contrasts and placebos: would any two wordings do?"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.style import (
    NARROW,
    Drawing,
    canvas,
    clipped,
    rows_axis,
    share_axis,
)
from otherview.views.numbers import count, of_all
from otherview.views.vocabulary import DIFFERS

GROUP_COLOURS = {"text": INK, "pad": MUTED, "target": BLUE, "reference": ORANGE}
CAPTION = (
    "One row per contrast or placebo. First panel: share of the heads that pass the published "
    "threshold, and that differ family-wise. Second panel: where in the sequence the squared "
    "response changes."
)


def draw_controls(result: RunResult, width: float) -> Drawing:
    """Draw the heads called under each contrast and placebo, and the tokens that change.

    Raises NotInResultError if the study had no controls.
    """
    controls = result.controls
    if controls is None or "heads" not in result.units:
        raise NotInResultError("no heads under controls: run a study with controls, such as "
                               "+experiment=kitchen_controlled")  # fmt: skip
    rows = controls["contrasts"]
    groups = [row["results"]["heads"].get("shares", {}) for row in controls["token_groups"]]
    narrow = width < NARROW
    shape = (2, 1) if narrow else (1, 2)
    figure = canvas(width, (7.5 * len(rows) + 22) * (2 if narrow else 1))
    called, shares = figure.subplots(*shape, sharey=True, gridspec_kw={"wspace": 0.06}).ravel()
    names = [named(row) for row in rows]
    for axes in (called, shares):
        rows_axis(axes, names)
    if narrow:
        shares.tick_params(axis="y", labelleft=True)
    draw_called(called, rows)
    draw_shares(shares, groups, 2 if narrow else 4)
    said = [
        f"{named(row)}: {of_all(found['observed'], found['units'])} with |t| over the threshold, "
        f"{count(found['familywise'])} {DIFFERS}"
        for row in rows
        for found in [row["results"]["heads"]]
    ]
    alt = f"Heads called under each contrast and placebo. {'; '.join(said)}."
    return Drawing(figure, alt, CAPTION)


def named(row: dict[str, Any]) -> str:
    marked = row["kind"] != "placebo" or "placebo" in row["name"]
    return clipped(row["name"], 24) if marked else f"{clipped(row['name'], 14)} (placebo)"


def draw_called(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        found = row["results"]["heads"]
        share, familywise = found["share"], found["familywise"] / found["units"]
        axes.plot([share, familywise], [place, place], color=RULE, linewidth=1.6, zorder=1)
        axes.plot(familywise, place, "o", color=BLUE, markersize=4.6,
                  label="family-wise" if place == 0 else None)  # fmt: skip
        axes.plot(share, place, "D", color=ORANGE, markersize=4.2, markerfacecolor="none",
                  label=f"|t| > {found['threshold']:g}" if place == 0 else None)  # fmt: skip
    share_axis(axes, "share of the heads that are called", (0, 0.5, 1))
    panel_legend(axes, 2)


def draw_shares(axes: Axes, shares: list[dict[str, float]], columns: int) -> None:
    present = [name for name in GROUP_COLOURS if any(each.get(name) for each in shares)]
    for place, of_groups in enumerate(shares):
        start = 0.0
        for name in present:
            share = of_groups.get(name, 0.0)
            axes.barh(place, share, left=start, height=0.55, color=GROUP_COLOURS[name], alpha=0.85,
                      label=name if place == 0 else None)  # fmt: skip
            start += share
    share_axis(axes, "share of the change, by token group", (0, 0.5, 1))
    if present:
        panel_legend(axes, columns)


def panel_legend(axes: Axes, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, handlelength=0.8,
                handletextpad=0.3, columnspacing=0.9, borderaxespad=0.2)  # fmt: skip
