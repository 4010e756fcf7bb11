"""Do several maps over the same units agree?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from otherview.stats.inputs import real_array

ROWS = 512
"""Maps whose correlations with all others are held at once."""


@dataclass(frozen=True)
class PairCorrelations:
    """Correlations of all pairs of maps; NaN where a map has no variance."""

    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class MapAgreement:
    """What `map_agreement` found."""

    pearson: PairCorrelations
    spearman: PairCorrelations
    maps: int
    pairs: int
    units: int
    """Units that are finite in every map; the others are left out."""


def map_agreement(maps: ArrayLike) -> MapAgreement:
    """Pearson's and Spearman's correlation over units, of every pair of maps.

    `maps` is `[maps, units]`, such as the t of every unit under each of several seeds. Ranks of
    equal values are averaged. Units are correlated with each other, so a correlation over units
    has no p value here. Memory grows with maps, not with their pairs.

    Raises ValueError on a wrong shape, fewer than two maps, and fewer than two units that are
    finite in all.
    """
    from scipy.stats import rankdata

    array = real_array(maps, "maps", finite=False)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"maps has shape {array.shape}; give [maps, units], two maps or more")
    array = array[:, np.isfinite(array).all(axis=0)]
    if array.shape[1] < 2:
        raise ValueError(
            f"maps has {array.shape[1]} units that are finite in all {len(array)} maps; a "
            "correlation needs two"
        )
    return MapAgreement(
        pearson=correlate_pairs(array),
        spearman=correlate_pairs(rankdata(array, axis=1)),
        maps=len(array),
        pairs=len(array) * (len(array) - 1) // 2,
        units=array.shape[1],
    )


def correlate_pairs(array: Float[np.ndarray, "maps units"]) -> PairCorrelations:
    """Mean, lowest and highest Pearson correlation of all pairs of rows."""
    if (np.ptp(array, axis=1) == 0).any():
        return PairCorrelations(np.nan, np.nan, np.nan)
    unit = array / np.abs(array).max(axis=1, keepdims=True)
    unit -= unit.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    total, lowest, highest = 0.0, np.inf, -np.inf
    for start in range(0, len(unit), ROWS):
        rows, later = unit[start : start + ROWS], unit[start + ROWS :]
        among = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
        for correlations in (among, rows @ later.T):
            if correlations.size:
                total += float(correlations.sum())
                lowest = min(lowest, float(correlations.min()))
                highest = max(highest, float(correlations.max()))
    mean = total / (len(unit) * (len(unit) - 1) // 2)
    return PairCorrelations(
        *(float(np.clip(value, -1.0, 1.0)) for value in (mean, lowest, highest))
    )
