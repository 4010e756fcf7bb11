"""Type-I error by simulation: alpha is held where the docs say so, and not where they do not."""

import numpy as np
from scipy import stats

from otherview.stats import sign_flip_test

RUNS = 400


def no_more_than(alpha: float, found: int, runs: int) -> bool:
    """Whether `found` errors in `runs` are compatible with a rate of at most alpha (p > 1e-4)."""
    return float(stats.binom.sf(found - 1, runs, alpha)) > 1e-4


def correlated(generator: np.random.Generator, blocks: int, units: int) -> np.ndarray:
    """No effect; heavy tails; units that share much of their noise."""
    shared = generator.standard_t(3, size=(blocks, 1))
    return 0.8 * shared + generator.standard_t(3, size=(blocks, units))


def test_family_wise_error_and_the_bound_on_counts_hold_alpha() -> None:
    generator = np.random.default_rng(0)
    single = stepped = more_true_than_none = 0
    for _ in range(RUNS):
        result = sign_flip_test(correlated(generator, 10, 30), thresholds=(2.0,), alpha=0.1)
        single += bool((result.p_maxt <= 0.1).any())
        stepped += bool((result.p_stepdown <= 0.1).any())
        more_true_than_none += result.counts[2.0].true_discoveries > 0
    assert no_more_than(0.1, single, RUNS)
    assert no_more_than(0.1, stepped, RUNS)
    assert no_more_than(0.1, more_true_than_none, RUNS)
    assert single > 0.04 * RUNS  # and the test is not merely asleep


def test_drawn_flips_hold_alpha_however_few() -> None:
    generator = np.random.default_rng(1)
    family_wise = bound = 0
    for run in range(RUNS):
        differences = correlated(generator, 20, 30)
        result = sign_flip_test(differences, thresholds=(2.0,), flips=39, seed=run)
        family_wise += bool((result.p_maxt <= 0.05).any())
        bound += result.counts[2.0].true_discoveries > 0
    assert no_more_than(0.05, family_wise, RUNS)
    assert no_more_than(0.05, bound, RUNS)


def test_the_bound_on_true_discoveries_is_a_bound() -> None:
    generator = np.random.default_rng(2)
    broken = 0
    for _ in range(RUNS):
        differences = correlated(generator, 10, 30)
        differences[:, :10] += 2.0
        result = sign_flip_test(differences, thresholds=(2.0,), alpha=0.1)
        false = int((np.abs(result.t[10:]) > 2).sum())
        broken += false > result.counts[2.0].false_positives
    assert no_more_than(0.1, broken, RUNS)


def test_nested_replicates_need_block_flips() -> None:
    generator = np.random.default_rng(3)
    blocks = np.repeat(np.arange(8), 3)
    by_block = by_pair = 0
    for _ in range(RUNS):
        of_block = np.repeat(generator.normal(size=(8, 1)), 3, axis=0)
        differences = of_block + 0.5 * generator.normal(size=(24, 1))
        by_block += bool(sign_flip_test(differences, blocks=blocks, flips=1).p[0] <= 0.05)
        by_pair += bool(sign_flip_test(differences, flips=1).p[0] <= 0.05)
    assert no_more_than(0.05, by_block, RUNS)
    assert by_pair > 0.15 * RUNS


def test_p_is_uniform_where_differences_are_symmetric() -> None:
    p = sign_flip_test(np.random.default_rng(4).laplace(size=(20, 4000)), flips=1).p
    assert stats.kstest(p, "uniform").pvalue > 1e-4
