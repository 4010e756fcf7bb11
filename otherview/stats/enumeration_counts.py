"""Counting the units past a threshold in every pattern of a tile."""

import numpy as np
from jaxtyping import Bool, Int

from otherview.stats.enumeration_layout import (
    BUCKET_BITS,
    LANES,
    NEAR,
    ROWS,
    SHORT_BITS,
    Layout,
    fine_sum,
)
from otherview.stats.kernels import Integer, compiled, inlined

MAX_SHORT = 1 << SHORT_BITS


@inlined
def rows_beyond(layout: Layout, unit: np.uint64, needed: np.int32) -> np.int32:
    """How many rows of a unit are beyond `needed`."""
    count = np.int32(0)
    for rank in range(ROWS):
        count += np.int32(layout.farthest[unit, np.uint64(rank)] > needed)
    return count


@inlined
def short_needed(needed: np.int32, step: Integer) -> np.int32:
    """What a short sum must exceed."""
    return np.int32(min(max(needed >> step, -MAX_SHORT), MAX_SHORT))


@compiled
def count_tile(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    gray: Integer,
    passing: Integer,
    counted: Int[np.ndarray, "32 64"],
    touched: Bool[np.ndarray, " 32"],
    near: Int[np.ndarray, "near 2"],
) -> Integer:
    """Count the units past a threshold in each pattern of the tile.

    How far a row's sum is from the threshold is compared with the short sums of the lanes. A row
    with one that may be too near to tell is listed in `near`; its lanes within `NEAR` are left
    out. Returns how many are listed. The loop over lanes compiles to vector instructions: no
    views, no calls, unsigned indices.
    """
    farthest, order, short, close = layout.farthest, layout.order, layout.short, layout.close
    cutoff = np.int32(passing >> layout.shift)
    possible = np.int32(cutoff - layout.error)
    listed = np.uint64(0)
    for position in range(len(active)):
        unit = np.uint64(active[position])
        size = np.int32(abs(sums[unit]))
        if size + layout.reach_all[unit] <= possible:
            continue
        if layout.reach_low[unit] >= possible or layout.reach_all[unit] - size > possible:
            count_both_sides(layout, sums, unit, gray, passing, counted, touched)
            continue
        side = np.uint64(sums[unit] < 0)
        number = rows_beyond(layout, unit, np.int32(possible - size - layout.reach_low[unit]))
        for place in range(number):
            rank = np.uint64(place)
            row = np.uint64(order[side, unit, rank])
            needed = short_needed(cutoff - size - farthest[unit, rank], layout.step)
            least = np.int16(needed + NEAR)
            for lane in range(LANES):
                lacking = np.int16(least - short[side, unit, np.uint64(lane)])
                counted[row, np.uint64(lane)] -= np.int16(lacking >> np.int16(15))
            touched[row] = True
            near[listed, 0] = unit
            near[listed, 1] = place
            bucket = np.uint64(abs(needed) >> BUCKET_BITS)
            word = close[unit, bucket >> np.uint64(5)]
            listed += np.uint64(word >> np.uint32(bucket & np.uint64(31))) & np.uint64(1)
    return listed


@compiled
def settle_near(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    gray: Integer,
    passing: Integer,
    near: Int[np.ndarray, "near 2"],
    counted: Int[np.ndarray, "32 64"],
) -> None:
    """Count, by their exact sums, the lanes that `count_tile` left out."""
    short = layout.short
    cutoff = np.int32(passing >> layout.shift)
    for position in range(len(near)):
        unit, rank = np.uint64(near[position, 0]), np.uint64(near[position, 1])
        side = np.uint64(sums[unit] < 0)
        distance = cutoff - abs(sums[unit]) - layout.farthest[unit, rank]
        needed = np.int16(short_needed(np.int32(distance), layout.step))
        some = np.int16(0)
        for lane in range(LANES):
            apart = np.int16(abs(np.int16(short[side, unit, np.uint64(lane)] - needed)))
            some |= np.int16(apart <= np.int16(NEAR))
        if some:
            row = np.int64(layout.order[side, unit, rank])
            for lane in range(LANES):
                if abs(short[side, unit, lane] - needed) <= NEAR:
                    counted[row, lane] += fine_sum(layout.fine, unit, lane, row, gray) > passing


@compiled
def count_both_sides(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    unit: np.uint64,
    gray: Integer,
    passing: Integer,
    counted: Int[np.ndarray, "32 64"],
    touched: Bool[np.ndarray, " 32"],
) -> None:
    """`count_tile` of one unit that may pass a low threshold on either side of zero."""
    cutoff = passing >> layout.shift
    touched[:] = True
    for row in range(ROWS):
        for lane in range(LANES):
            value = abs(sums[unit] + layout.middle[unit, row] + layout.low[unit, lane])
            if value > cutoff + layout.error + 1:
                counted[row, lane] += 1
            elif value > cutoff - layout.error:
                counted[row, lane] += fine_sum(layout.fine, unit, lane, row, gray) > passing


@compiled
def tally_counts(
    counted: Int[np.ndarray, "32 64"],
    touched: Bool[np.ndarray, " 32"],
    counts: Int[np.ndarray, "4 units+1"],
) -> None:
    """Tally the patterns of the tile by their counts, and set these back to zero.

    Neighbouring patterns often have the same count; four tallies spare each increment the wait
    for the one before.
    """
    for row in range(ROWS):
        if touched[row]:
            for lane in range(LANES):
                counts[np.uint64(lane & 3), np.uint64(counted[row, lane])] += 1
            counted[row] = 0
        else:
            counts[0, 0] += LANES
