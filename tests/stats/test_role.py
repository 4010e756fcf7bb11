"""Is it the role, and not the words?"""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from otherview.stats import role_test


def roles(test: int, control: int) -> list[str]:
    return ["test"] * test + ["control"] * control


@pytest.mark.parametrize(("test", "control"), [(4, 4), (2, 5)])
def test_p_counts_every_relabelling(test: int, control: int) -> None:
    responses = np.random.default_rng(0).normal(size=(5, test + control, 3))
    means = responses.mean(axis=0)
    t = []
    for chosen in itertools.combinations(range(test + control), test):
        is_test = np.isin(np.arange(test + control), chosen)
        t.append(np.abs(stats.ttest_ind(means[is_test], means[~is_test]).statistic))
    result = role_test(responses, roles(test, control))
    assert result.n_relabellings == len(t)
    assert_allclose(np.abs(result.t), t[0])
    assert_allclose(result.p, np.mean(np.array(t) >= t[0] - 1e-9, axis=0))
    largest = np.max(t, axis=1)
    assert_allclose(result.p_maxt, [np.mean(largest >= seen - 1e-9) for seen in t[0]])


def test_min_f_is_the_quasi_f_of_both_samples() -> None:
    responses = np.random.default_rng(9).normal(size=(6, 8, 3))
    responses[:, :4, 0] += 2
    responses[..., 2] = 1.0  # no variance at all: no t, and so no F
    is_test = np.array(roles(4, 4)) == "test"
    difference = responses[:, is_test].mean(1) - responses[:, ~is_test].mean(1)
    over_items = stats.ttest_1samp(difference[:, :2], 0).statistic ** 2
    means = responses[..., :2].mean(0)
    over_wordings = stats.ttest_ind(means[is_test], means[~is_test]).statistic ** 2
    found = role_test(responses, roles(4, 4)).min_f
    assert_allclose(found[:2], over_items * over_wordings / (over_items + over_wordings))
    assert np.isnan(found[2])


def test_the_order_of_wordings_is_free() -> None:
    responses = np.random.default_rng(1).normal(size=(6, 8, 4))
    order = np.random.default_rng(2).permutation(8)
    one = role_test(responses, roles(4, 4))
    other = role_test(responses[:, order], np.array(roles(4, 4))[order])
    assert_allclose(one.t, other.t)
    assert_allclose(one.difference, other.difference)
    assert_array_equal(one.p_maxt, other.p_maxt)


@pytest.mark.parametrize(
    ("test", "control", "smallest"), [(1, 1, 1.0), (3, 3, 0.1), (4, 4, 2 / 70), (3, 5, 1 / 56)]
)
def test_the_smallest_p_is_said_and_reached(test: int, control: int, smallest: float) -> None:
    responses = np.random.default_rng(3).normal(size=(8, test + control, 2))
    responses[:, :test, 0] += 100
    result = role_test(responses, roles(test, control))
    assert result.smallest_p == pytest.approx(smallest)
    assert result.p[0] == pytest.approx(smallest)
    assert result.called[0] == (smallest <= 0.05)
    assert bool(result.note) == (smallest > 0.05)


def test_many_wordings_are_drawn() -> None:
    responses = np.random.default_rng(4).normal(size=(4, 24, 3))
    responses[:, :12, 0] += 3
    result = role_test(responses, roles(12, 12), flips=500)
    assert not result.exact
    assert result.n_relabellings == 500
    assert result.p[0] == pytest.approx(1 / 501)


def test_the_result_says_which_test_failed() -> None:
    generator = np.random.default_rng(5)
    responses = 0.1 * generator.normal(size=(12, 8, 4))
    responses[:, :4, 0] += 1  # the role
    responses[:, 0, 1] += 4  # one wording
    responses[0, :4, 2] += 9  # one item
    result = role_test(responses, roles(4, 4))
    assert result.failed[0] == ""
    assert result.failed[1] == "wordings"
    assert result.failed[2] == "items"
    assert result.failed[3] == "both"
    assert_array_equal(result.called, [True, False, False, False])


def test_wordings_with_effects_of_their_own_hold_alpha_and_items_alone_do_not() -> None:
    generator = np.random.default_rng(6)
    runs, units = 150, 20
    any_called = by_items = 0
    for run in range(runs):
        of_wording = generator.normal(size=(1, 10, units)) + generator.normal(size=(1, 10, 1))
        responses = of_wording + 0.3 * generator.normal(size=(20, 10, units))
        result = role_test(responses, roles(5, 5), alpha=0.1, flips=2000, seed=run)
        any_called += bool(result.called.any())
        by_items += int((result.items.p_maxt <= 0.1).sum())
    assert stats.binom.sf(any_called - 1, runs, 0.1) > 1e-4
    assert by_items > 0.8 * runs * units


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [
        ((3, 4), roles(2, 2), r"^responses has shape \(3, 4\); give \[items, wordings, units\]"),
        ((1, 4, 2), roles(2, 2), "^responses holds 1 item"),
        ((3, 4, 2), roles(2, 1), "^roles holds 3 roles for 4 wordings"),
        ((3, 4, 2), roles(4, 0), '^roles has no "control" wording'),
        ((3, 4, 2), ["test", "test", "mention", "control"], r'^roles\[2\] is "mention"'),
    ],
)
def test_bad_input_is_named(shape: tuple[int, ...], names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        role_test(np.ones(shape), names)


def test_a_response_that_is_not_finite_is_named() -> None:
    responses = np.ones((2, 2, 2))
    responses[1, 0, 1] = np.nan
    with pytest.raises(ValueError, match=r"^responses\[1, 0, 1\] is nan"):
        role_test(responses, roles(1, 1))
