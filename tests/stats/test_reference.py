"""The fast code against the definitions in `otherview.stats.reference`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from otherview import stats
from otherview.stats import discovery_calibration, reference


@st.composite
def small_differences(draw: st.DrawFn) -> np.ndarray:
    items, units = draw(st.integers(3, 7)), draw(st.integers(1, 5))
    bound = draw(st.sampled_from([2, 40]))
    return draw(arrays(np.int64, (items, units), elements=st.integers(-bound, bound))) * 0.1


@given(small_differences(), st.sampled_from([1.0, 2.5]))
@settings(max_examples=60, deadline=None)
def test_sign_flips(differences: np.ndarray, threshold: float) -> None:
    expected = reference.sign_flip_reference(differences, threshold)
    found = stats.sign_flip_test(differences, thresholds=(threshold,), flips="exact")
    varied = ~found.degenerate
    assert_allclose(found.t[varied], expected.t[varied], rtol=1e-9, atol=1e-9)
    for name in ("p", "p_maxt", "p_stepdown"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, err_msg=name)
    half = np.bincount(expected.counts, minlength=len(varied) + 1) / 2
    assert_array_equal(found.counts[threshold].null, half)


def test_published_reading() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, (9, 30))
    reading = stats.published_reading(differences, thresholds=[2.0], flips=40, seed=3)
    signs = np.random.default_rng(3).choice([-1.0, 1.0], size=(40, 9))
    expected = reference.published_reference(differences, signs, 2.0)
    assert (reading.counts[0].observed, reading.counts[0].null_p99) == expected


def test_split_half() -> None:
    differences = np.random.default_rng(1).normal(size=(13, 20))
    differences[:, :8] += 2
    found = stats.split_half(differences, 4, seed=2, alpha=0.1)
    orders = np.random.default_rng(2)
    for split in range(4):
        order = orders.permutation(13)
        halves = differences[order[:6]], differences[order[6:]]
        for direction, (one, other) in enumerate((halves, halves[::-1])):
            correlation, significant, again = reference.split_half_reference(one, other, 0.1)
            assert found.correlation[split] == pytest.approx(correlation)
            assert found.significant[split, direction] == significant
            assert found.replicated[split, direction] == again


def test_trend() -> None:
    generator = np.random.default_rng(3)
    values, dose = np.round(generator.normal(size=(6, 5)), 1), np.array([1.0, 1, 2, 4, 4, 9])
    found = stats.trend(values, dose)
    correlation, p, p_maxt = reference.trend_reference(values, dose)
    assert_allclose(found.correlation, correlation)
    assert_allclose(found.p, p)
    assert_allclose(found.p_maxt, p_maxt)


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_intervals(alpha: float) -> None:
    differences = np.random.default_rng(4).standard_t(4, size=(5, 12)) + 1
    found = stats.difference_intervals(differences, alpha=alpha)
    low, high = reference.interval_reference(differences, alpha)
    assert (found.exact, found.n_draws) == (True, 5**5)
    assert_allclose(found.low, low, rtol=1e-9)
    assert_allclose(found.high, high, rtol=1e-9)


def related(seed: int, *, tied: bool) -> np.ndarray:
    """Seven items, six units that share noise, some with an effect."""
    generator = np.random.default_rng(seed)
    differences = generator.normal(size=(7, 6)) + generator.normal(size=(7, 1))
    differences[:, : seed % 5] += [2.0, 4.0, 1.5, 3.0][: seed % 5]
    return np.round(differences, 0 if tied else 6)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_discovery_bounds_are_the_closed_test_in_one_step_and_within_the_full_one_in_more(
    monkeypatch: pytest.MonkeyPatch, seed: int, shift: int, tied: bool
) -> None:
    differences = related(seed, tied=tied)
    stepped = stats.discovery_bounds(differences, alpha=0.15, shift=shift)
    monkeypatch.setattr(discovery_calibration, "WORTHWHILE", np.inf)
    single = stats.discovery_bounds(differences, alpha=0.15, shift=shift)
    assert (single.steps, single.exact) == (1, True)
    for size in (1, 2, 4, 6):
        for chosen in list(itertools.combinations(range(6), size))[:8]:
            one, full = (
                reference.discovery_reference(
                    differences, chosen, alpha=0.15, shift=shift, own_scale=own
                )
                for own in (False, True)
            )
            assert single.true_discoveries(chosen) == one
            assert one <= stepped.true_discoveries(chosen) <= full


def test_leaving_out_units_that_are_found_alone_finds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(1).normal(size=(8, 8))
    differences[:, :5] += 4
    differences[:, 5:7] += 0.9
    stepped = stats.discovery_bounds(differences, alpha=0.1)
    monkeypatch.setattr(discovery_calibration, "WORTHWHILE", np.inf)
    single = stats.discovery_bounds(differences, alpha=0.1)
    full = reference.discovery_reference(differences, tuple(range(8)), alpha=0.1, own_scale=True)
    assert single.true_discoveries() < stepped.true_discoveries() == full
