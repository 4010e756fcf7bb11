"""What the enumeration of all sign patterns works on: sums of blocks, cuts, tallies."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt32

from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import edges_fine
from otherview.stats.kernels import Integer, compiled

ROW_SIGNS = 5
LANE_SIGNS = 6
ROWS = 1 << ROW_SIGNS
LANES = 1 << LANE_SIGNS
"""A tile is the 32 x 64 patterns that share all signs but eleven: lanes are patterns of the six
smallest blocks, rows of the next five."""

TILE_SIGNS = ROW_SIGNS + LANE_SIGNS
FREE = TILE_SIGNS + 1
"""Blocks that are not in the Gray code: those of a tile, and the one whose sign is fixed."""

NO_RUN = -1

SHORT_BITS = 14
"""Short sums, and how far they must reach, are at most 2^14 in size."""

MIN_STEP = 6
"""Smallest `Layout.step`: the error of a coarse sum is then less than half a short one."""

NEAR = 1
"""Short sums this close to what is needed are decided by exact ones."""

BUCKET_BITS = 3
BUCKETS = (1 << (SHORT_BITS - BUCKET_BITS)) + 32
"""Sizes of short sums in buckets of eight; a multiple of 32."""

PLACES = 1 << 16
"""A table that stays in the second-level cache."""


class Layout(NamedTuple):
    """Units as the kernel wants them; blocks reordered, smallest first."""

    fine: Int[np.ndarray, "units blocks"]
    high: Int[np.ndarray, "blocks-11 units"]
    """Coarse blocks in the Gray code; the last is the one whose sign is fixed."""
    middle: Int[np.ndarray, "units 32"]
    low: Int[np.ndarray, "units 64"]
    """Coarse sums of the blocks of rows and of lanes under their sign patterns."""
    farthest: Int[np.ndarray, "units 32"]
    """`middle` in descending order."""
    order: UInt8[np.ndarray, "2 units 32"]
    """The rows of `middle` in descending order, and in ascending order."""
    short: Int[np.ndarray, "2 units 64"]
    """`low` and -`low` in 16 bits: fine sums over 2^(shift + step), rounded."""
    step: int
    close: UInt32[np.ndarray, "units buckets/32"]
    """A bit for each bucket: whether a size in it may be within `NEAR` of a short sum."""
    reach_all: Int[np.ndarray, " units"]
    """How far the eleven blocks of a tile can move a sum."""
    reach_low: Int[np.ndarray, " units"]
    """How far the six blocks of the lanes can."""
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
    flips = lane | (row << LANE_SIGNS) | (gray << TILE_SIGNS)
    total = np.int64(0)
    for block in range(fine.shape[1]):
        total += -fine[unit, block] if (flips >> block) & 1 else fine[unit, block]
    return abs(total)


def all_sums(blocks: Int[np.ndarray, "units k"]) -> Int[np.ndarray, "units 2**k"]:
    """Sums of k blocks under all their sign patterns; a set bit flips."""
    k = blocks.shape[1]
    signs = 1 - 2 * ((np.arange(1 << k) >> np.arange(k)[:, None]) & 1)
    return np.ascontiguousarray(blocks @ signs)


def close_sizes(short: Int[np.ndarray, "units 64"]) -> UInt32[np.ndarray, "units words"]:
    """The buckets of sizes that may be within `NEAR` of the size of a short sum, as bits."""
    close = np.zeros((len(short), BUCKETS), np.bool_)
    unit = np.arange(len(short))[:, None]
    for distance in range(-NEAR, NEAR + 1):
        size = np.clip(np.abs(short.astype(np.int32)) + distance, 0, 1 << SHORT_BITS)
        close[unit, size >> BUCKET_BITS] = True
    return np.packbits(close, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def lay_out(units: FixedPoint) -> Layout:
    """Blocks in ascending order of size, so that the ones in a tile move sums least."""
    smallest_first = np.argsort(np.abs(units.fine).sum(axis=0), kind="stable")
    fine = np.ascontiguousarray(units.fine[:, smallest_first])
    coarse = ((fine + (1 << (units.shift - 1))) >> units.shift).astype(np.int32)
    size = np.abs(coarse)
    reach_low = size[:, :LANE_SIGNS].sum(axis=1)
    step = max(MIN_STEP, int(reach_low.max()).bit_length() - SHORT_BITS)
    middle = all_sums(coarse[:, LANE_SIGNS:TILE_SIGNS])
    ascending = np.argsort(middle, axis=1, kind="stable").astype(np.uint8)
    farthest = -np.sort(-middle, axis=1)
    short = np.rint(all_sums(fine[:, :LANE_SIGNS]) / 2.0 ** (units.shift + step)).astype(np.int16)
    return Layout(
        fine=fine,
        high=np.ascontiguousarray(coarse[:, TILE_SIGNS:].T),
        middle=middle.astype(np.int32),
        low=all_sums(coarse[:, :LANE_SIGNS]).astype(np.int32),
        farthest=farthest.astype(np.int32),
        order=np.stack([ascending[:, ::-1], ascending]),
        short=np.stack([short, -short]),
        step=step,
        close=close_sizes(short),
        reach_all=size[:, :TILE_SIGNS].sum(axis=1).astype(np.int32),
        reach_low=reach_low.astype(np.int32),
        shift=units.shift,
        error=units.blocks // 2 + 1,
    )


def lay_cuts(units: FixedPoint, floor: int, first_strong: int) -> Cuts:
    """Bin edges and strong units' reaches from the floor up, with a table to place sums."""
    edges = edges_fine(units)
    reach = units.reach[first_strong:]
    values = np.unique(np.concatenate([[floor], edges[edges > floor], reach]))
    error = units.blocks // 2 + 1
    start = floor >> units.shift
    span = (int(edges[-1]) >> units.shift) - start + 4 * error
    step = max(0, int(np.ceil(np.log2(max(1, span) / PLACES))))
    places = (span >> step) + 1
    lower = (start + (np.arange(places, dtype=np.int64) << step) - error - 1) << units.shift
    upper = (start + (np.arange(1, places + 1, dtype=np.int64) << step) + error + 1) << units.shift
    at_lower = np.searchsorted(values, lower, side="right")
    place = np.where(at_lower == np.searchsorted(values, upper, side="right"), at_lower, NO_RUN)
    rank = np.searchsorted(reach, np.concatenate([[-1], values]), side="right")
    return Cuts(values, place.astype(np.int32), step, rank)
