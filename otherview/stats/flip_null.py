"""What sign flips give when nothing is there: the counts of units, the largest |t|."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from otherview.stats.fixed_point import FixedPoint
from otherview.stats.paired import t_from_z

MAX_BLOCKS = 36
"""All patterns of more blocks would take days."""

BINS = 8192
"""Bins of the largest |z|, equal in z; a critical t is rounded up to the next edge, < 0.1%."""


@dataclass
class FlipNull:
    """Tallies over sign patterns. Units ascend by |t|. All numbers are integers, so that the
    order in which parts are added plays no role."""

    counts: Int[np.ndarray, "thresholds units+1"]
    """Patterns in which exactly k units pass the threshold."""
    largest: Int[np.ndarray, " bins"]
    """Patterns by their largest |z|, in equal bins from 0 to √N."""
    reached: Int[np.ndarray, " units"]
    """Patterns whose largest |t| over all units is at least this unit's."""
    stepped: Int[np.ndarray, " units"]
    """The same, with the largest over this unit and those of smaller |t| only."""
    patterns: int
    """Patterns tallied: 2^(N-1) if all (a pattern and its mirror image are one)."""

    def __iadd__(self, other: "FlipNull") -> "FlipNull":
        self.counts += other.counts
        self.largest += other.largest
        self.reached += other.reached
        self.stepped += other.stepped
        self.patterns += other.patterns
        return self


def empty_null(units: FixedPoint) -> FlipNull:
    """A tally of no patterns."""
    number = len(units.fine)
    return FlipNull(
        counts=np.zeros((len(units.passing), number + 1), np.int64),
        largest=np.zeros(BINS, np.int64),
        reached=np.zeros(number, np.int64),
        stepped=np.zeros(number, np.int64),
        patterns=0,
    )


def edges_z(blocks: int) -> Float[np.ndarray, " edges"]:
    """Edges of the bins of the largest |z|."""
    return np.linspace(0.0, np.sqrt(blocks), BINS + 1)


def edges_fine(units: FixedPoint) -> Int[np.ndarray, " edges"]:
    """The same edges as fine sums; a sum on an edge belongs to the bin above it."""
    return np.rint(edges_z(units.blocks) * 2.0**units.bits).astype(np.int64) - units.tolerance


@dataclass(frozen=True)
class CountNull:
    """How many units pass a threshold: in the data, and under sign flips."""

    threshold: float
    observed: int
    """Units with |t| > threshold."""
    infinite: int
    """Of these, units without variance: equal non-zero block means, t infinite."""
    null: Int[np.ndarray, " units+1"]
    """Sign patterns in which exactly k units pass, for k = 0 ... units."""
    null_mean: float
    null_sd: float
    null_p99: int
    """Smallest k that at least 99% of the patterns do not exceed."""
    null_p99_interval: tuple[int, int]
    """95% interval of `null_p99` for the patterns that were drawn; both ends equal if all were."""
    p: float
    """Share of the patterns in which as many pass as in the data."""
    false_positives: int
    """With confidence 1-alpha no more than this many of the observed do not differ (Hemerik &
    Goeman 2018): the 1-alpha quantile of the null counts, at most `observed`."""
    true_discoveries: int
    """`observed - false_positives`: with confidence 1-alpha at least this many differ between
    *these* wordings, over items. For this threshold alone; `discovery_bounds` for any set."""

    def summary(self) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        found = {k: v for k, v in vars(self).items() if k not in ("infinite", "null")}
        return found | {"null_p99_interval": list(self.null_p99_interval)}


@dataclass(frozen=True)
class MaxNull:
    """Distribution of the largest |t| over units under sign flips."""

    edges: Float[np.ndarray, " bins+1"]
    """|t| at the bins' edges, ascending; the last is infinite (all block means equal)."""
    counts: Int[np.ndarray, " bins"]
    """Sign patterns whose largest |t| is in the bin."""
    floor: float
    """Below this |t| patterns were not told apart: they are all in the bins below it, counted
    in the first. 0 where every pattern was placed."""


def quantile_count(null: Int[np.ndarray, " k"], share: float) -> int:
    """Smallest k with at least `share` of the patterns at k or below."""
    total = int(null.sum())
    needed = min(total, max(1, int(np.ceil(share * total - 1e-9 * total))))
    return int(np.searchsorted(np.cumsum(null), needed))


def count_null(
    threshold: float,
    null: Int[np.ndarray, " units+1"],
    passing: Bool[np.ndarray, " units"],
    degenerate: Bool[np.ndarray, " units"],
    *,
    exact: bool,
    alpha: float,
) -> CountNull:
    """Sum up a histogram of counts.

    Where patterns were drawn, the data join them as one more (Phipson & Smyth 2010; Hemerik &
    Goeman 2018), which makes `p` and `false_positives` valid at any number of flips.
    """
    observed = int(passing.sum())
    patterns = int(null.sum())
    with_data = null.copy()
    if not exact:
        with_data[observed] += 1
    k = np.arange(len(null), dtype=np.float64)
    mean = float(k @ null) / patterns
    variance = float((k - mean) ** 2 @ null) / patterns
    bound = min(observed, quantile_count(with_data, 1 - alpha))
    p99 = quantile_count(null, 0.99)
    spread = 0.0 if exact else 1.96 * float(np.sqrt(0.99 * 0.01 / patterns))
    return CountNull(
        threshold=threshold,
        observed=observed,
        infinite=int((passing & degenerate).sum()),
        null=null,
        null_mean=mean,
        null_sd=float(np.sqrt(variance)),
        null_p99=p99,
        null_p99_interval=(
            quantile_count(null, 0.99 - spread),
            quantile_count(null, min(1.0, 0.99 + spread)),
        ),
        p=float(with_data[observed:].sum()) / float(with_data.sum()),
        false_positives=bound,
        true_discoveries=observed - bound,
    )


def critical_z(largest: Int[np.ndarray, " bins"], blocks: int, level: float, extra: int) -> float:
    """Smallest edge that some, but at most `level`, of the patterns (and `extra` more that reach
    anything) reach; infinite if there is none."""
    beyond = np.append(np.cumsum(largest[::-1])[::-1], 0)
    allowed = level * (int(largest.sum()) + extra) * (1 + 1e-12)
    fits = np.flatnonzero((beyond + extra <= allowed) & (beyond + extra > 0))
    return float(edges_z(blocks)[fits[0]]) if len(fits) else float(np.inf)


def critical_t(
    largest: Int[np.ndarray, " bins"], blocks: int, alpha: float, *, exact: bool
) -> float:
    """A unit with |t| at or above it has a single-step family-wise p of at most alpha.

    Rounded up to the next bin edge; infinite where no |t| can be that rare.
    """
    z = critical_z(largest, blocks, alpha, 0 if exact else 1)
    return float(t_from_z(z, blocks)) if np.isfinite(z) else z


def share_p(hits: Int[np.ndarray, " units"], patterns: int, exact: bool) -> Any:
    """p of hits among patterns: b/m over all patterns, (b+1)/(m+1) over drawn ones."""
    return hits / patterns if exact else (hits + 1) / (patterns + 1)
