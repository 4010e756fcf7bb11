"""Numbers that a publication reports for a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otherview.study.checks import check_choices
from otherview.study.reading import UNIT_SETS


@dataclass
class PublishedCount:
    """One row of a published table."""

    threshold: float
    """Units with |t| above this are counted."""
    observed: int
    null_mean: float
    null_p99: float


@dataclass
class Published:
    """Numbers of a publication, shown with a run of the same study."""

    source: str
    """The publication."""

    where: dict[str, Any]
    """Settings, by dotted name, that produced them; other runs do not show them."""

    unit_set: str
    """Which units are counted as heads: heads or slices16."""

    units: int
    """Number of units."""

    counts: list[PublishedCount]

    max_abs_t: float
    """Largest |t| over units."""

    def __post_init__(self) -> None:
        check_choices("published", self, unit_set=UNIT_SETS)
