"""What may be given to the sign-flip test, what may not, and what comes back at the edges."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from otherview.stats import sign_flip_test


@pytest.fixture
def differences() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 6)) + 0.5


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_changes_the_mean_alone(differences: np.ndarray, scale: float) -> None:
    one, other = sign_flip_test(differences), sign_flip_test(differences * scale)
    assert_allclose(other.mean, one.mean * scale)
    for name in ("t", "p", "p_maxt", "p_stepdown", "g", "g_interval"):
        assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-9)


def test_memory_layout_changes_nothing(differences: np.ndarray) -> None:
    expected = sign_flip_test(differences)
    wide = np.zeros((20, 12))
    wide[::2, ::-2] = differences
    for same in (np.asfortranarray(differences), wide[::2, ::-2]):
        assert_array_equal(sign_flip_test(same).t, expected.t)
        assert_array_equal(sign_flip_test(same).p_stepdown, expected.p_stepdown)


def test_float32_and_integers_are_taken_as_they_are(differences: np.ndarray) -> None:
    single = differences.astype(np.float32)
    assert_array_equal(sign_flip_test(single).t, sign_flip_test(single.astype(np.float64)).t)
    whole = np.round(3 * differences).astype(np.int8)
    assert_array_equal(sign_flip_test(whole).p, sign_flip_test(whole.astype(np.float64)).p)


def test_blocks_may_come_in_any_order_and_size(differences: np.ndarray) -> None:
    blocks = np.array(["fly", "ant", "fly", "cat", "ant", "dog", "cat", "ant", "ant", "emu"])
    order = np.random.default_rng(1).permutation(10)
    one = sign_flip_test(differences, blocks=blocks)
    other = sign_flip_test(differences[order], blocks=blocks[order])
    assert one.n_blocks == 5
    assert one.n_pairs == 10
    assert one.smallest_p == 1 / 16
    assert_allclose(one.t, other.t)
    assert_array_equal(one.p, other.p)
    assert_array_equal(one.p_maxt, other.p_maxt)


def test_replicates_within_a_block_add_no_evidence(differences: np.ndarray) -> None:
    replicated = np.repeat(differences, 8, axis=0)
    blocks = np.repeat(np.arange(10), 8)
    assert_allclose(sign_flip_test(replicated, blocks=blocks).t, sign_flip_test(differences).t)
    assert_array_equal(sign_flip_test(replicated, blocks=blocks).p, sign_flip_test(differences).p)


def test_pairs_that_cancel_on_paper_are_no_difference() -> None:
    result = sign_flip_test(np.tile([[0.1], [0.2], [-0.3]], (8, 1)), blocks=np.repeat(range(8), 3))
    assert np.isnan(result.t[0])
    assert result.p[0] == 1.0


def test_two_blocks_and_one_unit() -> None:
    result = sign_flip_test(np.array([[1.0], [2.0]]))
    assert result.t[0] == pytest.approx(3.0)
    assert result.p[0] == 0.5
    assert np.isnan(result.g[0])
    assert result.critical_t == np.inf


def test_units_without_variance() -> None:
    differences = np.column_stack([np.zeros(8), np.full(8, 0.1), np.full(8, -3.0), np.arange(8.0)])
    result = sign_flip_test(differences)
    assert_array_equal(result.degenerate, [True, True, True, False])
    assert np.isnan(result.t[0])
    assert_array_equal(result.t[1:3], [np.inf, -np.inf])
    assert_allclose(result.p[:3], [1.0, 2 / 2**8, 2 / 2**8])
    assert_array_equal(result.p_strict[:3], [0.0, 0.0, 0.0])
    assert result.p_maxt[1] == 2 / 2**8
    assert result.p_maxt[0] == 1.0
    assert np.isnan(result.g[:3]).all()
    assert result.counts[5.0].observed == 2
    assert result.counts[5.0].infinite == 2


@pytest.mark.parametrize("flips", ["exact", 100])
def test_an_infinite_t_passes_every_threshold(flips: Any) -> None:
    differences = np.column_stack([np.full(9, 0.1), np.arange(9) - 3.5])
    count = sign_flip_test(differences, thresholds=(1e12,), flips=flips).counts[1e12]
    assert (count.observed, count.infinite) == (1, 1)
    if flips == "exact":
        assert_array_equal(count.null, [2**8 - 1, 1, 0])


def test_units_of_zeros_alone() -> None:
    result = sign_flip_test(np.zeros((5, 3)))
    assert_array_equal(result.p, 1.0)
    assert_array_equal(result.p_maxt, 1.0)
    assert result.counts[3.0].null[0] == 16


def test_no_thresholds() -> None:
    assert sign_flip_test(np.eye(4), thresholds=()).counts == {}


def test_the_same_seed_gives_the_same_draws(differences: np.ndarray) -> None:
    one, same, other = (sign_flip_test(differences, flips=100, seed=seed) for seed in (1, 1, 2))
    assert_array_equal(one.max_null.counts, same.max_null.counts)
    assert not np.array_equal(one.max_null.counts, other.max_null.counts)


def put(value: float) -> np.ndarray:
    differences = np.ones((4, 5))
    differences[3, 2] = differences[3, 4] = value
    return differences


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"differences": put(np.nan)}, r"^differences\[3, 2\] is nan; remove the pair or the"),
        ({"differences": put(np.inf)}, r"^differences\[3, 2\] is inf"),
        ({"differences": np.ones(4)}, r"^differences has shape \(4,\); give \[pairs, units\]"),
        ({"differences": np.ones((4, 0))}, r"shape \(4, 0\)"),
        ({"differences": np.ones((4, 1)) * 1j}, "dtype complex128"),
        ({"differences": np.ones((1, 3))}, "^differences holds 1 block; .* two or more"),
        ({"differences": np.ones((0, 3))}, "^differences holds 0 blocks"),
        ({"blocks": np.zeros(4)}, "^differences holds 1 block;"),
        ({"blocks": np.zeros(3)}, r"^blocks has shape \(3,\); .* 4 pairs"),
        ({"blocks": [0.0, 1.0, np.nan, 2.0]}, r"^blocks\[2\] is nan"),
        ({"thresholds": (3.0, -1.0)}, r"^thresholds\[1\] is -1.0"),
        ({"thresholds": (3.0, 3.0)}, r"^thresholds\[1\] repeats 3.0"),
        ({"flips": "all"}, '^flips is "all"; give "auto", "exact"'),
        ({"flips": 0}, "^flips is 0"),
        ({"alpha": 5}, "^alpha is 5"),
        ({"seed": -1}, "^seed is -1"),
        ({"differences": np.ones((37, 1)), "flips": "exact"}, "^flips is .exact. with 37 blocks"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        sign_flip_test(**{"differences": np.ones((4, 5)), **arguments})
    assert "\n" not in str(raised.value)


def test_progress_is_told_and_may_interrupt() -> None:
    differences = np.random.default_rng(0).normal(size=(45, 100))
    told: list[tuple[int, int]] = []
    sign_flip_test(differences, flips=20_000, progress=lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1]

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt(done, of)

    for threads in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            sign_flip_test(differences, flips=20_000, threads=threads, progress=interrupt)


def test_importing_the_package_loads_no_compiler() -> None:
    code = "import sys, otherview.stats; print({'numba', 'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
