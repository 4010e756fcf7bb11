"""The sign-flip test of many units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, Running
from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.corrections import benjamini_hochberg, benjamini_yekutieli, holm
from otherview.stats.flip_null import MAX_BLOCKS, CountNull, MaxNull
from otherview.stats.inputs import check_settings
from otherview.stats.paired import block_means, effects, hedges_g

Flips = Literal["auto", "exact"] | int


@dataclass(frozen=True)
class SignFlipResult(UnitResult):
    """What `sign_flip_test` found. Arrays have one entry per unit, in the order given.

    All of it is computed on block means: `t` has `n_blocks` - 1 degrees of freedom.
    """

    mean: Float[np.ndarray, " units"]
    """Mean over blocks of the mean difference."""
    t: Float[np.ndarray, " units"]
    """Student's t of the block means; NaN or infinite where `degenerate`."""
    p: Float[np.ndarray, " units"]
    """Two-sided sign-flip p: share of the flips with |t| at least that of the data."""
    p_strict: Float[np.ndarray, " units"]
    """Share of the flips with |t| above that of the data. Less than `p` by more than
    `2**(1 - n_blocks)` only where ties or near-ties decided something."""
    p_method: Shaped[np.ndarray, " units"]
    """How `p` was computed: "meet in the middle", "convolution" (both exact), "saddlepoint"."""
    p_maxt: Float[np.ndarray, " units"]
    """Family-wise p, single step: share of the flips whose largest |t| reaches this unit's."""
    p_stepdown: Float[np.ndarray, " units"]
    """Family-wise p, step down (Westfall & Young 1993, algorithm 2.8)."""
    p_maxt_exact: Bool[np.ndarray, " units"]
    p_stepdown_exact: Bool[np.ndarray, " units"]
    """Where `p_maxt` and `p_stepdown` count all flips; elsewhere they are Monte Carlo. If `exact`,
    those that are Monte Carlo are all above alpha whatever the seed."""
    p_holm: Float[np.ndarray, " units"]
    q_bh: Float[np.ndarray, " units"]
    q_by: Float[np.ndarray, " units"]
    dz: Float[np.ndarray, " units"]
    """Mean / SD of the block means; not finite where `degenerate`."""
    g: Float[np.ndarray, " units"]
    """Hedges' g: `dz` without its small-sample bias. NaN where degenerate or with two blocks."""
    g_interval: Float[np.ndarray, "units 2"]
    """1-alpha interval of the effect size that `g` estimates, from the noncentral t; NaN where
    `g` is."""
    degenerate: Bool[np.ndarray, " units"]
    """All block means equal. All zero: t is NaN, p is 1, no threshold is passed. Equal and not
    zero: t is infinite, p is exact, every threshold is passed (`counts[c].infinite`)."""
    counts: dict[float, CountNull]
    """For each threshold, the number of units beyond it and its null."""
    max_null: MaxNull
    """Null distribution of the largest |t|."""
    critical_t: float
    """|t| of family-wise p = alpha (single step); infinite where no |t| is that rare."""
    exact: bool
    """Whether counts, critical t and the tail of `max_null` are over all sign patterns."""
    n_flips: int
    """Sign patterns behind them (a pattern and its mirror image are one if `exact`)."""
    n_pairs: int
    n_blocks: int
    smallest_p: float
    """The smallest p that this number of blocks can give: 2^(1-blocks), 0 where that underflows."""
    thresholds: tuple[float, ...]
    alpha: float
    seed: int
    methods: dict[str, str]
    """In words: "statistic", "p" (of each unit) and "null" (over units)."""
    versions: dict[str, str]
    """Of the libraries that computed it."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("degenerate", "all differences are equal: no variance, no t"),
        Column("t", "paired t over items", heading="t"),
        Column("p", "two-sided sign-flip p of this unit alone", PROBABILITY, "p"),
        Column("p_strict", "share of the sign flips with a strictly larger |t|", PROBABILITY),
        Column("p_method", "how p was computed"),
        Column("p_maxt", "family-wise p, single-step largest |t|", PROBABILITY),
        Column(
            "p_stepdown",
            "p corrected for all units, step-down largest |t|",
            PROBABILITY,
            "family-wise p",
        ),
        Column("p_holm", "family-wise p after Holm", PROBABILITY),
        Column("q_bh", "false discovery rate after Benjamini and Hochberg", PROBABILITY),
        Column("q_by", "false discovery rate after Benjamini and Yekutieli", PROBABILITY),
        Column("dz", "mean difference over its standard deviation", "SD"),
        Column("g", "effect size, Hedges’ g; positive: larger under test", "SD", "g"),
        Column(
            "g_low",
            "lower end of the interval of the effect size at the study’s level",
            "SD",
            "g, low",
        ),
        Column(
            "g_high",
            "upper end of the interval of the effect size at the study’s level",
            "SD",
            "g, high",
        ),
        Column("familywise", "family-wise p is at most the study’s level", heading="differs"),
    )

    @property
    def g_low(self) -> Float[np.ndarray, " units"]:
        return self.g_interval[:, 0]

    @property
    def g_high(self) -> Float[np.ndarray, " units"]:
        return self.g_interval[:, 1]

    @property
    def familywise(self) -> Bool[np.ndarray, " units"]:
        """Step down at alpha."""
        return np.asarray(self.p_stepdown <= self.alpha)

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """How the test was done, and how many units it finds; docs/result.md."""
        summary: dict[str, Any] = {
            "exact": self.exact,
            "patterns": self.n_flips,
            "method": self.methods["null"],
            "blocks": self.n_blocks,
            "alpha": self.alpha,
            "smallest_p": self.smallest_p,
            "note": flip_note(self.n_blocks, self.n_flips, self.alpha, exact=self.exact),
            "familywise": int(self.familywise.sum()),
            "familywise_single_step": int((self.p_maxt <= self.alpha).sum()),
            "false_discovery": int((self.q_bh <= self.alpha).sum()),
            "counts": [count.summary() for count in self.counts.values()],
        }
        return summary | ({"critical_t": self.critical_t} if np.isfinite(self.critical_t) else {})


def sign_flip_test(
    differences: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    thresholds: tuple[float, ...] = (3.0, 5.0),
    flips: Flips = "auto",
    alpha: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SignFlipResult:
    """Test each unit's mean difference against zero by flipping the signs of whole blocks.

    `differences` is `[pairs, units]`, response(test) - response(control), any real dtype.
    `blocks` `[pairs]` labels pairs that must flip together, in any order, in blocks of any
    size; without it each pair is a block. Every block is first reduced to its mean, so blocks
    weigh equally and replicates add no degrees of freedom; the test is exact if the vector of a
    block's differences is as likely as its negative when nothing is there. It generalises over
    blocks (items) and not over what all blocks share: it says that units differ between *these*
    wordings.

    `flips` concerns the nulls over units (counts, largest |t|): "exact" takes all 2^(blocks-1)
    sign patterns, a number draws that many (or takes all, if there are no more), "auto" takes
    all where at most `AUTO_SECONDS` of one core are predicted and otherwise draws until the p99
    of each count and the critical t have standard errors of 2%. The p of each unit is computed
    apart, exactly for up to 40 blocks whatever `flips` says.

    The result does not depend on `threads` (None: all cores) nor on the order of the units.
    `progress(done, total)` is called between chunks of each part of the work.

    Raises ValueError naming the first NaN or infinity, on wrong shapes, on fewer than two
    blocks, and on "exact" with more than 36 blocks.

    Sources: Winkler et al. 2014 (exchangeability blocks), Westfall & Young 1993 (max-T),
    Phipson & Smyth 2010 (p of drawn flips), Hemerik & Goeman 2018 (true discoveries).
    """
    check_settings(alpha, seed, flips)
    levels = check_thresholds(thresholds)
    reduced = block_means(differences, blocks)
    check_affordable(flips, len(reduced.labels))
    running = Running(threads, progress)

    # numba and the kernels are imported here to keep `import otherview.stats` quick.
    from otherview.stats.fixed_point import fixed_point
    from otherview.stats.flip_null import count_null
    from otherview.stats.flip_plan import sign_flip_null
    from otherview.stats.sign_flip_p import sign_flip_p

    values = reduced.values
    n_blocks = len(values)
    found = effects(values)
    unit_p = sign_flip_p(values, running)
    g, g_interval = hedges_g(found.dz, n_blocks, 1 - alpha)

    points = fixed_point(values, levels)
    order = np.argsort(points.observed, kind="stable")
    null = sign_flip_null(points.take(order), flips, alpha, seed, running)
    place = np.argsort(order)
    passes = points.observed > points.passing[:, None]
    counts = {
        level: count_null(level, histogram, passed, found.degenerate, exact=null.exact, alpha=alpha)
        for level, histogram, passed in zip(levels, null.counts, passes, strict=True)
    }
    return SignFlipResult(
        mean=np.ldexp(found.mean, reduced.exponent),
        t=found.t,
        p=unit_p.p,
        p_strict=unit_p.p_strict,
        p_method=unit_p.method,
        p_maxt=null.p_maxt[place],
        p_stepdown=null.p_stepdown[place],
        p_maxt_exact=null.p_maxt_exact[place],
        p_stepdown_exact=null.p_stepdown_exact[place],
        p_holm=holm(unit_p.p),
        q_bh=benjamini_hochberg(unit_p.p),
        q_by=benjamini_yekutieli(unit_p.p),
        dz=found.dz,
        g=g,
        g_interval=g_interval,
        degenerate=found.degenerate,
        counts=counts,
        max_null=null.max_null,
        critical_t=null.critical_t,
        exact=null.exact,
        n_flips=null.patterns,
        n_pairs=len(reduced.block_of_pair),
        n_blocks=n_blocks,
        smallest_p=2.0 ** (1 - n_blocks),
        thresholds=levels,
        alpha=alpha,
        seed=seed,
        methods={
            "statistic": f"Student's t of {n_blocks} block means",
            "p": methods_with_counts(unit_p.method),
            "null": null.method,
        },
        versions={name: version(name) for name in ("numpy", "numba", "scipy")},
    )


def flip_note(blocks: int, flips: int, alpha: float, *, exact: bool) -> str:
    """Return why no unit can be significant, in one line, or nothing.

    `flips` is the number of patterns; drawn ones unless `exact`.
    """
    if 2.0 ** (1 - blocks) > alpha:
        return (
            f"{blocks} items give at best p = {2.0 ** (1 - blocks):.3g}, above alpha = {alpha:g}; "
            f"{math.ceil(1 - math.log2(alpha))} items would do"
        )
    if not exact and 1 / (flips + 1) > alpha:
        return (
            f"{flips} drawn sign patterns give at best p = {1 / (flips + 1):.3g}, above alpha = "
            f"{alpha:g}; draw more"
        )
    return ""


def methods_with_counts(method: Shaped[np.ndarray, " units"]) -> str:
    """Return the methods by which p was computed, each with its number of units."""
    names, numbers = np.unique(method, return_counts=True)
    return ", ".join(
        f"{name} ({number} units)" for name, number in zip(names, numbers, strict=True)
    )


def check_thresholds(thresholds: tuple[float, ...]) -> tuple[float, ...]:
    """`thresholds` as floats. Raises ValueError on a negative, infinite or repeated one."""
    levels = tuple(float(level) for level in thresholds)
    for place, level in enumerate(levels):
        if not 0 <= level < np.inf:
            raise ValueError(f"thresholds[{place}] is {level}; give a finite |t| of 0 or more")
        if level in levels[:place]:
            raise ValueError(f"thresholds[{place}] repeats {level}; name each threshold once")
    return levels


def check_affordable(flips: Flips, blocks: int) -> None:
    """Raise ValueError where all patterns are asked for and are too many."""
    if flips == "exact" and blocks > MAX_BLOCKS:
        raise ValueError(
            f'flips is "exact" with {blocks} blocks, that is 2^{blocks - 1} sign patterns; '
            'give "auto" or a number of flips'
        )
