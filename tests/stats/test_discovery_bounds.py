"""Bounds on true discoveries of sets: what is asked of them, and that they are bounds."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats as scipy_stats

from otherview.stats import DiscoveryBounds, discovery_bounds, sign_flip_test


def related_units(seed: int, items: int = 20, units: int = 60) -> np.ndarray:
    """A third of the units has an effect; all share noise with heavy tails."""
    generator = np.random.default_rng(seed)
    differences = generator.standard_t(3, size=(items, units))
    differences += 0.8 * generator.standard_t(3, size=(items, 1))
    differences[:, : units // 3] += 2.0
    return differences


@pytest.fixture(scope="module")
def bounds() -> DiscoveryBounds:
    return discovery_bounds(related_units(0))


def test_a_set_may_be_indices_or_a_mask_and_says_no_more_than_what_holds_it(
    bounds: DiscoveryBounds,
) -> None:
    strong = np.arange(60) < 20
    assert bounds.true_discoveries(strong) == bounds.true_discoveries(np.flatnonzero(strong))
    assert bounds.true_discoveries(strong) > 10
    assert bounds.true_discoveries() >= bounds.true_discoveries(strong)
    assert bounds.true_discoveries([]) == 0
    assert bounds.true_discoveries([3, 3, 3]) == bounds.true_discoveries([3]) <= 1
    assert bounds.false_discoveries(strong) == 20 - bounds.true_discoveries(strong)


def test_the_column_is_the_bound_of_the_strongest_units(bounds: DiscoveryBounds) -> None:
    expected = [
        bounds.true_discoveries(bounds.position >= position) for position in bounds.position
    ]
    assert_array_equal(bounds.columns()["true_at_least"], expected)
    assert bounds.summary()["true_discoveries"] == max(expected)


def test_the_column_counts_no_unit_with_a_smaller_t() -> None:
    generator = np.random.default_rng(0)
    differences = generator.normal(size=(30, 400)) + generator.normal(size=400)
    differences[:, 1] = -differences[:, 0]
    bounds = discovery_bounds(differences)
    strength = np.abs(sign_flip_test(differences, flips=100).t)
    assert len(np.unique(bounds.position)) < 395  # units whose |t| differ share bins
    expected = [bounds.true_discoveries(strength >= one * (1 - 1e-12)) for one in strength]
    assert_array_equal(bounds.true_at_least, expected)
    assert (bounds.true_at_least <= bounds.rank).all()


def test_neither_threads_nor_order_nor_scale_nor_replicates_matter() -> None:
    differences = related_units(1)
    order = np.random.default_rng(2).permutation(60)
    one = discovery_bounds(differences, seed=5, threads=1)
    other = discovery_bounds(
        np.repeat(1e9 * differences[:, order], 2, axis=0),
        blocks=np.repeat(np.arange(20), 2),
        seed=5,
        threads=3,
    )
    assert_array_equal(one.position[order], other.position)
    assert_array_equal(one.needed, other.needed)
    assert (one.exact, one.n_flips) == (False, 10_000)


def test_as_many_flips_as_patterns_means_all_patterns() -> None:
    every = discovery_bounds(related_units(3, items=10), flips="exact")
    assert (every.exact, every.n_flips) == (True, 512)
    assert_array_equal(discovery_bounds(related_units(3, items=10), flips=512).needed, every.needed)


def test_a_unit_without_variance_is_a_discovery_and_one_of_zeros_none() -> None:
    differences = np.column_stack([np.full(12, 0.1), np.zeros(12), np.arange(12) - 5.5])
    found = discovery_bounds(differences)
    assert [found.true_discoveries([unit]) for unit in range(3)] == [1, 0, 0]


def test_too_few_blocks_bound_nothing() -> None:
    found = discovery_bounds(np.ones((4, 3)))
    assert found.true_discoveries() == 0
    assert np.isinf(found.critical_t).all()


def test_bounds_of_all_sets_hold_together_and_are_near_those_of_one_threshold() -> None:
    runs, broken, simultaneous, single = 300, 0, 0, 0
    for seed in range(runs):
        differences = related_units(1000 + seed, items=12)
        found = discovery_bounds(differences, flips=299, alpha=0.1, seed=seed)
        # All bounds hold exactly if none of the units without an effect is called a discovery.
        broken += found.true_discoveries(np.arange(20, 60)) > 0
        test = sign_flip_test(differences, thresholds=(3.0,), flips=299, alpha=0.1, seed=seed)
        simultaneous += found.true_discoveries(np.abs(test.t) > 3)
        single += test.counts[3.0].true_discoveries
    assert scipy_stats.binom.sf(broken - 1, runs, 0.1) > 1e-4
    assert broken > 0.03 * runs  # and the bound is not merely asleep
    assert simultaneous > 0.8 * single


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([60], "^units holds 60; give indices from 0 to 59"),
        ([-1], "^units holds -1; give indices from 0 to 59"),
        (np.ones(59, dtype=bool), r"^units has shape \(59,\); a mask has one entry per unit, 60"),
        ([0.5], "^units has dtype float64"),
    ],
)
def test_bad_sets_are_named(bounds: DiscoveryBounds, units: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bounds.true_discoveries(units)


def test_a_shift_that_leaves_no_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^shift is 60; give a whole number from 0 to 59"):
        discovery_bounds(related_units(0), shift=60)
