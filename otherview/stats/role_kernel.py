"""The inner loop of the role test."""

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.kernels import compiled

SMALLEST = np.float32(1e-30)
"""Keeps 0/0 a zero; far below the variance of a unit whose largest value is about 1."""


@compiled
def moments(
    total: Float[np.ndarray, "rows units"], squares: Float[np.ndarray, "rows units"], drawn: int
) -> None:
    """Turn sums of `drawn` numbers and of their squares into the mean and its squared error."""
    share = np.float32(1 / drawn)
    free = np.float32(1 / max(1, drawn - 1))
    zero = np.float32(0)
    for row in range(total.shape[0]):
        for unit in range(total.shape[1]):
            mean = total[row, unit] * share
            total[row, unit] = mean
            squares[row, unit] = max(squares[row, unit] * share - mean * mean, zero) * free


@compiled
def signed_squares(
    mean: Float[np.ndarray, "rows units"],
    variance: Float[np.ndarray, "rows units"],
    difference: Float[np.ndarray, "rows units"],
    error: Float[np.ndarray, "rows|1 units"],
    shrunk: float,
    scale: Float[np.ndarray, " units"],
    weights: Int[np.ndarray, " rows"],
    cutoff: Float[np.ndarray, " units"],
    sign: Float[np.ndarray, " units"],
    same: Int[np.ndarray, " units"],
    other: Int[np.ndarray, " units"],
) -> None:
    """Turn `difference` into `scale` t² with the sign of t; count rows that reach each cutoff.

    t = (`mean` of what is drawn + difference) / √(its `variance` + what wordings add), which is
    `error` - `shrunk` difference², one row of `error` or one for all. A row counts `weights`
    times: in `same` where its t has the unit's own sign, in `other` where it has not. The loop
    over units compiles to vector instructions.
    """
    zero = np.float32(0)
    shrunk_32 = np.float32(shrunk)
    step = 1 if error.shape[0] > 1 else 0
    for row in range(difference.shape[0]):
        weight = weights[row]
        for unit in range(difference.shape[1]):
            of_wordings = difference[row, unit]
            added = max(error[row * step, unit] - shrunk_32 * of_wordings * of_wordings, zero)
            t = mean[row, unit] + of_wordings
            square = scale[unit] * t * abs(t) / (variance[row, unit] + added + SMALLEST)
            difference[row, unit] = square
            own = square * sign[unit]
            same[unit] += weight if own >= cutoff[unit] else 0
            other[unit] += weight if -own >= cutoff[unit] else 0


@compiled
def tally_bins(
    bits: Int[np.ndarray, "rows units"],
    weights: Int[np.ndarray, " rows"],
    lowest: int,
    counts: Int[np.ndarray, "units bins"],
) -> None:
    """Add each row's weight to the bin that holds its number, given as the bits of 32-bit floats.

    Sign apart, the leading 12 bits of a float are its bin, counted from `lowest`: 8 per octave.
    """
    last = counts.shape[1] - 1
    for row in range(bits.shape[0]):
        for unit in range(bits.shape[1]):
            place = ((bits[row, unit] & 0x7FFFFFFF) >> 20) - lowest
            counts[unit, min(max(place, 0), last)] += weights[row]
