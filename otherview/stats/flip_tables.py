"""Every unit under given sign patterns: counts over thresholds, largest |t|, step-down."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Int, UInt8

from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import FlipNull, edges_fine, empty_null
from otherview.stats.kernels import Integer, compiled, inlined

SIGNS = 5
"""Signs a table: 32 partial sums, so that N signs cost N/5 additions."""

LANES = 64
"""Units side by side; six tables of 32 x 64 16-bit numbers stay in the first-level cache."""

GROUP = 6
"""Tables that are added in one loop."""

SHORT_TABLES = 24
"""Up to so many tables (120 signs) sums are added in 16 bits, above in 32: each table adds half a
last bit of error."""

Rows: TypeAlias = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]


@compiled
def fine_sum(
    fine: Int[np.ndarray, "units blocks"],
    unit: Integer,
    codes: UInt8[np.ndarray, "patterns tables"],
    pattern: Integer,
) -> Integer:
    """|Σ ±u| of one unit under one pattern, exactly."""
    blocks = fine.shape[1]
    total = np.int64(0)
    for start in range(0, blocks, SIGNS):
        code = np.int64(codes[pattern, start // SIGNS])
        for block in range(start, min(start + SIGNS, blocks)):
            total += fine[unit, block] * (1 - 2 * (code & 1))
            code >>= 1
    return abs(total)


@compiled
def fill_tables(
    fine: Int[np.ndarray, "units blocks"],
    first: Integer,
    shift: Integer,
    tables: Int[np.ndarray, "tables 32 64"],
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
def exact_largest(
    fine: Int[np.ndarray, "units blocks"],
    first: Integer,
    lanes: Integer,
    codes: UInt8[np.ndarray, "patterns tables"],
    pattern: Integer,
    sums: Int[np.ndarray, " 64"],
    top: Integer,
    largest: Integer,
) -> Integer:
    """The largest fine sum of these units and of those before, of the lanes not below `top`."""
    for lane in range(lanes):
        if sums[lane] >= top:
            largest = max(largest, fine_sum(fine, first + lane, codes, pattern))
    return largest


@compiled
def settle_hits(
    fine: Int[np.ndarray, "units blocks"],
    first: Integer,
    lanes: Integer,
    codes: UInt8[np.ndarray, "patterns tables"],
    pattern: Integer,
    sums: Int[np.ndarray, " 64"],
    shift: Integer,
    error: Integer,
    before: Integer,
    reach: Int[np.ndarray, " units"],
    hits: Int[np.ndarray, " units"],
) -> None:
    """Count for each of these units whether it or one before it reaches its own |t|."""
    largest = before >> shift
    for lane in range(lanes):
        largest = max(largest, sums[lane])
        own = reach[first + lane] >> shift
        if largest > own + error + 1:
            hits[first + lane] += 1
        elif largest >= own - error:
            exact = exact_largest(
                fine, first, lane + 1, codes, pattern, sums, largest - 2 * error, before
            )
            hits[first + lane] += exact >= reach[first + lane]


@inlined
def rows_of_six(
    codes: UInt8[np.ndarray, "patterns tables"], pattern: np.uint64, first: np.uint64
) -> Rows:
    """The rows that a pattern takes in the six tables from `first` on."""
    return (
        np.uint64(codes[pattern, first]),
        np.uint64(codes[pattern, first + np.uint64(1)]),
        np.uint64(codes[pattern, first + np.uint64(2)]),
        np.uint64(codes[pattern, first + np.uint64(3)]),
        np.uint64(codes[pattern, first + np.uint64(4)]),
        np.uint64(codes[pattern, first + np.uint64(5)]),
    )


@inlined
def sum_of_six(
    tables: Int[np.ndarray, "tables 32 64"], first: np.uint64, rows: Rows, lane: np.uint64
) -> Integer:
    """Sum of one lane over the six tables from `first` on."""
    return (
        tables[first, rows[0], lane]
        + tables[first + np.uint64(1), rows[1], lane]
        + tables[first + np.uint64(2), rows[2], lane]
        + tables[first + np.uint64(3), rows[3], lane]
        + tables[first + np.uint64(4), rows[4], lane]
        + tables[first + np.uint64(5), rows[5], lane]
    )


@compiled
def tally(
    tables: Int[np.ndarray, "tables 32 64"],
    fine: Int[np.ndarray, "units blocks"],
    shift: Integer,
    codes: UInt8[np.ndarray, "patterns tables"],
    passing: Int[np.ndarray, " thresholds"],
    reach: Int[np.ndarray, " units"],
    counts: Int[np.ndarray, "thresholds patterns"],
    largest: Int[np.ndarray, " patterns"],
    hits: Int[np.ndarray, " units"],
) -> None:
    """Count units past each threshold, the largest fine sum over units, and for each unit the
    patterns in which the largest over this unit and those before it reaches this unit's.

    `counts`, `largest` and `hits` are all zero on entry; `reach` ascends.

    `tables` is room to work in; its integers add the sums, coarsely: fine sums over 2^shift. What
    these leave open is decided by fine ones. A loop without a store finds the largest sum of 64
    units; the sums themselves are looked at only where that matters.
    """
    units = fine.shape[0]
    number = codes.shape[1]
    error = np.int64(number)
    last = np.uint64(number - GROUP)
    integer = tables.dtype.type
    others = np.zeros(LANES, tables.dtype)
    sums = np.empty(LANES, np.int32)
    possible, certain = np.empty(len(passing), tables.dtype), np.empty(len(passing), tables.dtype)
    for level in range(len(passing)):
        cutoff = passing[level] >> shift
        possible[level], certain[level] = cutoff - error, cutoff + error + 1
    near = np.zeros(len(passing), np.bool_)
    for first in range(0, units, LANES):
        fill_tables(fine, first, shift, tables)
        lanes = min(LANES, units - first)
        every_lane_hit = 0
        for index in range(len(codes)):
            pattern = np.uint64(index)
            if last > 0:
                others[:] = 0
                for table in range(0, number - GROUP, GROUP):
                    rows = rows_of_six(codes, pattern, np.uint64(table))
                    for lane in range(LANES):
                        others[np.uint64(lane)] += integer(
                            sum_of_six(tables, np.uint64(table), rows, np.uint64(lane))
                        )
            rows = rows_of_six(codes, pattern, last)
            top = integer(0)
            for lane in range(LANES):
                found = integer(sum_of_six(tables, last, rows, np.uint64(lane)))
                found = integer(abs(integer(found + others[np.uint64(lane)])))
                top = max(top, found)
            before = largest[pattern]
            raises = top + error >= before >> shift
            hit_by_all = before >= reach[first + lanes - 1]
            every_lane_hit += hit_by_all
            settles = not hit_by_all and (raises or before >= reach[first])
            some_near = False
            for level in range(len(passing)):
                near[level] = False
                if top <= possible[level]:
                    continue
                at_least = at_most = integer(0)
                for lane in range(LANES):
                    found = integer(sum_of_six(tables, last, rows, np.uint64(lane)))
                    found = integer(abs(integer(found + others[np.uint64(lane)])))
                    at_most += integer(found > possible[level])
                    at_least += integer(found > certain[level])
                counts[level, pattern] += at_least
                near[level] = at_most > at_least
                some_near |= near[level]
            if not (raises or settles or some_near):
                continue
            for lane in range(LANES):
                found = integer(sum_of_six(tables, last, rows, np.uint64(lane)))
                sums[np.uint64(lane)] = abs(integer(found + others[np.uint64(lane)]))
            if raises:
                largest[pattern] = exact_largest(
                    fine, first, lanes, codes, pattern, sums,
                    max(top - error, before >> shift) - error, before,
                )  # fmt: skip
            if settles and largest[pattern] >= reach[first]:
                settle_hits(
                    fine, first, lanes, codes, pattern, sums, shift, error, before, reach, hits
                )
            for level in range(len(passing)):
                if near[level]:
                    for lane in range(lanes):
                        if possible[level] < sums[lane] <= certain[level]:
                            exact = fine_sum(fine, first + lane, codes, pattern)
                            counts[level, pattern] += exact > passing[level]
        for lane in range(lanes):
            hits[first + lane] += every_lane_hit


def tally_codes(units: FixedPoint, codes: UInt8[np.ndarray, "patterns tables"]) -> FlipNull:
    """Tally of the given patterns; `units.observed` must ascend."""
    counts = np.zeros((len(units.passing), len(codes)), np.int32)
    largest = np.zeros(len(codes), np.int64)
    null = empty_null(units)
    null.patterns = len(codes)
    missing = -codes.shape[1] % GROUP
    if missing:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    number = codes.shape[1]
    integer = np.int16 if number <= SHORT_TABLES else np.int32
    tables = np.empty((number, 1 << SIGNS, LANES), integer)
    # The least shift with which no sum, its error included, outgrows the integers.
    limit = int(np.sqrt(units.blocks) * 2.0**units.bits)
    shift = (limit // (np.iinfo(integer).max - 2 * number)).bit_length()
    tally(
        tables, units.fine, shift, codes, units.passing, units.reach, counts, largest, null.stepped
    )
    for histogram, of_pattern in zip(null.counts, counts, strict=True):
        histogram += np.bincount(of_pattern, minlength=len(histogram))
    edges = edges_fine(units)
    bins = np.clip(np.searchsorted(edges, largest, side="right") - 1, 0, len(edges) - 2)
    null.largest += np.bincount(bins, minlength=len(null.largest))
    reached = np.searchsorted(units.reach, largest, side="right")
    at_least = np.cumsum(np.bincount(reached, minlength=len(units.fine) + 1)[::-1])[::-1]
    null.reached += at_least[1:]
    return null


def table_count(blocks: int) -> int:
    """Tables for `blocks` signs, a multiple of three: drawn patterns have so many codes."""
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


def pattern_codes(first: int, last: int, blocks: int) -> UInt8[np.ndarray, "patterns tables"]:
    """Patterns `first` up to (not with) `last` of all: bit i of the number flips block i."""
    numbers = np.arange(first, last, dtype=np.int64)[:, None]
    shifts = SIGNS * np.arange(table_count(blocks))
    shifts[shifts >= 63] = 63
    return ((numbers >> shifts) & ((1 << SIGNS) - 1)).astype(np.uint8)
