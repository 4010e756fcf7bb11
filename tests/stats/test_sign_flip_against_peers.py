"""The sign-flip test against SciPy, statsmodels and MNE."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.stats.multitest import multipletests

from otherview.stats import sign_flip_test
from otherview.stats.chunks import Running
from otherview.stats.saddlepoint import contour_tail, saddlepoint
from otherview.stats.sign_flip_p import sign_flip_p


@pytest.fixture(scope="module")
def differences() -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.standard_t(4, size=(12, 25)) + generator.normal(0, 0.7, 25)


def test_p_is_that_of_scipy(differences: np.ndarray) -> None:
    result = sign_flip_test(differences)
    for unit in range(3):
        peer = stats.permutation_test(
            (differences[:, unit],),
            np.mean,
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
            axis=0,
        )
        assert result.p[unit] == pytest.approx(peer.pvalue)


def test_t_is_that_of_scipy(differences: np.ndarray) -> None:
    assert_allclose(sign_flip_test(differences).t, stats.ttest_1samp(differences, 0).statistic)


def test_with_blocks_t_is_that_of_the_block_means(differences: np.ndarray) -> None:
    blocks = np.array(list("dabacbdaaccc"))
    means = np.stack([differences[blocks == label].mean(axis=0) for label in "abcd"])
    result = sign_flip_test(differences, blocks=blocks)
    assert result.n_blocks == 4
    assert_allclose(result.t, stats.ttest_1samp(means, 0).statistic)
    assert_allclose(result.p, sign_flip_test(means).p)


@pytest.mark.parametrize(
    ("name", "method"), [("p_holm", "holm"), ("q_bh", "fdr_bh"), ("q_by", "fdr_by")]
)
def test_corrections_are_those_of_statsmodels(
    differences: np.ndarray, name: str, method: str
) -> None:
    result = sign_flip_test(differences)
    assert_allclose(getattr(result, name), multipletests(result.p, method=method)[1])


def test_family_wise_p_is_that_of_mne_on_all_flips(differences: np.ndarray) -> None:
    mne_stats = pytest.importorskip("mne.stats", reason="MNE is in the `peers` extra only")
    _, p, _ = mne_stats.permutation_t_test(differences, n_permutations="all", verbose=False)
    # MNE's p leaves out one of the 2^11 patterns: the data's own, which it adds again.
    assert_allclose(sign_flip_test(differences).p_maxt, p, atol=1.5 / 2**11)


@pytest.mark.parametrize("t", [-31.0, -2.0, 0.0, 0.5, 3.0, 12.0])
def test_the_interval_of_g_holds_the_noncentralities_that_put_t_at_its_tails(t: float) -> None:
    blocks = 20
    z = t * np.sqrt(blocks / (blocks - 1 + t * t))
    base = np.array([1.0, -1.0] * (blocks // 2))
    values = z / np.sqrt(blocks) + np.sqrt(1 - z * z / blocks) * base
    result = sign_flip_test(values[:, None], flips=10)
    assert result.t[0] == pytest.approx(t, abs=1e-9)
    low, high = result.g_interval[0] * np.sqrt(blocks)
    if t:
        assert stats.nct.sf(t, blocks - 1, low) == pytest.approx(0.025, abs=2e-4)
        assert stats.nct.cdf(t, blocks - 1, high) == pytest.approx(0.025, abs=2e-4)
    else:
        assert low == pytest.approx(-high, abs=1e-3)


def test_the_interval_of_g_has_no_seam_and_no_end() -> None:
    noise = np.random.default_rng(5).normal(size=(12, 1))
    noise -= noise.mean()
    t = np.array([200.0, 249.9, 250.1, 300.0, 1e6, -1e9])
    values = t * noise.std(ddof=1) / np.sqrt(12) + noise
    result = sign_flip_test(values, flips=10)
    assert_allclose(result.t, t, rtol=1e-6)
    # Far from zero the interval is proportional to t.
    relative = result.g_interval / np.abs(t[:, None])
    assert_allclose(relative[:5], np.broadcast_to(relative[4], (5, 2)), rtol=5e-3)
    assert_allclose(relative[1], relative[2], rtol=2e-4)
    assert_allclose(-relative[5, ::-1], relative[4], rtol=1e-4)


@pytest.mark.parametrize("law", ["normal", "exponential", "cauchy"])
def test_the_contour_integral_is_exact_to_five_digits(law: str) -> None:
    generator = np.random.default_rng(0)
    draw = {
        "normal": generator.normal(size=(36, 12)) + 0.2,
        "exponential": generator.exponential(size=(36, 12)) - 0.6,
        "cauchy": generator.standard_cauchy(size=(36, 12)) + 0.3,
    }[law]
    exact = sign_flip_p(draw, Running()).p
    for unit in np.flatnonzero(exact > 1e-3):
        weights, total = np.abs(draw[:, unit]), abs(draw[:, unit].sum())
        tail = contour_tail(weights, total, saddlepoint(weights, total))
        assert 2 * tail + 2.0**-36 == pytest.approx(exact[unit], rel=2e-5)


def test_above_forty_blocks_tied_and_strong_units_are_still_exact() -> None:
    signs = np.ones((60, 1))
    signs[:21] = -1
    weak = sign_flip_test(signs * 0.1, flips=10)
    assert weak.p_method[0] == "convolution"
    assert weak.p[0] == pytest.approx(2 * stats.binom.cdf(21, 60, 0.5))
    strong = sign_flip_test(np.linspace(1, 2, 60)[:, None], flips=10)
    assert strong.p_method[0] == "meet in the middle"
    assert strong.p[0] == 2.0**-59


def test_above_forty_blocks_p_is_near_that_of_many_flips() -> None:
    values = np.random.default_rng(2).exponential(size=(50, 4)) - 0.8
    result = sign_flip_test(values, flips=10)
    assert set(result.p_method) == {"saddlepoint"}
    signs = np.random.default_rng(3).choice([-1.0, 1.0], (200_000, 50))
    share = np.mean(np.abs(signs @ values) >= np.abs(values.sum(axis=0)), axis=0)
    assert np.all(np.abs(share - result.p) < 5 * np.sqrt(result.p / 200_000))


def law_by_counting(values: list[int], repeats: list[int]) -> dict[int, int]:
    """In how many flips the sum takes each value, `repeats[i]` blocks of size `values[i]`."""
    law = {0: 1}
    for value, repeat in zip(values, repeats, strict=True):
        law_of_value = {(repeat - 2 * k) * value: math.comb(repeat, k) for k in range(repeat + 1)}
        new: dict[int, int] = {}
        for (one, n), (other, m) in itertools.product(law.items(), law_of_value.items()):
            new[one + other] = new.get(one + other, 0) + n * m
        law = new
    return law


@pytest.mark.parametrize(
    ("values", "repeats", "negative", "unit"),
    [
        ([13, 14], [20, 21], [7, 7], 0.1),
        ([13, 14], [20, 21], [6, 8], 0.1),
        ([13, 14], [20, 21], [6, 8], np.float32(0.1)),
        ([1, 70, 10_000], [20, 20, 5], [9, 7, 2], 0.37),
        ([1, 2, 3, 5, 7, 11, 1_000_003], [7] * 7, [3] * 7, 1.0),
    ],
)
def test_above_forty_blocks_p_of_sums_that_coincide_is_exact(
    values: list[int], repeats: list[int], negative: list[int], unit: float
) -> None:
    signed = [np.repeat([value, -value], [n - k, k])
              for value, n, k in zip(values, repeats, negative, strict=True)]  # fmt: skip
    differences = np.concatenate(signed)
    law = law_by_counting(values, repeats)
    seen = abs(int(differences.sum()))
    flips = 2 ** len(differences)
    reached = sum(n for total, n in law.items() if abs(total) >= seen)
    passed = sum(n for total, n in law.items() if abs(total) > seen)
    result = sign_flip_test((differences * unit)[:, None], flips=10)
    assert result.p_method[0] == "convolution"
    assert result.p[0] == pytest.approx(reached / flips, rel=1e-9)
    assert result.p_strict[0] == pytest.approx(passed / flips, rel=1e-9)


def test_above_forty_blocks_values_without_a_common_step_may_repeat() -> None:
    # 20 blocks of 1 and 21 of √2: no step divides both, and the sum seen is taken 2^-5 of the time.
    signs = np.concatenate([np.repeat([1, -1], [13, 7]), np.repeat([1, -1], [14, 7])])
    sizes = np.repeat([1.0, np.sqrt(2)], [20, 21])
    chosen = [(20 - 2 * a) + (21 - 2 * b) * np.sqrt(2) for a in range(21) for b in range(22)]
    ways = [math.comb(20, a) * math.comb(21, b) for a in range(21) for b in range(22)]
    seen = abs(signs @ sizes)
    reached = sum(n for total, n in zip(chosen, ways, strict=True) if abs(total) > seen - 1e-9)
    assert sign_flip_test((signs * sizes)[:, None], flips=10).p[0] == pytest.approx(reached / 2**41)


@pytest.mark.parametrize("blocks", [3, 10])
def test_the_interval_of_the_effect_size_covers_it(blocks: int) -> None:
    generator = np.random.default_rng(blocks)
    for effect in (0.0, 1.0):
        differences = generator.normal(effect, 1.0, (blocks, 4000))
        found = sign_flip_test(differences, flips=1).g_interval
        covered = int(((found[:, 0] <= effect) & (effect <= found[:, 1])).sum())
        assert stats.binomtest(covered, 4000, 0.95).pvalue > 1e-4
