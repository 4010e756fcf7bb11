"""Sign patterns, drawn or all of them, through the tables: memory flat in their number."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import UInt8

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import FlipNull, critical_z, empty_null, quantile_count
from otherview.stats.flip_tables import (
    pattern_codes,
    random_codes,
    table_count,
    tally_codes,
)
from otherview.stats.paired import t_from_z

STREAM = 4096
"""Patterns drawn from one random stream, seeded by (seed, number of the stream)."""

CHUNK_WORK = 1 << 28
"""Units x patterns in a chunk, about a tenth of a second."""
MAX_CHUNK = 1 << 15
"""Patterns in a chunk."""

NANOSECONDS = 0.07
"""Time of one unit under one pattern, per table; what `auto` predicts with. Measured on one core
of a 2024 server; it decides between methods and is no promise."""

PILOT = 10_000
"""Flips drawn before `auto` asks for precision the first time; it then doubles them."""

PRECISION = 0.02
"""`auto` draws until the standard errors of each p99 and of the critical t are this share of
them (for a count: or a quarter of a unit)."""

LEAST_SECONDS, MOST_SECONDS = 0.1, 10.0
"""`auto` draws at least as many as so much time of one core allows, and at most so many."""

SPAN = 4.0
"""Wide enough that the steps of integer counts do not hide the error."""


def table_seconds(patterns: int, units: int, blocks: int) -> float:
    """Predicted time of tallying `patterns` through the tables, on one core."""
    return min(patterns, 1 << 62) * units * table_count(blocks) * NANOSECONDS * 1e-9


def all_flips(units: FixedPoint, running: Running) -> FlipNull:
    """All 2^(N-1) patterns, the last block unflipped (each stands for its mirror image too)."""
    codes = partial(pattern_codes, blocks=units.blocks)
    return tally_range(units, 0, 1 << (units.blocks - 1), codes, running)


def drawn_flips(
    units: FixedPoint,
    first: int,
    last: int,
    seed: int,
    running: Running,
) -> FlipNull:
    """Random patterns number `first` up to (not with) `last` of the sequence of this seed.

    The sequence depends on the seed and the number of blocks alone: drawing 1,000 and then the
    next 1,000 gives what drawing 2,000 at once gives.
    """
    codes = partial(drawn_codes, seed, blocks=units.blocks)
    return tally_range(units, first, last, codes, running)


def tally_range(
    units: FixedPoint,
    first: int,
    last: int,
    codes: Callable[[int, int], UInt8[np.ndarray, "patterns tables"]],
    running: Running,
) -> FlipNull:
    """Tally of patterns number `first` up to (not with) `last` of a sequence."""
    batch = max(1, min(MAX_CHUNK, CHUNK_WORK // len(units.fine)))
    starts = range(first, last, batch)

    def work(chunk: int) -> FlipNull:
        return tally_codes(units, codes(starts[chunk], min(starts[chunk] + batch, last)))

    null = empty_null(units)
    for part in run_chunks(work, len(starts), running):
        null += part
    return null


def drawn_codes(
    seed: int, first: int, last: int, blocks: int
) -> UInt8[np.ndarray, "patterns tables"]:
    """Patterns number `first` up to (not with) `last` of the sequence of a seed."""
    parts = []
    for stream in range(first // STREAM, -(-last // STREAM)):
        codes = random_codes(np.random.default_rng([seed, stream]), STREAM, blocks)
        start = stream * STREAM
        parts.append(codes[max(0, first - start) : last - start])
    return np.concatenate(parts)


def imprecision(null: FlipNull, blocks: int, alpha: float) -> float:
    """Largest relative standard error of the p99s of the counts and of the critical t.

    No shape of the null is assumed: the standard error of a quantile is read off the quantiles
    whose probabilities lie `SPAN` standard errors sqrt(p(1-p)/m) to either side. Counts are
    integers, so a p99 known to a quarter of a unit is known.
    """
    worst = 0.0
    spread = SPAN * float(np.sqrt(0.99 * 0.01 / null.patterns))
    for histogram in null.counts:
        low, middle, high = (
            quantile_count(histogram, min(1.0, 0.99 + side * spread)) for side in (-1, 0, 1)
        )
        error = (high - low) / (2 * SPAN)
        if error > 0.25:
            worst = max(worst, error / middle)
    spread = SPAN * float(np.sqrt(alpha * (1 - alpha) / null.patterns))
    low_z, middle_z, high_z = (
        critical_z(null.largest, blocks, min(1.0, max(0.0, alpha + side * spread)), 0)
        for side in (1, 0, -1)
    )
    if np.isfinite(high_z):
        t = t_from_z(np.array([low_z, middle_z, high_z]), blocks)
        worst = max(worst, float((t[2] - t[0]) / (2 * SPAN) / t[1]))
    return worst


def precise_flips(
    units: FixedPoint,
    seed: int,
    alpha: float,
    running: Running,
) -> tuple[FlipNull, float]:
    """Draw flips until `imprecision` is at most 2%, within the limits of time.

    Returns the null and the imprecision reached. When to stop is read off the null alone, never
    off the data's own place in it.
    """
    drawn = PILOT
    null = drawn_flips(units, 0, drawn, seed, running)
    reached = imprecision(null, units.blocks, alpha)
    second = drawn / table_seconds(drawn, len(units.fine), units.blocks)
    while (reached > PRECISION or drawn < LEAST_SECONDS * second) and (
        2 * drawn <= MOST_SECONDS * second
    ):
        null += drawn_flips(units, drawn, 2 * drawn, seed, running)
        drawn *= 2
        reached = imprecision(null, units.blocks, alpha)
    return null, reached
