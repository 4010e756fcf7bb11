"""Does the effect grow along a graded axis?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress
from otherview.stats.columns import PROBABILITY, Column
from otherview.stats.paired import block_means, check_alpha, check_finite, column_sum
from otherview.stats.relabelling import (
    centred_unit,
    correlations,
    relabel,
    t_of_correlation,
)
from otherview.stats.sign_flip import Flips, check_flips, check_seed


@dataclass(frozen=True)
class TrendResult:
    """What `trend` found; arrays have one entry a unit."""

    slope: Float[np.ndarray, " units"]
    """Least-squares change of the block's mean difference for one step of the dose."""
    correlation: Float[np.ndarray, " units"]
    """Pearson's r of block mean and dose; 0 where `degenerate`."""
    t: Float[np.ndarray, " units"]
    """t of the slope, `n_blocks` - 2 degrees of freedom; NaN where `degenerate`."""
    p: Float[np.ndarray, " units"]
    """Two-sided permutation p."""
    p_maxt: Float[np.ndarray, " units"]
    """The same, family-wise over units (single step)."""
    degenerate: Bool[np.ndarray, " units"]
    """All block means equal: no slope to test, p is 1."""
    exact: bool
    n_permutations: int
    n_blocks: int
    smallest_p: float
    alpha: float
    seed: int

    @property
    def significant(self) -> Bool[np.ndarray, " units"]:
        """Family-wise at alpha."""
        return self.p_maxt <= self.alpha

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("trend_slope", "least-squares change of the difference along the axis",
               "response per step of the axis"),
        Column("trend_p", "two-sided permutation p of the trend of this unit alone", PROBABILITY),
        Column("trend_p_maxt", "p of a linear trend along the axis, corrected for all units",
               PROBABILITY, "trend p"),
    )  # fmt: skip

    def columns(self) -> dict[str, np.ndarray]:
        """By name of COLUMNS: one value per unit."""
        return {"trend_slope": self.slope, "trend_p": self.p, "trend_p_maxt": self.p_maxt}

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        return {
            "permutations": self.n_permutations,
            "exact": self.exact,
            "familywise": int(self.significant.sum()),
            "smallest_p_maxt": float(self.p_maxt.min()),
        }


def trend(
    differences: ArrayLike,
    dose: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    flips: Flips = "auto",
    alpha: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrendResult:
    """Test each unit for a linear trend of the block means along `dose`, by permuting the dose.

    `differences` is `[pairs, units]`; `dose` `[pairs]` holds a number a pair (the place of its
    block on the graded axis), the same within a block; `blocks` `[pairs]` as in
    `sign_flip_test`. Up to 200,000 permutations (8 blocks) all are taken; above, 20,000 are
    drawn, or as many as `flips` says. Assumes that with no trend the block means are
    exchangeable; a mean effect, however large, is none of the test's business.

    Raises ValueError on wrong shapes, NaN, a dose that varies within a block or not at all, and
    fewer than three blocks.
    """
    check_alpha(alpha)
    check_flips(flips)
    check_seed(seed)
    reduced = block_means(differences, blocks)
    doses = block_doses(np.asarray(dose), reduced.block_of_pair, reduced.labels)
    n_blocks = len(doses)
    vectors = centred_unit(reduced.values)
    correlation = correlations(doses, vectors)
    degenerate = np.asarray(~vectors.any(axis=0))
    null = relabel(doses, vectors, flips, seed, progress=progress)
    centred = reduced.values - column_sum(reduced.values) / n_blocks
    spread = np.sqrt(column_sum(centred**2)) / np.sqrt(np.sum((doses - doses.mean()) ** 2))
    t = t_of_correlation(correlation, n_blocks)
    t[degenerate] = np.nan
    total = math.factorial(n_blocks)
    return TrendResult(
        slope=np.ldexp(correlation * spread, reduced.exponent),
        correlation=correlation,
        t=t,
        p=null.p,
        p_maxt=null.p_maxt,
        degenerate=degenerate,
        exact=null.exact,
        n_permutations=null.relabellings,
        n_blocks=n_blocks,
        smallest_p=1 / total if null.exact else 1 / (null.relabellings + 1),
        alpha=alpha,
        seed=seed,
    )


def block_doses(dose: np.ndarray, block_of_pair: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One dose a block. Raises ValueError where there is none to use."""
    if dose.shape != block_of_pair.shape:
        raise ValueError(
            f"dose has shape {dose.shape}; give one number for each of the "
            f"{len(block_of_pair)} pairs"
        )
    check_finite(dose, "dose")
    if len(labels) < 3:
        raise ValueError(f"differences hold {len(labels)} blocks; a trend needs three or more")
    first = np.zeros(len(labels), dtype=np.float64)
    first[block_of_pair[::-1]] = dose[::-1]
    varies = np.flatnonzero(first[block_of_pair] != dose)
    if len(varies):
        place = int(varies[0])
        block = block_of_pair[place]
        raise ValueError(
            f"dose[{place}] is {dose[place]} in block {labels[block]}, which began with "
            f"{first[block]}; give a block one dose"
        )
    if np.ptp(first) == 0:
        raise ValueError(f"dose is {first[0]} in every block; a trend needs two or more values")
    return first
