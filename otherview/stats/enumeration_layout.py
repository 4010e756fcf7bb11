"""What the enumeration of all sign patterns works on: sums of blocks, cuts, tallies."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from otherview.stats.kernels import Integer, compiled

SIGNS = 5
"""Signs inside a vector, and rows a tile: 32 x 32 patterns share the other signs."""

WIDTH = 1 << SIGNS
FREE = 2 * SIGNS + 1
"""Blocks that are not in the Gray code: two times five, and the one whose sign is fixed."""

NO_RUN = -1


class Layout(NamedTuple):
    """Units as the kernel wants them; blocks reordered, smallest first."""

    fine: Int[np.ndarray, "units blocks"]
    high: Int[np.ndarray, "blocks-10 units"]
    """Coarse blocks in the Gray code; the last is the one whose sign is fixed."""
    middle: Int[np.ndarray, "units 32"]
    low: Int[np.ndarray, "units 32"]
    """Coarse sums of five blocks under their 32 sign patterns."""
    reach_all: Int[np.ndarray, " units"]
    """How far the ten blocks of a tile can move a sum."""
    reach_low: Int[np.ndarray, " units"]
    """How far the five blocks of a vector can."""
    shift: int
    error: int
    """A coarse sum is at most this far from the fine one."""


class Cuts(NamedTuple):
    """Where largest sums are told apart, all fine."""

    values: Int[np.ndarray, " cuts"]
    """Ascending; the first is the floor."""
    place: Int[np.ndarray, " places"]
    """For coarse sums in equal steps from the floor: how many cuts are at or below, or
    `NO_RUN` where a cut is too near to say."""
    step: int
    """A place is 2^step coarse sums wide."""
    rank: Int[np.ndarray, " cuts+1"]
    """Of that many cuts, how many are `reach`es of strong units."""


class Tallies(NamedTuple):
    """Filled by the kernel."""

    counts: Int[np.ndarray, "thresholds units+1"]
    largest: Int[np.ndarray, " cuts+1"]
    """Patterns by how many cuts their largest sum reaches."""
    largest_weak: Int[np.ndarray, " cuts+1"]
    """The same for the largest over weak units only (those below the floor in the data)."""
    extra: Int[np.ndarray, " strong+1"]
    """Step-down hits that strong units add to those of the weak, as differences."""


@compiled
def fine_sum(
    fine: Int[np.ndarray, "units blocks"], unit: Integer, lane: Integer, row: Integer, gray: Integer
) -> Integer:
    """|Σ ±u| of a unit, exactly; set bits of lane, row and gray are flipped blocks."""
    flips = lane | (row << SIGNS) | (gray << (2 * SIGNS))
    total = np.int64(0)
    for block in range(fine.shape[1]):
        total += -fine[unit, block] if (flips >> block) & 1 else fine[unit, block]
    return abs(total)
