"""Settings of attribution: what edits of heads would do, predicted from gradients."""

from __future__ import annotations

from dataclasses import dataclass

from otherview.study.checks import check_choices, check_least, check_value
from otherview.study.errors import StudyError

TOWARD_POINTS = (0.25, 0.75)
"""Shares of the way of a site to the other role's output at which gradients are taken: the
midpoints of its halves."""

MAX_SOURCES = 4
"""Called heads whose edges are traced, those with the largest difference of the roles."""


@dataclass
class Attribution:
    """Passes with gradients, which predict to first order what editing each head would change."""

    kind: str = "none"
    """change: how far the prediction moves if the output of a head is replaced; or none."""

    cotangents: int = 8
    """Random directions of the prediction, hence backward passes, per prompt. More of them
    predict with less variance."""

    floor: float = 0.05
    """Difference of the predicted changes of the two roles up to which no head is called, as a
    share of the norm of the prediction."""

    check_items: int = 8
    """Maximal number of items on which every site is zeroed exactly, to see where first order does
    not hold; 0 for no check."""

    check_heads_items: int = 3
    """Maximal number of items on which, at such a site, every head is zeroed alone; 0 for none."""

    toward_items: int = 6
    """Maximal number of items for which a patch of each head from the other role is predicted, by
    the way to the other role's prediction; 0 for no such prediction."""

    edges: bool = False
    """Whether to trace through which later heads the called heads act, on the same items."""

    def __post_init__(self) -> None:
        check_choices("attribution", self, kind=("none", "change"))
        check_least(
            "attribution", self, cotangents=1, check_items=0, check_heads_items=0, toward_items=0
        )
        if self.edges and not self.toward_items:
            raise StudyError(
                "attribution.edges are traced on the items of attribution.toward_items, which is "
                "0: use at least 1",
                "attribution.edges",
            )
        right = 0 <= self.floor < 1
        check_value("attribution", self, "floor", right, " is not at least 0 and below 1")
