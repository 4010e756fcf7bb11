"""Simultaneous intervals of differences, and the margin that no unit passes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats as scipy_stats

from otherview.stats import difference_intervals

EFFECTS = np.linspace(-1, 3, 20)


def noisy(seed: int, items: int = 16, *, skewed: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    noise = (
        generator.exponential(size=(items, 20)) - 1
        if skewed
        else generator.laplace(size=(items, 20))
    )
    return np.asarray(EFFECTS + noise)


def test_intervals_are_means_and_standard_errors_times_one_critical_t() -> None:
    differences = 1e200 * noisy(0)
    found = difference_intervals(differences, draws=999)
    error = 1e200 * (differences / 1e200).std(axis=0, ddof=1) / 4
    assert_allclose(found.mean, differences.mean(axis=0))
    assert_allclose(found.high - found.mean, found.critical_t * error)
    assert_allclose(found.mean - found.low, found.critical_t * error)
    assert found.margin() == max(found.high.max(), -found.low.min())
    assert found.margin([3, 4]) == max(found.high[3:5].max(), -found.low[3:5].min())
    assert found.margin([]) == 0
    assert_array_equal(found.columns()["difference_low"], found.low)
    assert (found.exact, found.n_draws) == (False, 999)


def test_critical_t_of_one_normal_unit_is_near_students() -> None:
    differences = np.random.default_rng(1).normal(size=(25, 1))
    found = difference_intervals(differences, draws=20_000)
    assert found.critical_t == pytest.approx(scipy_stats.t.isf(0.025, 24), rel=0.15)


@pytest.mark.parametrize("skewed", [False, True])
def test_all_intervals_cover_together(skewed: bool) -> None:
    runs, missed = 200, 0
    for seed in range(runs):
        differences = noisy(seed, skewed=skewed)
        found = difference_intervals(differences, draws=399, alpha=0.1, seed=seed)
        missed += bool(((found.low > EFFECTS) | (found.high < EFFECTS)).any())
    assert scipy_stats.binom.sf(missed - 1, runs, 0.1) > 1e-4


def test_units_without_variance_and_too_few_blocks() -> None:
    differences = np.column_stack([np.full(8, 0.5), np.arange(8.0)])
    found = difference_intervals(differences)
    assert_array_equal(found.degenerate, [True, False])
    assert found.low[0] == found.high[0] == 0.5
    few = difference_intervals(differences[:3])
    assert np.isinf(few.critical_t)
    assert few.margin([1]) == np.inf
    assert "margin" not in few.summary()
    assert difference_intervals(np.ones((8, 2))).margin() == 1.0


def test_threads_and_replicates_do_not_matter() -> None:
    one = difference_intervals(noisy(2), draws=5000, threads=1)
    blocks = np.repeat(np.arange(16), 2)
    other = difference_intervals(
        np.repeat(noisy(2), 2, axis=0), blocks=blocks, draws=5000, threads=3
    )
    assert one.critical_t == other.critical_t


@pytest.mark.parametrize("blocks", [7, 14])
def test_blocks_that_equal_the_mean_on_paper_make_no_draw_without_variance(blocks: int) -> None:
    differences = np.zeros((blocks, 1))
    differences[:2] = [[1.0], [-1.0]]
    plain = difference_intervals(differences).critical_t
    assert plain < 3
    for shift in (0.1, 0.3, 1 / 3, 2.7):
        moved = difference_intervals(differences * 3.7 + shift).critical_t
        assert moved == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("draws", [0, True])
def test_draws_that_are_no_number_are_named(draws: int) -> None:
    with pytest.raises(ValueError, match=r"^draws is (0|True); give a whole number of 1 or more"):
        difference_intervals(noisy(0), draws=draws)
