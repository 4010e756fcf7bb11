"""Settings of attribution: what edits of heads would do, predicted from gradients."""

from __future__ import annotations

from dataclasses import dataclass

from otherview.study.checks import check_choices, check_least
from otherview.study.errors import StudyError


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

    def __post_init__(self) -> None:
        check_choices("attribution", self, kind=("none", "change"))
        check_least("attribution", self, cotangents=1, check_items=0)
        if not 0 <= self.floor < 1:
            raise StudyError(
                f"attribution.floor={self.floor} is not at least 0 and below 1", "attribution.floor"
            )
