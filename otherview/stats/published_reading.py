"""The reading of the published study, as its card describes it.

It counts units with |t| above a threshold and holds the count against the counts under random sign
flips of whole pairs. Kept as it is for comparison; docs/statistics.md says what it cannot show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from otherview.stats.inputs import real_array


@dataclass(frozen=True)
class PublishedCount:
    """Units with |t| above one threshold."""

    threshold: float
    observed: int
    null_mean: float
    null_p99: float
    null: Int[np.ndarray, " flips"]
    """Count under every flip."""

    @property
    def ratio(self) -> float | None:
        """Observed over the null's 99th percentile; None where that is 0."""
        return self.observed / self.null_p99 if self.null_p99 > 0 else None


@dataclass(frozen=True)
class PublishedReading:
    """t of every unit and the counts under random sign flips."""

    t: Float[np.ndarray, " units"]
    """Paired t; NaN where a unit is degenerate."""
    degenerate: Bool[np.ndarray, " units"]
    """Units whose differences have no variance: they have no t and count in no null."""
    counts: tuple[PublishedCount, ...]
    max_null: Float[np.ndarray, " flips"]
    """Largest |t| over units under every flip."""
    flips: int
    seed: int

    @property
    def max_abs_t(self) -> float | None:
        """Largest |t|; None where every unit is degenerate."""
        return None if self.degenerate.all() else float(np.nanmax(np.abs(self.t)))

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units."""
        summary: dict[str, Any] = {"flips": self.flips, "seed": self.seed}
        summary["counts"] = [
            {
                "threshold": count.threshold,
                "observed": count.observed,
                "share": count.observed / len(addresses),
                "null_mean": count.null_mean,
                "null_p99": count.null_p99,
            }
            | ({} if count.ratio is None else {"ratio": count.ratio})
            for count in self.counts
        ]
        return summary | ({} if self.max_abs_t is None else {"max_abs_t": self.max_abs_t})


def published_reading(
    differences: ArrayLike,
    *,
    thresholds: Sequence[float] = (3.0, 5.0),
    flips: int = 200,
    seed: int = 0,
) -> PublishedReading:
    """Paired t of every unit, and how many units pass under random sign flips of whole pairs.

    t = mean(d) / (std(d) / sqrt(N)) with the sample standard deviation (ddof 1). The sum of squares
    of a unit's differences does not change under flips, so each t follows from one sum of signed
    differences. Raises ValueError for fewer than two pairs and for NaN or infinity.
    """
    values = real_array(differences, "differences")
    if values.ndim != 2 or values.shape[0] < 2:
        raise ValueError(
            f"differences has shape {values.shape}; give [pairs, units], two pairs or more"
        )
    pairs = values.shape[0]
    degenerate = np.ptp(values, axis=0) == 0
    varied = values[:, ~degenerate]
    # Scaled by the largest difference, so that squares neither overflow nor vanish.
    varied = varied / np.abs(varied).max(axis=0, initial=0.0)
    squares = (varied**2).sum(axis=0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(flips, pairs))
    null_t = np.abs(t_of_flips(signs @ varied, squares, pairs))
    t = np.full(values.shape[1], np.nan)
    t[~degenerate] = t_of_flips(varied.sum(axis=0), squares, pairs)
    observed = np.abs(t[~degenerate])
    counts = []
    for threshold in thresholds:
        null = (null_t > threshold).sum(axis=1)
        counts.append(
            PublishedCount(
                threshold,
                int((observed > threshold).sum()),
                float(null.mean()),
                float(np.percentile(null, 99)),
                null,
            )
        )
    max_null = null_t.max(axis=1, initial=0.0)
    return PublishedReading(t, degenerate, tuple(counts), max_null, flips, seed)


def t_of_flips(
    sums: Float[np.ndarray, "*flips units"], squares: Float[np.ndarray, " units"], pairs: int
) -> Float[np.ndarray, "*flips units"]:
    """Return t from the sum and the sum of squares of N differences; infinite if all are equal."""
    variance = np.maximum(squares - sums**2 / pairs, 0.0) / (pairs - 1)
    with np.errstate(divide="ignore"):
        return np.asarray(sums / pairs / np.sqrt(variance / pairs))
