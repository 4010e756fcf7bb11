"""Sign-flip p where sums coincide, however many blocks: repeated values, decimals."""

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.kernels import Integer, compiled

BITS = 61
"""|d| become integers whose sum is below 2^61."""

TOLERANCE = 1 << (BITS - 24)
"""Sums this close are equal: 2^-24 of a bound on the sum, what decimals differ by in single
precision."""

MAX_SUMS = 1 << 18
"""The law of the sum is followed while it has no more different values than this."""

GENERIC_SUMS = 1 << 10
COINCIDING = 0.05
"""Past so many different values, fewer than this share of them coinciding with another when one
more block is added means that sums do not coincide; unless all blocks that are left may double
their number."""


@compiled
def add_block(
    sums: Int[np.ndarray, " room"],
    mass: Float[np.ndarray, " room"],
    length: Integer,
    weight: Integer,
    limit: Integer,
    new_sums: Int[np.ndarray, " room"],
    new_mass: Float[np.ndarray, " room"],
) -> tuple[Integer, Integer]:
    """The law of the sum with one block more, up to `limit`.

    Returns how many values it has (-1 if too many), and how many coincided with another.
    """
    count = kept = added = coincided = 0
    while kept < length or added < length:
        if kept < length and (added == length or sums[kept] <= sums[added] + weight):
            value, share = sums[kept], mass[kept]
            kept += 1
        else:
            value, share = sums[added] + weight, mass[added]
            added += 1
        if value > limit:
            break
        if count and value - new_sums[count - 1] <= TOLERANCE:
            new_mass[count - 1] += 0.5 * share
            coincided += 1
        elif count == len(new_sums):
            return -1, coincided
        else:
            new_sums[count], new_mass[count] = value, 0.5 * share
            count += 1
    return count, coincided


@compiled
def most_repeated_first(weights: Int[np.ndarray, " blocks"]) -> Int[np.ndarray, " blocks"]:
    """The weights, those of the most frequent value first, then the smaller ones."""
    ascending = np.sort(weights)
    repeats = np.zeros(len(weights), np.int64)
    start = 0
    for place in range(1, len(weights) + 1):
        if place == len(weights) or ascending[place] - ascending[place - 1] > TOLERANCE:
            repeats[start:place] = place - start
            start = place
    return ascending[np.argsort(-repeats, kind="mergesort")]


@compiled
def coinciding_tail(weights: Float[np.ndarray, " blocks"], total: float) -> tuple[float, float]:
    """P(S ≥ total) and P(S > total) for S = Σ ±weights; (-1, -1) where sums do not coincide.

    S reaches the total when the weights with a minus add up to at most half of what is missing.
    Their law is convolved block by block, equal values merged.
    """
    scale = 2.0 ** (BITS - 1 - np.floor(np.log2(weights.sum())))
    whole = most_repeated_first(np.rint(weights * scale).astype(np.int64))
    half = (whole.sum() - np.int64(np.rint(total * scale))) // 2
    limit = half + TOLERANCE
    room = 4 * GENERIC_SUMS
    sums, mass = np.empty(room, np.int64), np.empty(room)
    new_sums, new_mass = np.empty(room, np.int64), np.empty(room)
    sums[0], mass[0] = 0, 1.0
    length = 1
    for block in range(len(whole)):
        if 2 * length > room and room < MAX_SUMS:
            room *= 2
            larger_sums, larger_mass = np.empty(room, np.int64), np.empty(room)
            larger_sums[:length], larger_mass[:length] = sums[:length], mass[:length]
            sums, mass = larger_sums, larger_mass
            new_sums, new_mass = np.empty(room, np.int64), np.empty(room)
        count, coincided = add_block(sums, mass, length, whole[block], limit, new_sums, new_mass)
        doubles = count >= GENERIC_SUMS and coincided < COINCIDING * count
        left = len(whole) - 1 - block
        if count < 0 or (doubles and (left > 18 or count << left > MAX_SUMS)):
            return -1.0, -1.0
        sums, new_sums = new_sums, sums
        mass, new_mass = new_mass, mass
        length = count
    reached = passed = 0.0
    for place in range(length):
        reached += mass[place]
        passed += mass[place] if sums[place] < half - TOLERANCE else 0.0
    return reached, passed
