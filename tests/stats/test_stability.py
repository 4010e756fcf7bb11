"""Split halves, discovery and confirmation."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from otherview.stats import discover_confirm, sign_flip_test, split_half
from otherview.stats.chunks import Running
from otherview.stats.corrections import benjamini_hochberg, discoveries
from otherview.stats.p_bounds import deciding_p, p_bounds
from otherview.stats.sign_flip_p import sign_flip_p


@pytest.fixture(scope="module")
def some_effects() -> np.ndarray:
    differences = np.random.default_rng(0).normal(size=(24, 60))
    differences[:, :15] += 1.5
    return differences


def test_a_map_with_effects_repeats_and_noise_does_not(some_effects: np.ndarray) -> None:
    stable = split_half(some_effects, splits=20)
    assert stable.mean_correlation > 0.7
    assert stable.replication is not None
    assert stable.replication > 0.8
    noise = split_half(some_effects[:, 15:], splits=20)
    assert abs(noise.mean_correlation) < 0.2


def test_halves_never_share_a_block() -> None:
    # Within a block all pairs agree; blocks disagree at random. Sharing one would correlate.
    of_block = np.random.default_rng(1).normal(size=(12, 300))
    result = split_half(
        np.repeat(of_block, 5, axis=0), splits=30, blocks=np.repeat(np.arange(12), 5)
    )
    assert result.n_blocks == 12
    assert abs(result.mean_correlation) < 0.15


def test_a_split_can_be_repeated(some_effects: np.ndarray) -> None:
    one, same = (split_half(some_effects, splits=3, seed=7, threads=n) for n in (1, 2))
    assert_array_equal(one.correlation, same.correlation)
    assert_array_equal(one.replicated, same.replicated)


@pytest.mark.parametrize("blocks", [9, 22, 43])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_bounds_of_p_decide_as_p_does(blocks: int, scale: float) -> None:
    generator = np.random.default_rng(blocks)
    values = generator.standard_t(3, size=(blocks, 300)) + generator.normal(0, 0.5, 300)
    values[:, 250:] = np.abs(values[:, 250:])  # one sign
    values[:, 280:] = np.round(scale * values[:, 280:])  # ties, and with 0 zeros alone
    p = sign_flip_p(values, Running(1)).p
    lower, upper = p_bounds(values, Running(1))
    assert np.all(lower <= p * (1 + 1e-4))
    assert np.all(upper >= p * (1 - 1e-4))
    for alpha in (0.01, 0.05, 0.2):
        deciding = deciding_p(values, alpha, Running(1))
        assert_array_equal(deciding <= alpha, p <= alpha)
        assert discoveries(deciding, alpha) == (benjamini_hochberg(p) <= alpha).sum()


def test_nothing_significant_has_no_replication_rate() -> None:
    assert split_half(np.random.default_rng(2).normal(size=(4, 9)), splits=2).replication is None


def test_confirmation_uses_the_other_blocks_and_the_selected_units(
    some_effects: np.ndarray,
) -> None:
    labels = np.array([f"creature {number:02}" for number in range(24)])
    result = discover_confirm(some_effects, labels)
    assert not set(result.discovery_blocks) & set(result.confirmation_blocks)
    assert set(result.discovery_blocks) | set(result.confirmation_blocks) == set(labels)
    assert result.confirmed[:15].sum() >= 12
    assert result.confirmed[15:].sum() <= 1
    here = np.isin(labels, result.confirmation_blocks)
    alone = sign_flip_test(some_effects[here][:, result.selected])
    assert_array_equal(alone.p_stepdown, result.p_confirmation[result.selected])
    assert np.isnan(result.p_confirmation[~result.selected]).all()


def test_units_that_change_sign_are_not_confirmed() -> None:
    differences = np.random.default_rng(3).normal(size=(20, 4)) * 0.1
    first = discover_confirm(differences + 1, seed=5)
    differences += 1
    differences[first.confirmation_blocks] -= 2
    result = discover_confirm(differences, seed=5)
    assert result.selected.all()
    assert (result.p_confirmation <= 0.05).all()
    assert not result.confirmed.any()


def test_nothing_selected_is_nothing_tested() -> None:
    result = discover_confirm(np.random.default_rng(4).normal(size=(8, 5)))
    assert result.confirmation is None
    assert not result.confirmed.any()


def test_confirmation_holds_alpha() -> None:
    generator = np.random.default_rng(5)
    confirmed = 0
    for run in range(150):
        differences = generator.normal(size=(20, 8)) + 0.7 * generator.normal(size=(20, 1))
        confirmed += bool(discover_confirm(differences, alpha=0.2, seed=run).confirmed.any())
    assert confirmed < 0.2 * 150


def test_too_few_blocks_to_halve() -> None:
    with pytest.raises(ValueError, match="holds 3 blocks; two halves need four"):
        split_half(np.ones((3, 2)))
    with pytest.raises(ValueError, match="holds 2 blocks; two halves need four"):
        discover_confirm(np.ones((4, 2)), [0, 0, 1, 1])


def test_flips_are_checked_though_nothing_is_selected() -> None:
    with pytest.raises(ValueError, match=r'^flips is "all"'):
        discover_confirm(np.zeros((8, 2)), flips="all")  # type: ignore[arg-type]
