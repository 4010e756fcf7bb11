"""Marks on the cells of a map, and which column of a table has which."""

from __future__ import annotations

from dataclasses import dataclass

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
