"""Units as integers on one scale, so that comparing sums under flips is exact."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.paired import NEAR_TIE, column_sum, z_from_t


class FixedPoint(NamedTuple):
    """u = d/√Σd² of every unit, in integers; z under a flip is |Σ ±u|, at most √N.

    A sum is about 2^-57 off. What adds them coarsely sums again those that lie closer to a cutoff
    than its error, so that no flip falls on the wrong side.
    """

    fine: Int[np.ndarray, "units blocks"]
    bits: int
    """u = fine / 2^bits."""
    observed: Int[np.ndarray, " units"]
    """|Σ fine|: z of the data."""
    tolerance: int
    """Sums closer than this tie (2^-45 of the largest possible)."""
    passing: Int[np.ndarray, " thresholds"]
    """|t| > threshold when the fine sum is greater than this (near-ties do not pass).

    A sum that ties with √N, the largest possible, has an infinite t and passes them all.
    """

    @property
    def blocks(self) -> int:
        return int(self.fine.shape[1])

    @property
    def reach(self) -> Int[np.ndarray, " units"]:
        """A flip reaches a unit's |t| when its fine sum is at least this (near-ties reach)."""
        return np.asarray(self.observed - self.tolerance)

    def take(self, units: Int[np.ndarray, " k"]) -> "FixedPoint":
        """The given units alone, in the given order."""
        return self._replace(
            fine=np.ascontiguousarray(self.fine[units]), observed=self.observed[units]
        )


def fixed_point(
    values: Float[np.ndarray, "blocks units"], thresholds: tuple[float, ...] = ()
) -> FixedPoint:
    """Block means as integers. A unit of zeros stays zero and never passes a threshold."""
    blocks = len(values)
    norm = np.sqrt(column_sum(values**2))
    bits = 60 - int(np.ceil(0.5 * np.log2(blocks)))
    unit_vectors = np.divide(values, norm, out=np.zeros_like(values), where=norm > 0)
    fine = np.ascontiguousarray(np.rint(unit_vectors * 2.0**bits).astype(np.int64).T)
    tolerance = max(blocks, int(np.ceil(NEAR_TIE * np.sqrt(blocks) * 2.0**bits)))
    cutoffs = z_from_t(np.array(thresholds, dtype=np.float64), blocks)
    whole = np.rint(cutoffs * 2.0**bits).astype(np.int64) + tolerance
    infinite = np.int64(np.floor(np.sqrt(blocks) * 2.0**bits)) - tolerance
    passing = np.minimum(whole, infinite - 1)
    return FixedPoint(fine, bits, np.abs(fine.sum(axis=1)), tolerance, passing)
