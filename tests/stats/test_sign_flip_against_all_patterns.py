"""The sign-flip test against every sign pattern, counted in exact arithmetic."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from otherview.stats import sign_flip_test


@dataclass
class Counted:
    p: np.ndarray
    p_strict: np.ndarray
    p_maxt: np.ndarray
    p_stepdown: np.ndarray
    null: np.ndarray


def count_all_patterns(integers: np.ndarray, threshold: Fraction) -> Counted:
    """Everything by definition, on integer differences `[blocks, units]`.

    z² = S²/Σd² is rational, so |t| of different units compare exactly.
    """
    blocks, units = integers.shape
    patterns = 1 - 2 * ((np.arange(1 << (blocks - 1))[:, None] >> np.arange(blocks)) & 1)
    sums = (patterns @ integers).astype(object) ** 2
    squares = [int(total) for total in (integers.astype(object) ** 2).sum(axis=0)]
    z2 = np.array(
        [[Fraction(int(s), q) if q else Fraction(0) for s, q in zip(row, squares, strict=True)]
         for row in sums]
    )  # fmt: skip
    seen = z2[0]
    cutoff = threshold**2 * blocks / (blocks - 1 + threshold**2)
    descending = sorted(range(units), key=lambda unit: -seen[unit])
    stepped = np.empty(units)
    for rank, unit in enumerate(descending):
        largest = z2[:, descending[rank:]].max(axis=1)
        stepped[unit] = np.mean([value >= seen[unit] for value in largest])
    for before, unit in pairwise(descending):
        stepped[unit] = max(stepped[unit], stepped[before])
    return Counted(
        p=np.mean(z2 >= seen, axis=0),
        p_strict=np.mean(z2 > seen, axis=0),
        p_maxt=np.array([np.mean(z2.max(axis=1) >= value) for value in seen]),
        p_stepdown=stepped,
        null=np.bincount((z2 > cutoff).sum(axis=1), minlength=units + 1),
    )


@st.composite
def integer_differences(draw: st.DrawFn) -> np.ndarray:
    blocks = draw(st.integers(2, 9))
    units = draw(st.integers(1, 5))
    bound = draw(st.sampled_from([1, 3, 50]))
    return draw(arrays(np.int64, (blocks, units), elements=st.integers(-bound, bound)))


@given(integer_differences(), st.sampled_from([1.0, 0.1, 1 / 3, 1e-30, 1e30]))
@settings(max_examples=150, deadline=None)
def test_every_number_is_that_of_all_patterns(integers: np.ndarray, scale: float) -> None:
    expected = count_all_patterns(integers, Fraction(2))
    result = sign_flip_test(integers * scale, thresholds=(2.0,), flips="exact")
    assert result.exact
    assert_allclose(result.p, expected.p, rtol=1e-12)
    assert_allclose(result.p_strict, expected.p_strict, rtol=1e-12)
    assert_allclose(result.p_maxt, expected.p_maxt, rtol=1e-12)
    assert_allclose(result.p_stepdown, expected.p_stepdown, rtol=1e-12)
    assert_array_equal(result.counts[2.0].null, expected.null)


def test_fourteen_blocks_with_ties() -> None:
    integers = np.random.default_rng(1).integers(-3, 5, (14, 12))
    expected = count_all_patterns(integers, Fraction(3))
    result = sign_flip_test(integers * 0.1, thresholds=(3.0,))
    assert_allclose(result.p, expected.p, rtol=1e-12)
    assert_allclose(result.p_stepdown, expected.p_stepdown, rtol=1e-12)
    assert_array_equal(result.counts[3.0].null, expected.null)


def test_decimals_that_tie_on_paper_tie_here() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in floating point.
    result = sign_flip_test(np.array([[0.1], [0.2], [-0.3]]))
    assert result.p[0] == 1.0
    assert result.p_strict[0] == pytest.approx(0.75)


def test_a_t_on_the_threshold_does_not_pass() -> None:
    # Block means 1, 2, 3, 4, 5 have mean 3 and standard error sqrt(1/2): t = 3 sqrt(2).
    differences = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    threshold = 3 * np.sqrt(2)
    assert sign_flip_test(differences, thresholds=(threshold,)).counts[threshold].observed == 0
    below = threshold * (1 - 1e-9)
    assert sign_flip_test(differences, thresholds=(below,)).counts[below].observed == 1
