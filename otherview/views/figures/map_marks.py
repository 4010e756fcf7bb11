"""Marks on the cells of a map, which column of a table has which, and their legend."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas

from otherview.views.figures.colours import INK
from otherview.views.figures.style import axes_at
from otherview.views.unit_columns import DEPENDS
from otherview.views.vocabulary import DIFFERS, FOLLOWS
from otherview.views.vocabulary import EVERYWHERE as EVERYWHERE_WORDS


@dataclass(frozen=True)
class Mark:
    """A marker on cells: its meaning, and the column of the table that says which have it."""

    column: str
    meaning: str
    """In the plural."""
    shape: str
    """A marker of matplotlib."""
    size: float
    """As a share of the smaller side of a cell."""
    around: bool = False
    """Whether it is an outline around the other mark of the cell."""


FAMILYWISE = Mark("familywise", DIFFERS, "o", 0.3)
CALLED = Mark("role_called", FOLLOWS, "D", 0.4)
AXIS = Mark("axis_called", "hold an axis of the role", "o", 0.78, around=True)
DEPENDING = Mark(DEPENDS.name, "the role depends on it", "*", 0.72)
FAILING = Mark("first_order_fails", "first order does not hold", "X", 0.4)
PREDICTED = Mark("predicted_called", "needed by one role", "^", 0.5)
EVERYWHERE = Mark("in_every_template", EVERYWHERE_WORDS, "o", 0.3)
LEGEND_STEP = 5.0
"""Millimetres per line of the legend."""


def legend(figure: Canvas, used: list[tuple[Mark, int]], left: float, top: float) -> None:
    """Write what each mark means, and how many cells have it."""
    for index, (mark, number) in enumerate(used):
        axes = axes_at(figure, left, top + index * LEGEND_STEP, 42, LEGEND_STEP)
        axes.axis("off")
        axes.set(xlim=(0, 42), ylim=(LEGEND_STEP, 0))
        axes.scatter([1.5], [2], s=22 if mark.shape == "*" else 14, marker=mark.shape,
                     facecolors="none" if mark.around else INK, edgecolors=INK,
                     linewidths=0.7 if mark.around else 0)  # fmt: skip
        axes.text(4.2, 2, f"{mark.meaning}: {number}", va="center_baseline", fontsize=7)
