"""A trend along a graded axis."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from otherview.stats import trend


def test_p_counts_every_permutation_of_the_dose() -> None:
    values = np.random.default_rng(0).integers(-2, 3, (6, 4)).astype(float)
    dose = np.array([1.0, 2.0, 2.0, 4.0, 5.0, 9.0])
    orders = np.array([dose[list(order)] for order in itertools.permutations(range(6))])
    r = np.abs([[np.corrcoef(order, unit)[0, 1] for unit in values.T] for order in orders])
    result = trend(values, dose)
    assert result.exact
    assert result.n_permutations == 720
    assert_allclose(result.p, (r >= r[0] - 1e-9).mean(axis=0))
    family_wise = [(r.max(axis=1) >= seen - 1e-9).mean() for seen in r[0]]
    assert_allclose(result.p_maxt, family_wise)


def test_slope_and_t_are_those_of_least_squares() -> None:
    values = np.random.default_rng(1).normal(size=(30, 5)) * 1e20
    dose = np.arange(30)
    result = trend(values, dose, flips=1000)
    for unit in range(5):
        line = stats.linregress(dose, values[:, unit])
        assert result.slope[unit] == pytest.approx(line.slope)
        assert result.t[unit] == pytest.approx(line.slope / line.stderr)
        assert result.p[unit] == pytest.approx(line.pvalue, abs=0.06)


def test_a_trend_is_found_and_a_constant_effect_is_none() -> None:
    values = np.random.default_rng(2).normal(size=(20, 40)) + 5
    values[:, :10] += 0.3 * np.arange(20)[:, None]
    result = trend(values, np.arange(20))
    assert not result.exact
    assert result.significant[:10].sum() >= 9
    assert result.significant[10:].sum() == 0


@pytest.mark.parametrize("first", [0.0, 1e15, -1e300, 1e-300])
def test_only_differences_of_doses_matter(first: float) -> None:
    values = np.random.default_rng(5).normal(size=(7, 4))
    step = max(1.0, np.spacing(abs(first))) if abs(first) > 1 else max(abs(first), 1.0)
    plain = trend(values, np.arange(7))
    moved = trend(values, first + step * np.arange(7))
    assert_allclose(moved.correlation, plain.correlation, rtol=1e-9)
    assert_allclose(moved.slope, plain.slope / step, rtol=1e-9)
    assert_array_equal(moved.p, plain.p)


def test_blocks_share_a_dose() -> None:
    values = np.random.default_rng(3).normal(size=(12, 3))
    blocks, dose = np.repeat([2, 0, 1, 3], 3), np.repeat([5.0, 1.0, 2.0, 7.0], 3)
    means = np.stack([values[blocks == block].mean(axis=0) for block in range(4)])
    one, other = trend(values, dose, blocks=blocks), trend(means, [1.0, 2.0, 5.0, 7.0])
    assert_allclose(one.slope, other.slope)
    assert_array_equal(one.p, other.p)


def test_a_unit_of_equal_values_has_no_trend() -> None:
    values = np.column_stack([np.full(6, 0.1), np.arange(6.0)])
    result = trend(values, np.arange(6))
    assert_array_equal(result.degenerate, [True, False])
    assert np.isnan(result.t[0])
    assert result.t[1] == np.inf
    assert_allclose(result.p, [1.0, 2 / 720])


@pytest.mark.parametrize(
    ("dose", "message"),
    [
        ([1.0, 2.0], r"^dose has shape \(2,\); give one number for each of the 4 pairs"),
        ([1.0, np.nan, 2.0, 2.0], r"^dose\[1\] is nan"),
        ([1.0, 1.0, 1.0, 1.0], "^dose is 1.0 in every block"),
        ([1.0, 2.0, 3.0, 4.0], r"^dose\[1\] is 2.0 in block a, which began with 1.0"),
    ],
)
def test_bad_doses_are_named(dose: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trend(np.ones((4, 2)), dose, blocks=["a", "a", "b", "c"])
