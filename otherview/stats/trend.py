"""Does the effect grow along a graded axis?"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.inputs import check_settings, real_array
from otherview.stats.paired import NEAR_TIE, block_means, column_sum
from otherview.stats.permutation_null import (
    DRAWN,
    batches,
    drawn_permutations,
    permutation_null,
    unit_columns,
)
from otherview.stats.sign_flip import Flips

MAX_ORDERS = 200_000
"""Up to this many orders all are taken."""

NEAR_CORRELATION = 2.0**-40
"""Correlations closer than this tie."""


@dataclass(frozen=True)
class TrendResult(UnitResult):
    """What `trend` found; arrays have one entry per unit."""

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
               "response per step of the axis", of="slope"),
        Column("trend_p", "two-sided permutation p of the trend of this unit alone", PROBABILITY,
               of="p"),
        Column("trend_p_maxt", "p of a linear trend along the axis, corrected for all units",
               PROBABILITY, "trend p", "p_maxt"),
    )  # fmt: skip

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
) -> TrendResult:
    """Test each unit for a linear trend of the block means along `dose`, by permuting the dose.

    `differences` is `[pairs, units]`; `dose` `[pairs]` holds one number per pair (the place of its
    block on the graded axis), the same within a block; `blocks` `[pairs]` as in
    `sign_flip_test`. Up to 200,000 permutations (8 blocks) all are taken; above, 10,000 are
    drawn, or as many as `flips` says. Assumes that with no trend the block means are
    exchangeable; a mean effect, however large, is none of the test's business.

    Raises ValueError on wrong shapes, NaN, a dose that varies within a block or not at all, and
    fewer than three blocks.
    """
    check_settings(alpha, seed, flips)
    reduced = block_means(differences, blocks)
    doses = block_doses(real_array(dose, "dose"), reduced.block_of_pair, reduced.labels)
    n_blocks = len(doses)
    steps, step = steps_of(doses)
    vectors = unit_columns(reduced.values)
    axis = unit_columns(steps[:, None])
    correlation = column_sum(vectors * axis)
    degenerate = np.asarray(~vectors.any(axis=0))
    orders, exact = dose_orders(axis[:, 0], flips, seed)
    null = permutation_null(
        orders,
        lambda rows: np.abs(rows @ vectors),
        np.abs(correlation) - NEAR_CORRELATION,
        exact=exact,
    )
    centred = reduced.values - column_sum(reduced.values) / n_blocks
    spread = np.sqrt(column_sum(centred**2) / np.sum((steps - steps.mean()) ** 2))
    t = t_of_correlation(correlation, n_blocks)
    t[degenerate] = np.nan
    return TrendResult(
        slope=np.ldexp(correlation * spread / step[0], reduced.exponent - step[1]),
        correlation=correlation,
        t=t,
        p=null.p,
        p_maxt=null.p_max,
        degenerate=degenerate,
        exact=exact,
        n_permutations=null.number,
        n_blocks=n_blocks,
        smallest_p=1 / (null.number + (not exact)),
        alpha=alpha,
        seed=seed,
    )


def dose_orders(
    doses: Float[np.ndarray, " n"], flips: str | int, seed: int
) -> tuple[Iterator[Float[np.ndarray, "rows n"]], bool]:
    """Batches of orders of the doses, and whether they are all n! of them.

    Raises ValueError where all are asked for and are too many.
    """
    number = math.factorial(len(doses))
    if flips == "exact" and number > 10 * MAX_ORDERS:
        raise ValueError(f'flips is "exact" with {number:,} orders; give "auto" or a number')
    if flips == "exact" or number <= MAX_ORDERS:
        return batches(map(np.array, itertools.permutations(doses))), True
    wanted = DRAWN if isinstance(flips, str) else int(flips)
    return drawn_permutations(doses, wanted, seed), False


def steps_of(
    doses: Float[np.ndarray, " blocks"],
) -> tuple[Float[np.ndarray, " blocks"], tuple[float, int]]:
    """Doses from 0 to 1, and what 1 is in the doses' own unit, as (fraction, power of two).

    The lowest is taken away first: doses of 1e15 + i are as good as doses of i.
    """
    exponent = int(np.frexp(np.abs(doses).max())[1])
    scaled = np.ldexp(doses, -exponent)
    above = scaled - scaled.min()
    return above / above.max(), (float(above.max()), exponent)


def t_of_correlation(
    correlation: Float[np.ndarray, " units"], blocks: int
) -> Float[np.ndarray, " units"]:
    """t = r √((n-2)/(1-r²)); infinite at |r| = 1."""
    rest = 1 - correlation**2
    t = correlation * np.sqrt((blocks - 2) / np.maximum(rest, NEAR_TIE))
    return np.asarray(np.where(rest > NEAR_TIE, t, np.copysign(np.inf, correlation)))


def block_doses(dose: np.ndarray, block_of_pair: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One dose per block. Raises ValueError where there is none to use."""
    if dose.shape != block_of_pair.shape:
        raise ValueError(
            f"dose has shape {dose.shape}; give one number for each of the "
            f"{len(block_of_pair)} pairs"
        )
    if len(labels) < 3:
        raise ValueError(f"differences hold {len(labels)} blocks; a trend needs three or more")
    first = np.zeros(len(labels))
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
