"""Heads that a role needs, by predicted change: the test and the floor together."""

from __future__ import annotations

import numpy as np

from otherview.stats import predicted_change_test
from otherview.stats.predicted_change import PredictedEffect

ROLES = ["test"] * 5 + ["control"] * 5


def changes() -> np.ndarray:
    """Large, tiny but consistent, negative, without a difference, small."""
    generator = np.random.default_rng(0)
    values = np.abs(generator.normal(1, 0.05, (12, 10, 5))) * [0.5, 0.001, 0.2, 0.3, 0.01]
    values[:, :5] *= [2, 2, 0.25, 1, 1]
    return values


def test_a_head_is_called_if_the_test_calls_it_and_the_floor_is_passed() -> None:
    found = predicted_change_test(changes(), ROLES, floor=0.05)
    assert found.called.tolist() == [True, False, True, False, False]
    assert found.summary(list("abcde"))["tested"] == 3
    assert found.effects() == [
        PredictedEffect.TEST, PredictedEffect.SMALL, PredictedEffect.CONTROL,
        PredictedEffect.BOTH, PredictedEffect.SMALL,
    ]  # fmt: skip
    assert found.summary(list("abcde"))["called_units"] == ["a", "c"]


def test_no_head_is_said_to_be_small_where_first_order_does_not_hold() -> None:
    holds = np.array([False, False, True, False, False])
    found = predicted_change_test(changes(), ROLES, holds=holds)
    assert found.effects() == [
        PredictedEffect.TEST, PredictedEffect.UNKNOWN, PredictedEffect.CONTROL,
        PredictedEffect.UNKNOWN, PredictedEffect.UNKNOWN,
    ]  # fmt: skip


def test_one_wording_per_role_is_tested_over_items() -> None:
    found = predicted_change_test(changes()[:, [0, 5]], ["test", "control"])
    assert found.rule == "family-wise"
    assert found.called.tolist() == [True, False, True, False, False]
