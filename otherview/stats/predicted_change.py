"""Which heads a role needs, by what zeroing them is predicted to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from otherview.stats.columns import Column, UnitResult
from otherview.stats.difference_intervals import difference_intervals
from otherview.stats.role import enough_for_role_test, role_test
from otherview.stats.sign_flip import Flips
from otherview.stats.wordings import role_design

SHARE = "of the prediction"
"""Unit of a change."""


class PredictedEffect(StrEnum):
    """What zeroing a head is predicted to do, in the columns of a result."""

    TEST = "needed more by the test role"
    CONTROL = "needed more by the other role"
    BOTH = "needed, not called for either role"
    SMALL = "below the floor for both roles"
    UNKNOWN = "first order does not hold"


@dataclass(frozen=True)
class MeasuredChanges:
    """Units of sites where first order does not hold, each zeroed alone on a few items."""

    test: Float[np.ndarray, " units"]
    """Change of the test role; NaN for other units."""
    control: Float[np.ndarray, " units"]
    fails: Bool[np.ndarray, " units"]
    """Units whose own change is not what was predicted."""


@dataclass(frozen=True)
class PredictedChangeResult(UnitResult):
    """What `predicted_change_test` found; arrays have one entry per unit."""

    test: Float[np.ndarray, " units"]
    """Predicted change of the test role, mean over items and wordings."""
    control: Float[np.ndarray, " units"]
    called: Bool[np.ndarray, " units"]
    """The difference of the roles exceeds the floor with family-wise confidence."""
    bound: Float[np.ndarray, " units"]
    """What the absolute difference exceeds with that confidence; negative where it is not told
    from 0, NaN for a unit without a t."""
    rule: str
    """role test, or family-wise with one wording per role."""
    holds: Bool[np.ndarray, " units"] | None
    """Whether first order holds at the unit's site; None if that was not checked."""
    floor: float
    measured: MeasuredChanges | None = None
    """Of units of sites where first order does not hold, zeroed alone; None if none was."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("predicted_change_test", "change of the test role’s prediction if the head is "
               "zeroed, predicted to first order", SHARE, "predicted change"),
        Column("predicted_change_control", "the same of the control role", SHARE,
               "of the other role"),
        Column("predicted_called", "the predicted changes of the roles differ by more than the "
               "floor, by the study’s test", heading="needed by one role"),
        Column("predicted_verdict", "what zeroing the head is predicted to do",
               heading="predicted"),
        Column("first_order_holds", "zeroing all heads of its site changes as much as predicted, "
               "within a factor of two; null if not checked"),
        Column("measured_change_test", "change of the test role’s prediction with the head zeroed, "
               "measured on a few items; null where first order holds", SHARE, "measured change"),
        Column("measured_change_control", "the same of the control role", SHARE,
               "of the other role"),
    )  # fmt: skip

    @property
    def difference(self) -> Float[np.ndarray, " units"]:
        """Predicted change of the test role less that of the control role."""
        return np.asarray(self.test - self.control)

    def effects(self) -> list[PredictedEffect]:
        """Return the verdict on every unit.

        Units of a site where first order does not hold are never said to be below the floor.
        """
        holds = np.ones(len(self.test), bool) if self.holds is None else self.holds
        found = []
        for unit, difference in enumerate(self.difference):
            if self.called[unit]:
                effect = PredictedEffect.TEST if difference > 0 else PredictedEffect.CONTROL
            elif not holds[unit]:
                effect = PredictedEffect.UNKNOWN
            elif max(self.test[unit], self.control[unit]) >= self.floor:
                effect = PredictedEffect.BOTH
            else:
                effect = PredictedEffect.SMALL
            found.append(effect)
        return found

    def columns(self) -> dict[str, Any]:
        """By name of COLUMNS: one value per unit."""
        holds = [None] * len(self.test) if self.holds is None else self.holds.tolist()
        unknown, measured = np.full(len(self.test), np.nan), self.measured
        return {
            "predicted_change_test": self.test,
            "predicted_change_control": self.control,
            "predicted_called": self.called,
            "predicted_verdict": [str(effect) for effect in self.effects()],
            "first_order_holds": holds,
            "measured_change_test": unknown if measured is None else measured.test,
            "measured_change_control": unknown if measured is None else measured.control,
        }

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units."""
        order = np.argsort(-np.abs(self.difference), kind="stable")
        found: dict[str, Any] = {
            "called": int(self.called.sum()),
            "called_units": [addresses[unit] for unit in order if self.called[unit]],
            "rule": self.rule,
            "tested": int((self.bound > 0).sum()),
            "floor": self.floor,
        }
        if self.holds is not None:
            failing = [a for a, holds in zip(addresses, self.holds, strict=True) if not holds]
            sites = dict.fromkeys(address.rpartition(".")[0] for address in failing)
            found["first_order_fails_at"] = list(sites)
        if self.measured is not None:
            found["zeroed_alone"] = int(np.isfinite(self.measured.test).sum())
            found["first_order_fails_for"] = [
                address
                for address, fails in zip(addresses, self.measured.fails, strict=True)
                if fails
            ]
        return found


def predicted_change_test(
    changes: Float[np.ndarray, "items wordings units"],
    roles: Sequence[str],
    *,
    strata: Sequence[str] | None = None,
    holds: Bool[np.ndarray, " units"] | None = None,
    measured: MeasuredChanges | None = None,
    floor: float = 0.05,
    alpha: float = 0.05,
    flips: Flips = "auto",
    seed: int = 0,
) -> PredictedChangeResult:
    """Test each unit for a predicted change that depends on the role, and is not small.

    `changes` are those of zeroing a unit, one per item and wording, with cotangents that the
    wordings of an item share. A unit is called if its roles differ by more than `floor`, by the
    role test over items and wordings: |difference| - critical t * standard error, which bounds the
    differences of all units together with confidence 1 - `alpha`, is above `floor` (with one
    wording per role: the simultaneous intervals over items). With a floor of 0 these are the heads
    that the role test calls, among them heads whose changes are far too small to matter: a test is
    free of scale.

    Flipping the sign of a pair would be no null: a predicted change is not odd under an exchange of
    roles. So wordings are dealt to the roles again, as for any other response.
    """
    design = role_design(roles, strata)
    contrast = design.contrast / design.information
    weights = np.abs(contrast)
    test, control = (
        np.average(changes.mean(0), axis=0, weights=weights * side)
        for side in (design.is_test, ~design.is_test)
    )
    if enough_for_role_test(roles, strata=strata):
        rule = "role test"
        tested = role_test(changes, roles, strata=strata, alpha=alpha, flips=flips, seed=seed)
        size = np.abs(tested.difference)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = size / np.abs(tested.t)
            bound = size - tested.critical_t * tested.width * error
    else:
        rule = "family-wise"
        differences = np.tensordot(changes, contrast, axes=(1, 0))
        interval = difference_intervals(differences, alpha=alpha, seed=seed)
        bound = np.maximum(interval.low, -interval.high)
    called = bound > floor
    return PredictedChangeResult(test, control, called, bound, rule, holds, floor, measured)
