"""The tests of a group: items as exchangeability blocks, wordings relabelled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from otherview.stats import RoleTestResult, SignFlipResult, role_test, sign_flip_test
from otherview.stats.sign_flip import Flips
from otherview.sweep.combine.group_responses import (
    MIN_WORDINGS,
    GroupResponses,
    compared,
    role_wordings,
)
from otherview.sweep.combine.groups import Group

DRAWN_FLIPS = 10_000
"""Sign patterns where the study leaves the number to us; fewer where there are fewer in all."""


@dataclass(frozen=True)
class Tested:
    """One unit set of a group, tested."""

    responses: GroupResponses
    contrasts: tuple[SignFlipResult, ...]
    """In the order of the group's contrasts, placebos included."""
    pooled: SignFlipResult | None
    """Over the balanced part; None where there is none."""
    role: RoleTestResult | None
    """None where a role has too few wordings, or one text has both roles."""

    @property
    def _real(self) -> tuple[SignFlipResult, ...]:
        """Tests of the contrasts, placebos apart."""
        return self.contrasts[: len(self.responses.balanced)]

    @cached_property
    def p_in_every(self) -> Float[np.ndarray, " units"]:
        """Largest step-down p of the contrasts, placebos apart; NaN where their signs differ."""
        if not self._real:
            return np.full(self.responses.layout.units.height, np.nan)
        signs = np.sign([test.mean for test in self._real])
        same = (signs == signs[0]).all(axis=0) & (signs[0] != 0)
        largest = np.max([test.p_stepdown for test in self._real], axis=0)
        return np.asarray(np.where(same, largest, np.nan))

    @property
    def in_every(self) -> Bool[np.ndarray, " units"]:
        """Family-wise significant with the same sign in every contrast."""
        alpha = self.contrasts[0].alpha
        return np.asarray(self.p_in_every <= alpha)

    @property
    def significant_contrasts(self) -> np.ndarray:
        """Contrasts, placebos apart, in which a unit is family-wise significant, `[units]`."""
        return np.asarray(np.sum([test.p_stepdown <= test.alpha for test in self._real], axis=0))


def tests_of(group: Group, responses: GroupResponses) -> Tested:
    """Tests one unit set of `group`."""
    contrasts = tuple(
        over_items(group, responses.differences[index : index + 1])
        for index in range(len(group.contrasts))
    )
    balanced = bool(group.balanced_seeds)
    return Tested(
        responses,
        contrasts,
        over_items(group, responses.balanced) if balanced else None,
        over_wordings(group, responses) if balanced and role_note(group) is None else None,
    )


def role_note(group: Group) -> str | None:
    """Why there is no role test over the group's wordings, or None."""
    written = role_wordings(group)
    texts = [wording.text for wording in written]
    both = [text for text in texts if texts.count(text) > 1]
    if both:
        return (
            f"No role test: {both[0]!r} is a test wording in one contrast and a control wording "
            "in another."
        )
    roles = [wording.role for wording in compared(written)]
    numbers = {role: roles.count(role) for role in ("test", "control")}
    if min(numbers.values()) < MIN_WORDINGS:
        return (
            f"No role test: the contrasts have {numbers['test']} test and {numbers['control']} "
            f"control wordings to compare, and it needs {MIN_WORDINGS} of each. Add "
            "templates=nouns to the sweep."
        )
    return None


def flips_of(group: Group) -> Flips:
    """Sign patterns of the tests: the study's own number, or DRAWN_FLIPS where that is auto."""
    wanted = group.study.nulls.sign_flips
    return DRAWN_FLIPS if wanted == "auto" else cast(Flips, wanted)


def over_items(
    group: Group, differences: Float[np.ndarray, "contrasts items units"]
) -> SignFlipResult:
    """Sign flips of items: what an item shows under all contrasts flips together."""
    nulls = group.study.nulls
    contrasts, items, units = differences.shape
    return sign_flip_test(
        differences.reshape(contrasts * items, units),
        blocks=np.tile(np.arange(items), contrasts),
        thresholds=tuple(nulls.thresholds),
        flips=flips_of(group),
        alpha=nulls.alpha,
    )


def over_wordings(group: Group, responses: GroupResponses) -> RoleTestResult:
    """Roles are compared and relabelled within the contrast that a wording comes from."""
    nulls, wordings = group.study.nulls, role_wordings(group)
    return role_test(
        responses.wordings,
        [wording.role for wording in wordings],
        strata=[wording.stratum for wording in wordings],
        thresholds=tuple(nulls.thresholds),
        alpha=nulls.alpha,
        flips=flips_of(group),
    )
