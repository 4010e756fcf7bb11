"""The kernel that visits all sign patterns and skips the units that cannot matter."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

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

PLACES = 1 << 16
"""A table that stays in the second-level cache."""


class Layout(NamedTuple):
    """Units as the kernel wants them: fine sums of blocks, blocks reordered, smallest first."""

    high: Int[np.ndarray, "blocks-11 units"]
    """Blocks in the Gray code; the last is the one whose sign is fixed."""
    middle: Int[np.ndarray, "32 units"]
    low: Int[np.ndarray, "units 64"]
    """Sums of the blocks of rows and of lanes under their sign patterns."""
    reach_all: Int[np.ndarray, " units"]
    """How far the eleven blocks of a tile can move a sum."""
    reach_low: Int[np.ndarray, " units"]
    """How far the six blocks of the lanes can."""


class Cuts(NamedTuple):
    """Where largest sums are told apart, all fine."""

    values: Int[np.ndarray, " cuts"]
    """Ascending; the first is the floor."""
    place: Int[np.ndarray, " places"]
    """For sums in equal steps from the floor: how many cuts are at or below."""
    step: int
    """A place is 2^step wide."""
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


def all_sums(blocks: Int[np.ndarray, "units k"]) -> Int[np.ndarray, "units 2**k"]:
    """Sums of k blocks under all their sign patterns; a set bit flips."""
    k = blocks.shape[1]
    signs = 1 - 2 * ((np.arange(1 << k) >> np.arange(k)[:, None]) & 1)
    return np.ascontiguousarray(blocks @ signs)


def lay_out(units: FixedPoint) -> Layout:
    """Blocks in ascending order of size, so that the ones in a tile move sums least."""
    smallest_first = np.argsort(np.abs(units.fine).sum(axis=0), kind="stable")
    fine = units.fine[:, smallest_first]
    return Layout(
        high=np.ascontiguousarray(fine[:, TILE_SIGNS:].T),
        middle=np.ascontiguousarray(all_sums(fine[:, LANE_SIGNS:TILE_SIGNS]).T),
        low=all_sums(fine[:, :LANE_SIGNS]),
        reach_all=np.abs(fine[:, :TILE_SIGNS]).sum(axis=1),
        reach_low=np.abs(fine[:, :LANE_SIGNS]).sum(axis=1),
    )


def lay_cuts(units: FixedPoint, floor: int, first_strong: int) -> Cuts:
    """Bin edges and strong units' reaches from the floor up, with a table to place sums."""
    edges, reach = edges_fine(units), units.reach[first_strong:]
    values = np.unique(np.concatenate([[floor], edges[edges > floor], reach]))
    span = int(edges[-1]) + 2 * units.tolerance - floor
    step = max(0, (span // PLACES).bit_length())
    at = floor + (np.arange((span >> step) + 1) << step)
    rank = np.searchsorted(reach, np.concatenate([[-1], values]), side="right")
    return Cuts(values, np.searchsorted(values, at, side="right"), step, rank)


@compiled
def cuts_reached(
    values: Int[np.ndarray, " cuts"],
    place: Int[np.ndarray, " places"],
    step: Integer,
    value: Integer,
) -> Integer:
    """How many of the cuts of a `Cuts` a sum reaches."""
    if value < values[0]:
        return np.int64(0)
    reached = place[(value - values[0]) >> step]
    while reached < len(values) and values[reached] <= value:
        reached += 1
    return reached


@compiled
def turn_code(
    sums: Int[np.ndarray, " units"], high: Int[np.ndarray, "codes units"], number: Integer
) -> None:
    """Turn the one block in which Gray code `number` differs from the one before."""
    turned = 0
    while not (number >> turned) & 1:
        turned += 1
    sign = -2 if ((number ^ (number >> 1)) >> turned) & 1 else 2
    for unit in range(len(sums)):
        sums[unit] += sign * high[turned, unit]


@compiled
def count_lanes(
    low: Int[np.ndarray, "units 64"],
    unit: Integer,
    base: Integer,
    reach: Integer,
    cutoff: Integer,
    counted: Int[np.ndarray, "thresholds 64"],
    level: Integer,
) -> None:
    """Count a unit in the lanes in which it is beyond the cutoff, on either side of zero."""
    if base + reach > cutoff:
        for lane in range(LANES):
            counted[level, lane] += low[unit, lane] > cutoff - base
    if reach - base > cutoff:
        for lane in range(LANES):
            counted[level, lane] += low[unit, lane] < -cutoff - base


@compiled
def raise_lanes(
    low: Int[np.ndarray, "units 64"],
    unit: Integer,
    base: Integer,
    largest: Int[np.ndarray, "2 64"],
    strong: Integer,
) -> Integer:
    """Raise the largest sum of each lane to this unit's; return the largest of these."""
    top = np.int64(0)
    for lane in range(LANES):
        value = abs(base + low[unit, lane])
        largest[strong, lane] = max(largest[strong, lane], value)
        top = max(top, value)
    return top


@compiled
def enumerate_range(
    layout: Layout,
    begin: Integer,
    end: Integer,
    passing: Int[np.ndarray, " thresholds"],
    reach: Int[np.ndarray, " units"],
    first_strong: Integer,
    cuts: Cuts,
    tallies: Tallies,
) -> None:
    """Tally the patterns whose Gray code has number `begin` up to (not with) `end`.

    For each code the sums of all units over its blocks are at hand; a unit takes part in the
    tile of 32 x 64 patterns only if the other eleven blocks can carry it past the lowest cutoff,
    and in a row of the tile only if the last six can. `reach` ascends.

    Step down, a strong unit that reaches r strong units' |t| hits ranks from its own to r-1; the
    weak units hit ranks 0 ... (their own r)-1; a rank is hit once. `covered` is the first rank that
    the units so far have not hit in a lane, -1 where that is not yet known.
    """
    high, middle, low = layout.high, layout.middle, layout.low
    reach_all, reach_low = layout.reach_all, layout.reach_low
    values, place, step, rank = cuts.values, cuts.place, cuts.step, cuts.rank
    over_all, over_weak, extra = tallies.largest, tallies.largest_weak, tallies.extra
    units, thresholds, floor = high.shape[1], len(passing), values[0]
    lowest = floor - 1
    for cutoff in passing:
        lowest = min(lowest, cutoff)
    sums = high[-1].copy()
    for code in range(len(high) - 1):
        sums += -high[code] if ((begin ^ (begin >> 1)) >> code) & 1 else high[code]
    active, listed = np.empty(units + 1, np.int64), np.empty(units + 1, np.int64)
    counted, touched = np.zeros((thresholds, LANES), np.int64), np.zeros(thresholds, np.bool_)
    counts = np.zeros((thresholds, 4, units + 1), np.int64)
    largest, covered = np.zeros((2, LANES), np.int64), np.full(LANES, -1)
    for number in range(begin, end):
        if number > begin:
            turn_code(sums, high, number)
        # Unsigned indices spare numba's test for negative ones.
        several = np.uint64(0)
        for unit in range(units):
            active[several] = unit
            several += np.uint64(abs(sums[unit]) + reach_all[unit] > lowest)
        for row in range(ROWS):
            found = np.uint64(0)
            for position in range(several):
                candidate = np.uint64(active[np.uint64(position)])
                listed[found] = candidate
                farthest = abs(sums[candidate] + middle[row, candidate]) + reach_low[candidate]
                found += np.uint64(farthest > lowest)
            raised = False
            for position in range(found):
                unit = listed[position]
                base = sums[unit] + middle[row, unit]
                farthest = abs(base) + reach_low[unit]
                for level in range(thresholds):
                    if farthest > passing[level]:
                        touched[level] = True
                        count_lanes(
                            low, unit, base, reach_low[unit], passing[level], counted, level
                        )
                if farthest < floor:
                    continue
                raised = True
                top = raise_lanes(low, unit, base, largest, np.int64(unit >= first_strong))
                if unit < first_strong or top < reach[unit]:
                    continue
                for lane in range(LANES):
                    value = abs(base + low[unit, lane])
                    if value < reach[unit]:
                        continue
                    if covered[lane] < 0:
                        covered[lane] = rank[cuts_reached(values, place, step, largest[0, lane])]
                    first = max(covered[lane], unit - first_strong)
                    beyond = rank[cuts_reached(values, place, step, value)]
                    if beyond > first:
                        extra[first] += 1
                        extra[beyond] -= 1
                        covered[lane] = beyond
            # Neighbours often have the same count: four tallies spare each the wait for another.
            for level in range(thresholds):
                if touched[level]:
                    for lane in range(LANES):
                        counts[level, lane & 3, counted[level, lane]] += 1
                    touched[level] = False
                    counted[level] = 0
                else:
                    counts[level, 0, 0] += LANES
            if raised:
                for lane in range(LANES):
                    weak, top = largest[0, lane], max(largest[0, lane], largest[1, lane])
                    if top >= floor:
                        over_all[cuts_reached(values, place, step, top)] += 1
                    if weak >= floor:
                        over_weak[cuts_reached(values, place, step, weak)] += 1
                largest[:] = 0
                covered[:] = -1
    for part in range(4):
        tallies.counts[:] += counts[:, part]
