"""The published reading against scipy and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from otherview.stats import published_reading


def differences(pairs: int = 30, units: int = 200, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 1.0, (pairs, units))


def test_t_is_the_paired_t_of_scipy() -> None:
    data = differences()
    expected = stats.ttest_1samp(data, 0).statistic
    np.testing.assert_allclose(published_reading(data).t, expected, rtol=1e-12)


def test_counts_and_null_follow_from_flipping_whole_pairs() -> None:
    data = differences()
    reading = published_reading(data, thresholds=[2.0], flips=50, seed=3)
    signs = np.random.default_rng(3).choice([-1.0, 1.0], size=(50, 30))
    null_t = np.abs([stats.ttest_1samp(row[:, None] * data, 0).statistic for row in signs])
    (count,) = reading.counts
    np.testing.assert_array_equal(count.null, (null_t > 2).sum(axis=1))
    np.testing.assert_allclose(reading.max_null, null_t.max(axis=1), rtol=1e-10)
    assert count.observed == (np.abs(stats.ttest_1samp(data, 0).statistic) > 2).sum()
    assert count.null_p99 == np.percentile(count.null, 99)


def test_a_ratio_over_nothing_is_absent() -> None:
    reading = published_reading(np.array([[1.0], [1.1], [0.9]]), thresholds=[50.0])
    assert reading.counts[0].null_p99 == 0
    assert reading.counts[0].ratio is None


def test_units_without_variance_are_named_and_counted_nowhere() -> None:
    data = differences(units=3)
    data[:, 1] = 0.25
    reading = published_reading(data, thresholds=[0.001])
    np.testing.assert_array_equal(reading.degenerate, [False, True, False])
    assert np.isnan(reading.t[1])
    assert reading.counts[0].observed == 2
    assert reading.counts[0].null.max() <= 2


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, (6, 4), elements=st.integers(-5, 5).map(float)),
    st.integers(-100, 100),
)
def test_t_does_not_depend_on_the_scale_of_the_data(data: np.ndarray, exponent: int) -> None:
    plain = published_reading(data, flips=20)
    scaled = published_reading(data * 10.0**exponent, flips=20)
    np.testing.assert_allclose(scaled.t, plain.t, rtol=1e-9, atol=1e-12)


def test_nan_is_named_with_its_place() -> None:
    data = differences()
    data[3, 17] = np.nan
    with pytest.raises(ValueError, match=r"differences\[3, 17\] is nan"):
        published_reading(data)
