"""Every unit under given sign patterns: counts over thresholds, largest |t|, step-down."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from otherview.stats.fixed_point import FixedPoint
from otherview.stats.kernels import Integer, compiled

SIGNS = 5
"""Signs a table: 32 partial sums, so that N signs cost N/5 additions."""

LANES = 32
"""Units side by side; six tables of 32 x 32 numbers stay in the first-level cache."""


class Tally(NamedTuple):
    """What a batch of patterns gave; units in the order of `FixedPoint`."""

    counts: Int[np.ndarray, "thresholds patterns"]
    """Units past each threshold."""
    largest: Int[np.ndarray, " patterns"]
    """Largest fine sum over the units."""
    hits: Int[np.ndarray, " units"]
    """Patterns in which the largest over this unit and those before it reaches this unit's."""


@compiled
def fine_sum(
    fine: Int[np.ndarray, "units blocks"], unit: Integer, codes: UInt8[np.ndarray, " tables"]
) -> Integer:
    """|Σ ±u| of one unit under one pattern, exactly."""
    total = np.int64(0)
    for block in range(fine.shape[1]):
        flipped = (codes[block // SIGNS] >> (block % SIGNS)) & 1
        total += -fine[unit, block] if flipped else fine[unit, block]
    return abs(total)


@compiled
def fill_tables(
    fine: Int[np.ndarray, "units blocks"],
    first: Integer,
    shift: Integer,
    tables: Int[np.ndarray, "..."],
) -> None:
    """Coarse partial sums `[table, pattern of 5 signs, lane]` of the units from `first` on."""
    units, blocks = fine.shape
    exact = np.zeros(1 << SIGNS, np.int64)
    half = np.int64(1) << (shift - 1)
    tables[:] = 0
    for lane in range(min(LANES, units - first)):
        for table in range((blocks + SIGNS - 1) // SIGNS):
            start = table * SIGNS
            signs = min(SIGNS, blocks - start)
            exact[0] = 0
            for sign in range(signs):
                exact[0] += fine[first + lane, start + sign]
            for sign in range(signs):
                for row in range(1 << sign):
                    exact[row + (1 << sign)] = exact[row] - 2 * fine[first + lane, start + sign]
            for row in range(1 << signs):
                tables[table, row, lane] = (exact[row] + half) >> shift


@compiled
def tally(
    fine: Int[np.ndarray, "units blocks"],
    shift: Integer,
    codes: UInt8[np.ndarray, "patterns tables"],
    passing: Int[np.ndarray, " thresholds"],
    reach: Int[np.ndarray, " units"],
    counts: Int[np.ndarray, "thresholds patterns"],
    largest: Int[np.ndarray, " patterns"],
    hits: Int[np.ndarray, " units"],
) -> None:
    """Fill `counts`, `largest` and `hits` (all zero on entry); `reach` ascends."""
    units = fine.shape[0]
    table_count = codes.shape[1]
    error = table_count
    tables = np.empty((table_count, 1 << SIGNS, LANES), np.int32)
    sums = np.empty(LANES, np.int32)
    lowest = np.int64(1) << 62
    for cutoff in passing:
        lowest = min(lowest, cutoff)
    lowest = (lowest >> shift) - error
    for first in range(0, units, LANES):
        fill_tables(fine, first, shift, tables)
        lanes = min(LANES, units - first)
        every_lane_hit = 0
        for pattern in range(len(codes)):
            for lane in range(LANES):
                sums[lane] = 0
            for table in range(0, table_count, 3):
                one = tables[table, codes[pattern, table]]
                two = tables[table + 1, codes[pattern, table + 1]]
                three = tables[table + 2, codes[pattern, table + 2]]
                for lane in range(LANES):
                    sums[lane] += one[lane] + two[lane] + three[lane]
            top = np.int32(0)
            for lane in range(LANES):
                sums[lane] = abs(sums[lane])
                top = max(top, sums[lane])
            before = largest[pattern]
            after = before
            if top + error >= before >> shift:
                for lane in range(lanes):
                    if sums[lane] + error >= after >> shift:
                        after = max(after, fine_sum(fine, first + lane, codes[pattern]))
                largest[pattern] = after
            if before >= reach[first + lanes - 1]:
                every_lane_hit += 1
            elif after >= reach[first]:
                for lane in range(lanes):
                    if sums[lane] + error >= before >> shift:
                        before = max(before, fine_sum(fine, first + lane, codes[pattern]))
                    hits[first + lane] += before >= reach[first + lane]
            if top > lowest:
                for index in range(len(passing)):
                    cutoff = passing[index] >> shift
                    possible = certain = 0
                    for lane in range(LANES):
                        possible += sums[lane] > cutoff - error
                        certain += sums[lane] > cutoff + error + 1
                    if possible > certain:
                        for lane in range(lanes):
                            if cutoff - error < sums[lane] <= cutoff + error + 1:
                                exact = fine_sum(fine, first + lane, codes[pattern])
                                certain += exact > passing[index]
                    counts[index, pattern] += certain
        for lane in range(lanes):
            hits[first + lane] += every_lane_hit


def tally_patterns(
    units: FixedPoint, codes: UInt8[np.ndarray, "patterns tables"], passing: np.ndarray
) -> Tally:
    """Counts, largest and step-down hits of the patterns; `units.observed` must ascend."""
    result = Tally(
        np.zeros((len(passing), len(codes)), np.int32),
        np.zeros(len(codes), np.int64),
        np.zeros(len(units.fine), np.int64),
    )
    tally(units.fine, units.shift, codes, passing, units.reach, *result)
    return result


def table_count(blocks: int) -> int:
    """Tables for `blocks` signs, a multiple of three (three are added at a time)."""
    return -(-blocks // (3 * SIGNS)) * 3


def random_codes(
    generator: np.random.Generator, patterns: int, blocks: int
) -> UInt8[np.ndarray, "patterns tables"]:
    """Independent random sign patterns."""
    tables = table_count(blocks)
    codes = generator.integers(0, 1 << SIGNS, (patterns, tables), dtype=np.uint8)
    for table in range(tables):
        codes[:, table] &= (1 << max(0, min(SIGNS, blocks - table * SIGNS))) - 1
    return codes


def pattern_codes(first: int, patterns: int, blocks: int) -> UInt8[np.ndarray, "patterns tables"]:
    """Patterns `first, first + 1, ...` of all: bit i of the number flips block i."""
    numbers = np.arange(first, first + patterns, dtype=np.int64)[:, None]
    shifts = SIGNS * np.arange(table_count(blocks))
    shifts[shifts >= 63] = 63
    return ((numbers >> shifts) & ((1 << SIGNS) - 1)).astype(np.uint8)
