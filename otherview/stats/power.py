"""What a study can find, before it is run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from otherview.stats.inputs import check_settings
from otherview.stats.paired import noncentrality
from otherview.stats.role import role_note
from otherview.stats.role_null import stretches
from otherview.stats.sign_flip import Flips, flip_note
from otherview.stats.wordings import check_several, role_design

POWER = 0.8


@dataclass(frozen=True)
class Power:
    """What a study of so many items, wordings and units can find at a family-wise level."""

    smallest_p: float
    """The smallest p, of one unit and family-wise, that these numbers can give."""
    alpha: float
    units: int
    critical_t: float
    """|t| that is needed, if units are independent; infinite where no unit can be called."""
    effect: float
    """Effect of a unit that is found with 80% power, in `scale`; infinite where none is."""
    scale: str
    """What the effect is measured in."""
    note: str
    """One line, empty if nothing stands in the way: why no effect, however large, is found."""

    @property
    def can_find(self) -> bool:
        """Whether any effect can be significant."""
        return not self.note


def role_power(
    items: int,
    roles: ArrayLike,
    units: int,
    *,
    strata: ArrayLike | None = None,
    ratio: float = 0.0,
    alpha: float = 0.05,
    flips: Flips = "auto",
) -> Power:
    """What a role test can find, in SDs between wordings of one role.

    `roles`, `strata` and `flips` are those of `role_test`; `ratio` is what items add to the
    variance of a role's difference over what wordings add (`variance_ratio` of an earlier study;
    0: items respond alike). Normal effects, independent units: correlated units need less. t is
    compared with Student's distribution with Satterthwaite's degrees of freedom, its tail corrected
    for units and for the data's own labels, which relabelling always counts; its power is that of
    the noncentral t. Below twenty items t must be as much larger as the null of the test is longer
    (`stretches`). Within 15% of simulated effects (tests/stats/test_power.py).

    Raises ValueError as `role_test` does, and on fewer than two items or one unit.
    """
    check_settings(alpha, flips=flips, units=units)
    check_items(items)
    if not 0 <= ratio < np.inf:
        raise ValueError(f"ratio is {ratio}; give a number of 0 or more")
    design = role_design(roles, strata)
    check_several(design)
    smallest = drawn_at_best(design.smallest_p, flips)
    degrees = (1 + ratio) ** 2 / (ratio**2 / (items - 1) + 1 / design.degrees)
    longer = (
        np.sqrt((1 + ratio * stretch.of_items**2) / (1 + ratio)) for stretch in stretches(items, 0)
    )
    critical, shift = max(
        critical_and_shift(smallest, degrees, tested, alpha, by)
        for tested, by in zip((1, units), longer, strict=True)
    )
    effect = shift * np.sqrt((1 + ratio) / design.information)
    note = role_note(design, smallest, alpha)
    return Power(smallest, alpha, units, critical, float(effect), "wording SDs", note)


def sign_flip_power(pairs: int, units: int, *, alpha: float = 0.05, flips: Flips = "auto") -> Power:
    """What a sign-flip test of one wording per role can find, in d_z (mean / SD of pairs).

    As `role_power`, with pairs - 1 degrees of freedom: the smallest p is 2 / 2^pairs.

    Raises ValueError on fewer than two pairs or one unit.
    """
    check_settings(alpha, flips=flips, units=units)
    check_items(pairs)
    smallest = drawn_at_best(2.0 ** (1 - pairs), flips)
    critical, shift = critical_and_shift(smallest, pairs - 1, units, alpha)
    drawn = 0 if isinstance(flips, str) else flips
    note = flip_note(pairs, drawn, alpha, exact=not drawn)
    return Power(smallest, alpha, units, critical, shift / float(np.sqrt(pairs)), "d_z", note)


def critical_and_shift(
    smallest: float, degrees: float, units: int, alpha: float, longer: float = 1.0
) -> tuple[float, float]:
    """|t| of family-wise p = alpha, and the noncentrality that passes it in 80% of studies.

    `longer` is how many times as long as Student's t the null is.
    """
    from scipy import special

    if smallest >= alpha:
        return np.inf, np.inf
    left = (alpha - smallest) / (1 - smallest)
    tail = -np.expm1(np.log1p(-left) / units) / 2
    critical = float(-special.stdtrit(degrees, tail)) * longer
    return critical, float(noncentrality(degrees, 1 - POWER, np.array([critical]))[0])


def drawn_at_best(smallest: float, flips: Flips) -> float:
    """The smallest p where at most `flips` randomisations are drawn."""
    return smallest if isinstance(flips, str) else max(smallest, 1 / (flips + 1))


def check_items(items: int) -> None:
    """Raise ValueError on fewer than two."""
    if items < 2:
        raise ValueError(f"items is {items}; a test over items needs two or more")
