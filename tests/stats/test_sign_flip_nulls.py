"""All patterns, pruned or not, and drawn ones: the same nulls."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from otherview.stats import flip_plan, sign_flip_test
from otherview.stats.chunks import Running
from otherview.stats.enumeration import enumerate_tail
from otherview.stats.fixed_point import FixedPoint, fixed_point
from otherview.stats.flip_null import edges_fine
from otherview.stats.flip_sampling import all_flips, drawn_flips
from otherview.stats.paired import block_means


def related_units(blocks: int, units: int, *, tied: bool, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(blocks, 1))
    differences = generator.normal(size=(blocks, units)) + 0.7 * shared
    differences += generator.normal(0, 0.5, units)
    return np.round(2 * differences) if tied else differences


def ascending(differences: np.ndarray, *thresholds: float) -> FixedPoint:
    units = fixed_point(block_means(differences, None).values, thresholds)
    return units.take(np.argsort(units.observed, kind="stable"))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bin_of_floor", [1, 4000, 5500])
def test_pruned_enumeration_gives_what_every_pattern_gives(tied: bool, bin_of_floor: int) -> None:
    units = ascending(related_units(14, 70, tied=tied), 2.0, 3.0, 5.0)
    floor = int(edges_fine(units)[bin_of_floor])
    every = all_flips(units, Running())
    pruned = enumerate_tail(units, floor, Running())
    assert_array_equal(pruned.counts, every.counts)
    assert_array_equal(pruned.reached, every.reached[pruned.first_strong :])
    assert_array_equal(pruned.stepped, every.stepped[pruned.first_strong :])
    assert_array_equal(pruned.largest[bin_of_floor:], every.largest[bin_of_floor:])
    assert pruned.largest.sum() == every.patterns


def test_sums_too_near_to_a_threshold_are_settled_exactly() -> None:
    # Many units whose t is within 1e-9 of the threshold, on both sides of it.
    generator = np.random.default_rng(0)
    base = generator.normal(size=(13, 1)) + 0.5
    nudge = np.zeros((13, 40))
    nudge[0] = np.linspace(-1e-9, 1e-9, 40)
    units = ascending(base + nudge)
    values = units.observed / 2.0**units.bits
    middle = float(np.median(values))
    threshold = middle * np.sqrt(12 / (13 - middle**2))
    units = ascending(base + nudge, threshold)
    every = all_flips(units, Running())
    pruned = enumerate_tail(units, int(edges_fine(units)[3000]), Running())
    patterns = 1 - 2 * ((np.arange(1 << 12)[:, None] >> np.arange(13)) & 1)
    counts = (np.abs(patterns @ units.fine.T) > units.passing[0]).sum(axis=1)
    assert 0 < counts[0] < 40
    assert_array_equal(every.counts[0], np.bincount(counts, minlength=41))
    assert_array_equal(pruned.counts[0], every.counts[0])


def test_neither_threads_nor_order_of_units_matter() -> None:
    differences = related_units(19, 90, tied=False)
    order = np.random.default_rng(3).permutation(90)
    for flips in ("exact", 3000):
        one = sign_flip_test(differences, flips=flips, threads=1, seed=4)
        other = sign_flip_test(differences[:, order], flips=flips, threads=3, seed=4)
        for name in ("t", "p", "p_maxt", "p_stepdown", "p_holm", "q_bh", "q_by", "g_interval"):
            assert_array_equal(getattr(one, name)[order], getattr(other, name), err_msg=name)
        assert one.critical_t == other.critical_t
        assert_array_equal(one.max_null.counts, other.max_null.counts)
        assert_array_equal(one.counts[3.0].null, other.counts[3.0].null)


def test_a_unit_alone_has_the_t_and_p_that_it_has_among_others() -> None:
    differences = related_units(17, 33, tied=False)
    together = sign_flip_test(differences, flips=100)
    alone = sign_flip_test(differences[:, 7:8], flips=100)
    for name in ("mean", "t", "dz", "g", "p", "p_strict"):
        assert getattr(alone, name)[0] == getattr(together, name)[7], name


def test_drawing_in_pieces_gives_what_drawing_at_once_gives() -> None:
    units = ascending(related_units(20, 40, tied=False), 3.0)
    whole = drawn_flips(units, 0, 9000, 5, Running())
    pieces = drawn_flips(units, 0, 2500, 5, Running(1))
    pieces += drawn_flips(units, 2500, 9000, 5, Running(2))
    assert_array_equal(whole.counts, pieces.counts)
    assert_array_equal(whole.largest, pieces.largest)
    assert_array_equal(whole.stepped, pieces.stepped)


def test_drawn_flips_agree_with_all_of_them_within_their_error() -> None:
    differences = related_units(14, 60, tied=False)
    drawn = 200_000
    exact = sign_flip_test(differences, thresholds=(2.0,), flips="exact")
    units = ascending(differences, 2.0)
    null = drawn_flips(units, 0, drawn, 1, Running())
    count = exact.counts[2.0]
    k = np.arange(61)
    mean = float(k @ null.counts[0]) / drawn
    assert abs(mean - count.null_mean) < 5 * count.null_sd / np.sqrt(drawn)
    share = null.reached / drawn
    expected = np.sort(exact.p_maxt)[::-1]
    error = np.sqrt(expected * (1 - expected) / drawn)
    assert np.all(np.abs(share - expected) <= 5 * error + 1e-12)


def test_auto_takes_all_patterns_of_few_blocks_and_says_so() -> None:
    result = sign_flip_test(related_units(12, 30, tied=False))
    assert result.exact
    assert result.n_flips == 2**11
    assert result.methods["null"] == "all 2,048 sign patterns"


def test_auto_draws_until_the_error_is_one_per_cent_and_says_so() -> None:
    result = sign_flip_test(related_units(45, 200, tied=False), thresholds=(2.0,))
    assert not result.exact
    assert result.n_flips >= 10_000
    count = result.counts[2.0]
    low, high = count.null_p99_interval
    assert low <= count.null_p99 <= high
    assert high - low <= 4 * max(0.25, 0.0125 * count.null_p99) + 1
    assert "standard errors" in result.methods["null"]


def test_as_many_flips_as_patterns_means_all_patterns() -> None:
    result = sign_flip_test(related_units(9, 10, tied=False), flips=256)
    assert result.exact
    assert result.n_flips == 256


def test_the_critical_t_is_where_the_family_wise_p_crosses_alpha() -> None:
    result = sign_flip_test(related_units(16, 200, tied=False), alpha=0.2)
    beyond = np.abs(result.t) >= result.critical_t
    assert beyond.any()
    assert np.all(result.p_maxt[beyond] <= 0.2)
    assert np.all(result.p_maxt[np.abs(result.t) < result.critical_t * 0.999] > 0.2)


def test_no_t_is_critical_where_too_few_blocks_make_none_that_rare() -> None:
    assert sign_flip_test(np.ones((3, 1)) + np.eye(3)[:, :1]).critical_t == np.inf


def lumpy(generator: np.random.Generator, *, whole: bool) -> np.ndarray:
    """Differences of few values, so that the largest |t| takes few values, too."""
    if whole:
        return np.asarray(generator.choice([-1.0, 1.0], (20, 300)))
    zeros = generator.random((20, 300)) < 0.5
    return np.where(zeros, 0.0, generator.integers(-1, 2, (20, 300)))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_a_critical_t_of_lumpy_data_is_that_of_all_patterns(
    monkeypatch: pytest.MonkeyPatch, whole: bool, alpha: float
) -> None:
    differences = lumpy(np.random.default_rng(0), whole=whole)
    every = sign_flip_test(differences, flips="exact", alpha=alpha)
    monkeypatch.setattr(flip_plan, "TABLE_SECONDS", 0.0)
    monkeypatch.setattr(flip_plan, "table_seconds", lambda *_: np.inf)
    pruned = sign_flip_test(differences, flips="exact", alpha=alpha)
    assert "pruned" in pruned.methods["null"]
    assert pruned.critical_t >= pruned.max_null.floor > 0
    # No |t| lies between the two, so that both tell the same units apart.
    low, high = sorted([every.critical_t, pruned.critical_t])
    edges = every.max_null.edges
    between = (edges[:-1] >= low) & (edges[:-1] < high)
    assert every.max_null.counts[between].sum() == 0


def test_step_down_calls_over_all_patterns_do_not_depend_on_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(9)
    differences = generator.normal(size=(18, 300))
    differences[:, :290] += 2.5
    differences[:, 290:] += 0.7
    every = sign_flip_test(differences, flips="exact")
    monkeypatch.setattr(flip_plan, "TABLE_SECONDS", 0.0)
    monkeypatch.setattr(flip_plan, "table_seconds", lambda *_: np.inf)
    assert every.p_stepdown_exact.all()
    for seed in range(3):
        pruned = sign_flip_test(differences, flips="exact", seed=seed)
        assert pruned.exact
        exact = pruned.p_stepdown_exact
        assert not exact.all()
        assert_array_equal(pruned.p_stepdown[exact], every.p_stepdown[exact])
        assert (pruned.p_stepdown[~exact] > 0.05).all()
        assert (every.p_stepdown[~exact] > 0.05).all()
        assert (pruned.p_maxt[~pruned.p_maxt_exact] > 0.05).all()
        said = float(pruned.methods["null"].split("step-down")[1].split("above ")[1].split(",")[0])
        assert 0.05 <= said <= every.p_stepdown[~exact].min()
