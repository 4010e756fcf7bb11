"""What a result says of each unit: its columns, and what each of them means."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

PROBABILITY = "probability"
"""Unit of p and q values."""
STRONGEST_UNITS = 8
"""Units that a summary lists."""


@dataclass(frozen=True)
class Column:
    """One value per unit."""

    name: str
    """In tables on disk."""
    meaning: str
    """In one line."""
    unit: str = ""
    """Unit of the value; empty for a pure number, a word, or yes and no."""
    heading: str = ""
    """In tables that a person reads; a column without one is only on disk."""
    of: str = ""
    """Attribute of the result that holds the values, with dots; empty: that of the same name."""


class UnitResult:
    """The result of a statistic with values per unit."""

    COLUMNS: ClassVar[tuple[Column, ...]]

    def columns(self) -> dict[str, Any]:
        """By name of COLUMNS: one value per unit."""
        return {each.name: attrgetter(each.of or each.name)(self) for each in self.COLUMNS}
