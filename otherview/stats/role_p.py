"""From randomisations to p: of each unit, and over all of them.

p is the share of randomisations with |t| at least the unit's, or twice the share that has the
unit's sign too, whichever is larger: where items respond askew, one side of the null is longer.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.flip_null import MaxNull
from otherview.stats.role_draws import Randomisations
from otherview.stats.role_null import NEAR_SQUARE, Reached, RoleUnits

BINS = 256
"""Of the null of the largest |t|."""


class RoleP(NamedTuple):
    """p of each unit and the null of the largest |t| over units."""

    p: Float[np.ndarray, " units"]
    p_maxt: Float[np.ndarray, " units"]
    critical_t: float
    """Of a unit whose null is as wide as the typical one; others need its width times that."""
    max_null: MaxNull


def p_values(units: RoleUnits, plan: Randomisations, reached: Reached, alpha: float) -> RoleP:
    """Count what `reached` says; (b+1)/(m+1) where randomisations were drawn."""
    rising, falling = reached.rising.max(axis=1), reached.falling.max(axis=1)
    both = np.maximum(rising, falling)
    weights, own, mirrored = reached.weights, reached.own, reached.mirrored
    extra = 0 if plan.exact else 1
    total = int(weights.sum()) + own + mirrored

    def share(any_side: np.ndarray, own_side: np.ndarray) -> Float[np.ndarray, " units"]:
        hits = np.minimum(np.maximum(any_side, 2 * own_side), total)
        return np.asarray((hits + extra) / (total + extra))

    one_side = np.where(
        units.sign > 0,
        weight_from(rising, weights, units.scaled_cutoff),
        weight_from(falling, weights, units.scaled_cutoff),
    )
    any_side = weight_from(both, weights, units.scaled_cutoff) + own + mirrored
    allowed = alpha * (total + extra) * (1 + 1e-12) - extra
    return RoleP(
        share(reached.same + reached.other, reached.same),
        share(any_side, one_side + own),
        max(
            first_t(both, weights, allowed - own - mirrored),
            first_t(rising, weights, allowed / 2 - own),
            first_t(falling, weights, allowed / 2 - own),
        ),
        histogram(both, weights, own + mirrored),
    )


def weight_from(
    values: Float[np.ndarray, " rows"],
    weights: Int[np.ndarray, " rows"],
    cutoffs: Float[np.ndarray, " units"],
) -> Int[np.ndarray, " units"]:
    """Weight of the rows whose value is at least each cutoff."""
    order = np.argsort(values)
    from_here = np.append(np.cumsum(weights[order][::-1])[::-1], 0)
    return np.asarray(from_here[np.searchsorted(values[order], cutoffs)])


def first_t(
    values: Float[np.ndarray, " rows"], weights: Int[np.ndarray, " rows"], allowed: float
) -> float:
    """The smallest |t| that rows of at most the allowed weight reach; infinite if none is."""
    if allowed < 0:
        return float(np.inf)
    square = largest_beyond(values, weights, allowed)
    return float(np.sqrt(max(square, 0.0)) * (1 + NEAR_SQUARE))


def largest_beyond(
    values: Float[np.ndarray, " rows"], weights: Int[np.ndarray, " rows"], allowed: float
) -> Any:
    """The largest value that rows of more than the allowed weight reach; 0 if there is none.

    In the precision of `values`.
    """
    order = np.argsort(-values)
    beyond = np.flatnonzero(np.cumsum(weights[order]) > allowed)
    return values[order][beyond[0]] if len(beyond) else values.dtype.type(0)


def histogram(
    squares: Float[np.ndarray, " rows"], weights: Int[np.ndarray, " rows"], own: int
) -> MaxNull:
    """Largest |t| in equal bins up to its 99.9th percentile; `own` rows are in the last."""
    largest = np.sqrt(squares.astype(np.float64))
    top = float(np.quantile(largest, 0.999)) if len(largest) else 0.0
    edges = np.append(np.linspace(0.0, top if top > 0 else 1.0, BINS), np.inf)
    place = np.searchsorted(edges, largest, side="right") - 1
    counts = np.bincount(place, weights=weights, minlength=BINS).astype(np.int64)
    counts[-1] += own
    return MaxNull(edges, counts, 0.0)
