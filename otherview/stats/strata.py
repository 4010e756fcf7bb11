"""Does the effect differ between groups of items?"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from otherview.stats.columns import PROBABILITY, STRONGEST_UNITS, Column, UnitResult
from otherview.stats.inputs import check_settings, real_array
from otherview.stats.paired import NEAR_TIE
from otherview.stats.permutation_null import (
    DRAWN,
    batches,
    drawn_permutations,
    permutation_null,
    unit_columns,
)

MAX_DEALS = 20_000
"""Up to this many ways to deal the labels all are taken; above, 10,000 are drawn."""


@dataclass(frozen=True)
class StrataResult(UnitResult):
    """What `strata_test` found; arrays have one entry per unit."""

    strata: tuple[str, ...]
    """Names of the strata, in the order in which they first occur."""
    sizes: tuple[int, ...]
    """Items of every stratum."""
    means: Float[np.ndarray, "strata units"]
    """Mean difference of the items of every stratum."""
    share: Float[np.ndarray, " units"]
    """Share of the variance between items that lies between strata (eta²); 0 without variance."""
    p: Float[np.ndarray, " units"]
    """Permutation p of each unit by itself."""
    p_max: Float[np.ndarray, " units"]
    """The same, family-wise over units (largest share, single step)."""
    exact: bool
    n_permutations: int
    alpha: float
    seed: int

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("strata_share", "share of the variance between items that lies between strata",
               of="share"),
        Column("strata_p", "permutation p that the effect of this unit differs between strata",
               PROBABILITY, of="p"),
        Column("strata_p_max", "the same p, corrected for all units", PROBABILITY, of="p_max"),
    )  # fmt: skip

    @property
    def differs(self) -> Bool[np.ndarray, " units"]:
        """Family-wise at alpha."""
        return self.p_max <= self.alpha

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`, with the means of the units that differ most."""
        order = np.argsort(-self.share, kind="stable")[:STRONGEST_UNITS]
        return {
            "strata": dict(zip(self.strata, self.sizes, strict=True)),
            "familywise": int(self.differs.sum()),
            "smallest_p_max": float(self.p_max.min()),
            "permutations": self.n_permutations,
            "exact": self.exact,
            "units": [
                {
                    "unit": addresses[place],
                    "share": float(self.share[place]),
                    "p": float(self.p_max[place]),
                    "means": dict(zip(self.strata, self.means[:, place].tolist(), strict=True)),
                }
                for place in order
            ],
        }


def strata_test(
    differences: ArrayLike, strata: ArrayLike, *, alpha: float = 0.05, seed: int = 0
) -> StrataResult:
    """Test each unit for a difference of effect between strata of items.

    `differences` is `[items, units]`, `strata` `[items]` names the stratum of each item. The
    statistic is the share of the variance between items that lies between strata, which orders
    permutations as the F of a one-way analysis of variance does; its null deals the labels again,
    in all ways where these are at most 20,000, else in 10,000 random ones with p = (b+1)/(m+1)
    (Anderson 2001). Assumes that items are exchangeable if strata do not differ; a mean effect,
    however large, is none of its business.

    Raises ValueError on wrong shapes, NaN, fewer than two strata, and strata of one item each.
    """
    check_settings(alpha, seed)
    values = real_array(differences, "differences")
    if values.ndim != 2:
        raise ValueError(f"differences has shape {values.shape}; give [items, units]")
    names, labels = numbered(strata, len(values))
    vectors = unit_columns(values)
    sizes = np.bincount(labels)

    def shares(rows: Int[np.ndarray, "rows items"]) -> Float[np.ndarray, "rows units"]:
        total = np.zeros((len(rows), vectors.shape[1]))
        for stratum, size in enumerate(sizes):
            total += ((rows == stratum) @ vectors) ** 2 / size
        return total

    observed = shares(labels[None])[0]
    dealt, exact = deals(labels, sizes, seed)
    null = permutation_null(dealt, shares, observed - NEAR_TIE, exact=exact)
    means = np.stack([values[labels == stratum].mean(axis=0) for stratum in range(len(sizes))])
    return StrataResult(
        names,
        tuple(sizes.tolist()),
        means,
        observed,
        null.p,
        null.p_max,
        exact,
        null.number,
        alpha,
        seed,
    )


def numbered(strata: ArrayLike, items: int) -> tuple[tuple[str, ...], Int[np.ndarray, " items"]]:
    """Return the names of the strata, and the place of each item's. Raises ValueError."""
    names = [str(name) for name in np.asarray(strata).ravel()]
    if len(names) != items:
        raise ValueError(f"strata holds {len(names)} names for {items} items; give one each")
    known = tuple(dict.fromkeys(names))
    if len(known) < 2:
        raise ValueError(f"strata has only {known[0]!r}; give two or more")
    if len(known) == items:
        raise ValueError("strata has one item in each stratum; one must have two or more")
    return known, np.array([known.index(name) for name in names])


def deals(
    labels: Int[np.ndarray, " items"], sizes: Int[np.ndarray, " strata"], seed: int
) -> tuple[Iterator[Int[np.ndarray, "rows items"]], bool]:
    """Return batches of dealt labels, and whether they are all there are."""
    number = math.factorial(len(labels)) // math.prod(math.factorial(size) for size in sizes)
    if number <= MAX_DEALS:
        return batches(all_deals(tuple(sizes.tolist()), len(labels))), True
    return drawn_permutations(labels, DRAWN, seed), False


def all_deals(sizes: tuple[int, ...], items: int) -> Iterator[Int[np.ndarray, " items"]]:
    """Yield every way to give `items` labels of these numbers."""

    def deal(stratum: int, free: tuple[int, ...], row: Int[np.ndarray, " items"]) -> Any:
        if stratum == len(sizes) - 1:
            done = row.copy()
            done[list(free)] = stratum
            yield done
            return
        for chosen in itertools.combinations(free, sizes[stratum]):
            dealt = row.copy()
            dealt[list(chosen)] = stratum
            yield from deal(stratum + 1, tuple(f for f in free if f not in chosen), dealt)

    yield from deal(0, tuple(range(items)), np.zeros(items, np.int64))
