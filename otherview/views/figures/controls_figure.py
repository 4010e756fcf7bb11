"""The study's contrast beside others and beside placebos: would any two wordings do that?"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.numbers import count, percent
from otherview.views.figures.style import NARROW, Drawing, canvas, clipped, share_axis

GROUP_COLOURS = {"text": INK, "pad": MUTED, "target": BLUE, "reference": ORANGE}


def draw_controls(result: RunResult, width: float) -> Drawing:
    """Heads called under every contrast and placebo, and where in the sequence the effect lies.

    Raises NotInResultError where the study had no controls.
    """
    controls = result.controls
    if controls is None or "heads" not in result.units:
        raise NotInResultError("no heads under controls: run a study with controls, such as "
                               "+experiment=kitchen_controlled")  # fmt: skip
    rows = controls["contrasts"]
    groups = {
        row["contrast"]: row["results"]["heads"]["shares"] for row in controls["token_groups"]
    }
    narrow = width < NARROW
    shape = (2, 1) if narrow else (1, 2)
    figure = canvas(width, (7.5 * len(rows) + 22) * (2 if narrow else 1))
    called, shares = figure.subplots(*shape, sharey=True, gridspec_kw={"wspace": 0.06}).ravel()
    _called(called, rows)
    _shares(shares, rows, groups, columns=2 if narrow else 4)
    names = [_name(row) for row in rows]
    for axes in (called, shares) if narrow else (called,):
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", labelleft=True)
    called.set_ylim(len(rows) - 0.5, -0.5)
    return Drawing(figure, alt(rows))


def _name(row: dict[str, Any]) -> str:
    marked = row["kind"] != "placebo" or "placebo" in row["name"]
    return clipped(row["name"], 24) if marked else f"{clipped(row['name'], 14)} (placebo)"


def _called(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        found = row["results"]["heads"]
        share, familywise = found["share"], found["familywise"] / found["units"]
        axes.plot([share, familywise], [place, place], color=RULE, linewidth=1.6, zorder=1)
        axes.plot(familywise, place, "o", color=BLUE, markersize=4.6,
                  label="family-wise" if place == 0 else None)  # fmt: skip
        axes.plot(share, place, "D", color=ORANGE, markersize=4.2, markerfacecolor="none",
                  label=f"|t| > {found['threshold']:g}" if place == 0 else None)  # fmt: skip
    share_axis(axes, "share of the heads that are called", (0, 0.5, 1))
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handletextpad=0.2,
                columnspacing=1.2, borderaxespad=0.2)  # fmt: skip


def _shares(
    axes: Axes,
    rows: list[dict[str, Any]],
    groups: dict[str, dict[str, float]],
    columns: int,
) -> None:
    for place, row in enumerate(rows):
        start = 0.0
        for name, colour in GROUP_COLOURS.items():
            share = groups.get(row["name"], {}).get(name, 0.0)
            axes.barh(place, share, left=start, height=0.55, color=colour, alpha=0.85,
                      label=name if place == 0 else None)  # fmt: skip
            start += share
    share_axis(axes, "share of the change, by token group", (0, 0.5, 1))
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, handlelength=0.8,
                handletextpad=0.3, columnspacing=0.9, borderaxespad=0.2)  # fmt: skip


def alt(rows: list[dict[str, Any]]) -> str:
    said = [
        f"{_name(row)}: "
        f"{count(row['results']['heads']['observed'])} "
        f"({percent(row['results']['heads']['share'])}) "
        f"with |t| over the threshold, {count(row['results']['heads']['familywise'])} family-wise"
        for row in rows
    ]
    return "Heads called under each contrast and placebo. " + "; ".join(said) + "."
