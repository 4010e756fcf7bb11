"""Sign-flip p where only a decision is needed: bounds first, exact p where these leave it open."""

import numpy as np
from jaxtyping import Float

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.corrections import discoveries
from otherview.stats.kernels import Integer, compiled
from otherview.stats.sign_flip_p import sign_flip_p

LEVELS = 64
"""Steps that the smaller of Σ positive and Σ |negative| differences is cut into."""

MARGIN = 2.0**-22
"""Sums this close, as a share of Σ|d|, may tie."""

SMALL = 1e-3
"""With r below this share of Σ|d|, only |d| that are at most r can be made negative."""

WITHIN_ONE = 7 / 32
"""Least p of a unit whose |Σd| is at most √Σd² (Dvořák & Klein 2022)."""

MAX_BLOCKS = 120
"""Numbers of flips fit into single precision."""

CHUNK_UNITS = 4096


@compiled
def add_block(
    old: Float[np.ndarray, " room"], new: Float[np.ndarray, " room"], step: Integer
) -> None:
    """Numbers of subsets with a sum of at most k steps, with one block more."""
    for place in range(step):
        new[np.uint64(place)] = old[np.uint64(place)]
    for place in range(len(old) - step):
        lower, upper = np.uint64(place), np.uint64(place + step)
        new[upper] = old[upper] + old[lower]


@compiled
def bound_p(
    values: Float[np.ndarray, " blocks"],
    one: Float[np.ndarray, " room"],
    other: Float[np.ndarray, " room"],
) -> tuple[float, float]:
    """Lower and upper bound of the two-sided sign-flip p of one unit.

    A flip reaches the sum seen when the |d| that it makes negative add up to at most r, the
    smaller of Σ positive and Σ |negative|. With |d| rounded to whole steps of r / 64 these flips
    are counted by a convolution; the sums of the roundings up and down bound what it is off by.
    """
    blocks = len(values)
    positive = negative = squares = 0.0
    for value in values:
        squares += value * value
        if value > 0:
            positive += value
        else:
            negative -= value
    total, least = positive + negative, min(positive, negative)
    if (positive - negative) ** 2 <= squares * (1 - MARGIN):
        return WITHIN_ONE, 1.0
    if least <= SMALL * total:
        small = 0
        for value in values:
            small += abs(value) <= least + MARGIN * total
        return 2.0 ** (1 - blocks), min(1.0, 2.0 ** (1 - blocks + small))
    scale = LEVELS / least
    up = down = MARGIN * total * scale
    for value in values:
        steps = abs(value) * scale
        error = steps - np.rint(steps)
        up += max(0.0, error)
        down -= min(0.0, error)
    one[:] = 1
    in_one = True
    for value in values:
        steps = np.rint(abs(value) * scale)
        if steps < len(one):
            if in_one:
                add_block(one, other, np.int64(steps))
            else:
                add_block(other, one, np.int64(steps))
            in_one = not in_one
    counts = one if in_one else other
    fewest = counts[np.int64(np.floor(LEVELS - up))]
    most = counts[np.int64(np.floor(LEVELS + down))]
    rounding = blocks * 2.0**-23
    share = 2.0 ** (1 - blocks)
    return (
        min(1.0, fewest * share * (1 - rounding)),
        min(1.0, most * share * (1 + rounding)),
    )


@compiled
def bound_units(
    values: Float[np.ndarray, "units blocks"],
    lower: Float[np.ndarray, " units"],
    upper: Float[np.ndarray, " units"],
) -> None:
    """`bound_p` of every row of `values`."""
    room = LEVELS + values.shape[1] + 2
    one, other = np.empty(room, np.float32), np.empty(room, np.float32)
    for unit in range(len(values)):
        lower[unit], upper[unit] = bound_p(values[unit], one, other)


def p_bounds(
    values: Float[np.ndarray, "blocks units"], running: Running
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Lower and upper bound of the sign-flip p of every unit, in O(blocks) per unit."""
    rows = np.ascontiguousarray(values.T)
    lower, upper = np.zeros(len(rows)), np.ones(len(rows))
    if len(values) > MAX_BLOCKS:
        return lower, upper
    starts = range(0, len(rows), CHUNK_UNITS)

    def work(chunk: int) -> None:
        part = slice(starts[chunk], starts[chunk] + CHUNK_UNITS)
        bound_units(rows[part], lower[part], upper[part])

    for _ in run_chunks(work, len(starts), running):
        pass
    return lower, upper


def deciding_p(
    values: Float[np.ndarray, "blocks units"], alpha: float, running: Running
) -> Float[np.ndarray, " units"]:
    """p that lead to the same decisions at alpha as the sign-flip p, singly and by false discovery
    rate (Benjamini & Hochberg).

    Where the bounds settle both, p is the upper bound; elsewhere it is `sign_flip_p`.
    """
    lower, upper = p_bounds(values, running)
    # The procedure's cutoff lies between those that it has with all upper and all lower bounds.
    least, most = (alpha * discoveries(p, alpha) / len(p) for p in (upper, lower))
    open_singly = (lower <= alpha) & (upper > alpha)
    open_jointly = (lower <= most * (1 + MARGIN)) & (upper > least * (1 - MARGIN))
    unsettled = np.flatnonzero(open_singly | open_jointly)
    p = upper
    if len(unsettled):
        p[unsettled] = sign_flip_p(values[:, unsettled], running).p
    return p
