"""The comparison of effects against its definition, and what it calls and does not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from otherview.stats import compare_effects, sign_flip_test


def t_of(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values))))


def test_p_values_are_shares_of_all_sign_flips_of_the_differences_of_effects() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(0.4, 1.0, (9, 6)), random.normal(0.0, 1.0, (9, 6))
    found = compare_effects(a, b)
    differences = a - b
    observed = np.abs(t_of(differences))
    flipped = np.array([
        np.abs(t_of(differences * np.array(signs)[:, None]))
        for signs in itertools.product((1.0, -1.0), repeat=9)
    ])  # fmt: skip
    near = observed * (1 - 1e-9)
    np.testing.assert_allclose(found.test.t, t_of(differences))
    np.testing.assert_allclose(found.test.p, (flipped >= near).mean(axis=0))
    largest = flipped.max(axis=1)
    np.testing.assert_allclose(found.test.p_maxt, (largest[:, None] >= near).mean(axis=0))
    order = np.argsort(-observed)
    stepdown = np.maximum.accumulate([
        (flipped[:, order[place:]].max(axis=1) >= near[unit]).mean()
        for place, unit in enumerate(order)
    ])  # fmt: skip
    np.testing.assert_allclose(found.test.p_stepdown[order], stepdown)
    np.testing.assert_allclose(found.mean_a, a.mean(axis=0))
    np.testing.assert_allclose(found.mean_b, b.mean(axis=0))
    np.testing.assert_allclose(found.test.mean, differences.mean(axis=0))


def test_swapping_the_models_swaps_the_directions_and_no_p() -> None:
    random = np.random.default_rng(4)
    a, b = random.normal(1.0, 1.0, (12, 20)), random.normal(0.3, 1.0, (12, 20))
    one, other = compare_effects(a, b), compare_effects(b, a)
    np.testing.assert_array_equal(one.test.p_stepdown, other.test.p_stepdown)
    np.testing.assert_allclose(one.test.t, -other.test.t)
    summary, swapped = one.summary(), other.summary()
    assert summary["familywise"] > 0
    assert summary["larger_in_a"] == swapped["larger_in_b"]
    assert summary["more_positive_in_b"] == swapped["more_positive_in_a"]
    np.testing.assert_allclose(one.intervals.low, -other.intervals.high)


def test_effects_that_are_significant_in_one_model_only_need_not_differ() -> None:
    """One effect, measured with more noise in B: significant in A alone, and no difference."""
    random = np.random.default_rng(5)
    a = 0.3 + random.normal(0, 0.2, (10, 1))
    b = 0.3 + random.normal(0, 1.2, (10, 1))
    found = compare_effects(a, b)
    assert sign_flip_test(a).p[0] < 0.05 < sign_flip_test(b).p[0]
    assert found.test.p[0] > 0.05


def test_size_and_sign_are_told_apart() -> None:
    noise = np.random.default_rng(6).normal(0, 0.01, (10, 4))
    a = np.array([3.0, -3.0, 1.0, 1.0]) + noise
    b = np.array([1.0, -1.0, -2.0, 1.0]) - noise[::-1]
    found = compare_effects(a, b)
    assert found.larger_in.tolist()[:3] == ["A", "A", "B"]
    assert found.opposite.tolist() == [False, False, True, False]
    assert np.sign(found.test.mean[:3]).tolist() == [1.0, -1.0, 1.0]
    assert (found.test.p_stepdown <= 0.05).tolist() == [True, True, True, False]
    summary = found.summary()
    counts = ("familywise", "larger_in_a", "larger_in_b", "opposite", "more_positive_in_a")
    assert [summary[name] for name in counts] == [3, 2, 1, 1, 2]


def test_equal_effects_give_nothing() -> None:
    a = np.random.default_rng(7).normal(1.0, 1.0, (8, 5))
    found = compare_effects(a, a)
    summary = found.summary()
    assert summary["familywise"] == 0
    assert summary["degenerate"] == 5
    assert summary["margin"] == 0.0


def test_false_alarms_stay_at_the_level() -> None:
    """Two models with the same effects and noise of their own, units correlated: 300 studies."""
    random = np.random.default_rng(8)
    called = 0
    for _ in range(300):
        item = random.normal(1.0, 1.0, (8, 12))
        a, b = (item + random.normal(0, 1, (8, 12)) + random.normal(0, 1, (8, 1)) for _ in range(2))
        called += bool((compare_effects(a, b).test.p_stepdown <= 0.05).any())
    assert called <= 26  # 15 expected; P(more than 26) < .002


def test_other_shapes_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"a has shape \(4, 2\) and b \(3, 2\)"):
        compare_effects(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"b\[1, 0\] is nan"):
        compare_effects(np.ones((2, 1)), np.array([[1.0], [np.nan]]))
