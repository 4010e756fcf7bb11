"""Axes of a role: the test against its definition, and what folds measure."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from otherview.stats import axis_test, role_test
from otherview.stats.axes import Drawn, pseudo_f
from otherview.stats.axis_folds import agreement, decoding
from otherview.stats.role_draws import randomisations
from otherview.stats.wordings import wording_design

ROLES = ["test"] * 4 + ["control"] * 4
SIGNS = np.array([1.0] * 4 + [-1.0] * 4)


def vectors(seed: int, units: int = 3, channels: int = 5, axis: float = 0.0) -> np.ndarray:
    """Vectors of twelve items and eight wordings that differ, with an axis in the first unit."""
    draws = np.random.default_rng(seed)
    wordings = draws.normal(0, 1, (1, 8, units, channels))
    items = draws.normal(0, 1, (12, 1, units, channels)) * SIGNS[:, None, None] * 0.5
    found = wordings + items + draws.normal(0, 0.3, (12, 8, units, channels))
    found[:, :, 0] += axis * SIGNS[:, None] * np.arange(1, channels + 1)
    return np.asarray(found)


def test_an_axis_is_called_decoded_and_found_again() -> None:
    found = axis_test(vectors(0, axis=2.0), ROLES)
    assert found.called.tolist() == [True, False, False]
    assert found.decoding[0] == 1.0
    assert found.cosine[0] > 0.95 > abs(found.cosine[1:]).max()
    summary = found.summary(["a", "b", "c"])
    assert summary["called_units"] == ["a"]
    assert summary["median_decoding_of_called"] == 1.0


def test_with_one_channel_f_is_the_square_of_the_role_test_s_t() -> None:
    values = vectors(1, units=4, channels=1, axis=0.4)
    for roles in (ROLES, ["test"] * 3 + ["control"] * 5):
        found, by_role = axis_test(values, roles), role_test(values[..., 0], roles)
        np.testing.assert_allclose(found.f, by_role.t**2, rtol=1e-9)


@pytest.mark.parametrize("tests", [4, 3])
def test_the_null_is_that_of_vectors_written_out(tests: int) -> None:
    """Pseudo-F from products of vectors against the vectors themselves, row by row."""
    own = vectors(2)[:, :, 0]
    is_test = np.arange(8) < tests
    design = wording_design(is_test, None)
    drawn = Drawn.of(randomisations(design, 12, 0, 300, 0))
    observed, null = pseudo_f(own, design, drawn)

    def error_of(residual: np.ndarray, contrast: np.ndarray) -> float:
        squares, first = (residual**2).sum(1), contrast > 0
        pooled = squares.sum() / 6 * (1 / tests + 1 / (8 - tests))
        sides = [(side, side.sum()) for side in (first, ~first)]
        welch = sum(squares[side].sum() / (n - 1) / n for side, n in sides)
        return float(max(pooled, welch))

    longer = (stats.t.ppf(0.975, 11) / stats.norm.ppf(0.975)) ** 2  # twelve items
    means, by_item = own.mean(0), own[:, is_test].mean(1) - own[:, ~is_test].mean(1)
    axis, deviations = by_item.mean(0), by_item - by_item.mean(0)
    residual = np.concatenate([means[s] - means[s].mean(0) for s in (is_test, ~is_test)])
    of_items = (deviations**2).sum() / (12 * 11)
    of_wordings = error_of(residual, is_test - 0.5)
    assert observed == pytest.approx((axis @ axis) / (of_items + of_wordings))
    kept = np.sqrt(of_wordings / (of_items + of_wordings))
    label = is_test - is_test.mean()
    centred = means - means.mean(0) - np.outer(label, (1 - kept) * axis)
    for row in range(20):
        first = drawn.contrasts[row] > 0
        moved = centred[first].mean(0) - centred[~first].mean(0)
        if first.sum() != tests:  # a mirror image
            assert first.sum() == 8 - tests
        times = drawn.items[row] * 11
        drawn_items = np.repeat(deviations, times.round().astype(int), axis=0)
        mean = drawn_items.mean(0)
        spread = ((drawn_items - mean) ** 2).sum() / (11 * 10)
        residual = np.where(
            first[:, None], centred - centred[first].mean(0), centred - centred[~first].mean(0)
        )
        squares = (residual**2).sum(1)
        pooled = squares.sum() / 6 * (1 / tests + 1 / (8 - tests))
        welch = sum(squares[side].sum() / (side.sum() - 1) / side.sum() for side in (first, ~first))
        expected = ((moved + longer * mean) ** 2).sum() / (spread + max(pooled, welch))
        assert null[row] == pytest.approx(expected, rel=1e-5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_nothing_depends_on_scale_rotation_or_the_names_of_the_roles(
    seed: int, scale: float
) -> None:
    values = vectors(seed, units=2, axis=0.5)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))
    found = axis_test(values, ROLES, flips=200)
    turned = axis_test(scale * values @ rotation + 3 * scale, ROLES, flips=200)
    swapped = axis_test(-values, ROLES[::-1], flips=200)
    for other in (turned, swapped):
        np.testing.assert_allclose(other.f, found.f, rtol=1e-6)
        np.testing.assert_allclose(other.decoding, found.decoding, atol=0.05)
    np.testing.assert_allclose(turned.cosine, found.cosine, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned.p, found.p, atol=0.02)
    assert ((found.decoding >= 0) & (found.decoding <= 1)).all()
    assert (found.p >= 2 / 70 - 1e-12).all()  # what four and four wordings allow


def test_a_fold_tries_the_axis_on_wordings_and_items_that_did_not_find_it() -> None:
    """Each wording of the test role has a direction of its own: no axis holds for another."""
    values = np.zeros((6, 8, 4))
    for wording in range(4):
        values[:, wording, wording] = 1.0
    design = wording_design(np.array(ROLES) == "test", None)
    assert decoding(values, design) == pytest.approx(0.5)
    assert agreement(values, design) == pytest.approx(0.0)


def test_frames_are_left_out_whole() -> None:
    """Frames differ by far more than the role does."""
    draws = np.random.default_rng(0)
    values = draws.normal(0, 0.1, (8, 8, 3)) + np.repeat(draws.normal(0, 50, (4, 3)), 2, 0)
    values[:, ::2, 0] += 1.0
    roles, frames = ["test", "control"] * 4, list(np.repeat(list("abcd"), 2))
    design = wording_design(np.array(roles) == "test", frames)
    assert decoding(values, design) == 1.0
    assert agreement(values, design) > 0.9
    found = axis_test(values[:, :, None], roles, strata=frames)
    assert found.smallest_p == 2 / 2**4
    assert found.p[0] == pytest.approx(2 / 2**4, abs=0.01)


def test_what_cannot_be_folded_or_does_not_vary_is_missing() -> None:
    values = vectors(0)
    values[:, :, 1] = 4.0
    found = axis_test(values, ROLES)
    assert found.p[1] == 1.0
    assert np.isnan([found.f[1], found.cosine[1], found.decoding[1]]).all()
    one = axis_test(vectors(0)[:, :5], ["test"] + ["control"] * 4)
    assert np.isnan(one.decoding).all()
    assert np.isfinite(one.f).all()
    with pytest.raises(ValueError, match="one wording per role"):
        axis_test(vectors(0)[:, [0, 4]], ["test", "control"])


def test_every_labelling_of_null_wordings_is_called_at_most_at_its_level() -> None:
    """Items respond alike, so that the test is one over relabellings: exact."""
    values = vectors(5, units=2)[:1].repeat(3, axis=0)
    called = [
        axis_test(values, np.where(np.isin(np.arange(8), chosen), "test", "control")).called.any()
        for chosen in itertools.combinations(range(8), 4)
    ]
    assert 0 < np.mean(called) <= 0.06
