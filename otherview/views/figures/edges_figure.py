"""Through which later heads the called heads act: a small graph per head and role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from otherview.results.reader import NotInResultError, RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE
from otherview.views.figures.style import NARROW, Drawing, canvas
from otherview.views.numbers import decimal

MAX_EDGES = 6
"""Edges that a graph shows, the largest of its role."""
MIN_SHOWN = 0.01
"""Share of the way from which an edge is drawn."""
WIDEST = 4.0
"""Width of the largest edge, in points."""
CAPTION = (
    "A head on the left is patched with what it writes under the other role; under its name is the "
    "share of the way to the other role’s prediction that this goes, measured. Lines lead to the "
    "later heads through which it goes, with the share of the way through each, from gradients at "
    "two points of the patch: orange towards the other role, blue away from it. Paths share heads, "
    "and some pass through no head, so that shares need not add up. Shares below 0.01 are left out."
)
ROLES = ("test", "control")


def draw_edges(result: RunResult, width: float) -> Drawing:
    """Draw the edges of every traced head. Raises NotInResultError where there are none."""
    found = result.edges
    if found is None:
        raise NotInResultError("no edges were traced: run with attribution.edges=true")
    if not found["sources"]:
        raise NotInResultError("no head is called by its predicted change: no edges were traced")
    sources, narrow = found["sources"], width < NARROW
    heights = [max(2, *(len(shown_edges(source, role)) for role in ROLES)) for source in sources]
    figure = canvas(width, 5.2 * sum(heights) + 4.0 * len(sources) + 6)
    panels = figure.subplots(len(sources), 2, squeeze=False, height_ratios=heights)
    largest = max(
        (abs(row[role]) for source in sources for row in source["edges"] for role in ROLES),
        default=1.0,
    )
    said = []
    for row, source, height in zip(panels, sources, heights, strict=True):
        for axes, role in zip(row, ROLES, strict=True):
            axes.set_ylim(-0.6, height - 0.4)
            said.append(draw_source(axes, source, role, largest, narrow=narrow))
    for axes, role in zip(panels[0], ROLES, strict=True):
        axes.set_title(f"{role} role", color=MUTED)
    return Drawing(figure, " ".join(said), CAPTION)


def draw_source(
    axes: Axes, source: Mapping[str, Any], role: str, largest: float, *, narrow: bool
) -> str:
    """Draw the graph of one head and role; return its content in words."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    way, small = decimal(source["toward"][role]), 6.0 if narrow else 7.0
    middle = sum(axes.get_ylim()) / 2
    start, end = (0.42, 0.56) if narrow else (0.24, 0.6)
    axes.text(0, middle, f"{source['head']}\n{way}", fontsize=small, va="center", color=INK)
    edges = shown_edges(source, role)
    first = middle + (len(edges) - 1) / 2
    for place, row in enumerate(edges):
        y, share = first - place, row[role]
        axes.plot(
            [start, end], [middle, y], color=ORANGE if share > 0 else BLUE, alpha=0.85,
            linewidth=max(0.4, WIDEST * abs(share) / largest), solid_capstyle="butt",
        )  # fmt: skip
        axes.text(end + 0.02, y, f"{row['head']}  {decimal(share)}", fontsize=small,
                  va="center_baseline", color=INK)  # fmt: skip
    if not edges:
        axes.text(end, middle, "none", fontsize=small, va="center", color=MUTED)
    named = (
        ", ".join(f"{row['head']} {decimal(row[role])}" for row in edges)
        or f"no later head by {MIN_SHOWN} or more"
    )
    return f"{source['head']}, {role} role: {way} of the way; through {named}."


def shown_edges(source: Mapping[str, Any], role: str) -> list[Mapping[str, Any]]:
    """Return the largest edges of a role, from MIN_SHOWN on."""
    large = [row for row in source["edges"] if abs(row[role]) >= MIN_SHOWN]
    return sorted(large, key=lambda row: -abs(row[role]))[:MAX_EDGES]
