"""Is the effect of each unit larger in one of two samples of the same items?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress
from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.difference_intervals import DifferenceIntervals, difference_intervals
from otherview.stats.inputs import real_array
from otherview.stats.paired import block_means, effects, hedges_g
from otherview.stats.sign_flip import Flips, SignFlipResult, sign_flip_test

A, B = "A", "B"


@dataclass(frozen=True)
class EffectComparison(UnitResult):
    """What `compare_effects` found. Arrays over units are in the order given."""

    mean_a: Float[np.ndarray, " units"]
    """Mean effect over items, in A."""
    mean_b: Float[np.ndarray, " units"]
    g_a: Float[np.ndarray, " units"]
    """Hedges' g of the effect in A: its mean over its SD between items. NaN without variance."""
    g_b: Float[np.ndarray, " units"]
    test: SignFlipResult
    """Sign flips of the items' differences, effect in A minus effect in B."""
    intervals: DifferenceIntervals
    """Of the means of these differences, for all units at once."""

    @property
    def larger_in(self) -> Shaped[np.ndarray, " units"]:
        """`A` or `B`, where the mean effect is larger in size; empty where the sizes are equal.

        A description of the means: what is tested is whether the effects differ.
        """
        sizes = np.sign(np.abs(self.mean_a) - np.abs(self.mean_b))
        return np.select([sizes > 0, sizes < 0], [A, B], "")

    @property
    def opposite(self) -> Bool[np.ndarray, " units"]:
        """Where the mean effects have opposite signs, whatever their sizes."""
        return np.asarray(self.mean_a * self.mean_b < 0)

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("familywise", "the effects differ family-wise, at the study’s level",
               heading="differs", of="test.familywise"),
        Column("larger_in", "model in which the mean effect is larger in size",
               heading="larger in"),
        Column("opposite", "the mean effects have opposite signs", heading="opposite signs"),
        Column("effect_a", "mean effect in A: response under test minus under control", "response",
               "effect in A", "mean_a"),
        Column("effect_b", "mean effect in B", "response", "effect in B", "mean_b"),
        Column("effect_difference", "mean over items of the effect in A minus that in B",
               "response", "A − B", "test.mean"),
        Column("difference_low", "lower end of the interval of A − B; the intervals of all units "
               "hold together", "response", "A − B, low", "intervals.low"),
        Column("difference_high", "upper end of that interval", "response", "A − B, high",
               "intervals.high"),
        Column("g", "effect size of A − B: mean over standard deviation between items, Hedges’ g",
               "SD", "g", "test.g"),
        Column("g_low", "lower end of the interval of g of this unit alone", "SD", "g, low",
               "test.g_low"),
        Column("g_high", "upper end of that interval", "SD", "g, high", "test.g_high"),
        Column("t", "paired t of A − B over items", heading="t", of="test.t"),
        Column("p", "two-sided sign-flip p of this unit alone", PROBABILITY, "p", "test.p"),
        Column("p_stepdown", "p corrected for all units, step-down largest |t|", PROBABILITY,
               "family-wise p", "test.p_stepdown"),
        Column("p_maxt", "family-wise p, single-step largest |t|", PROBABILITY, of="test.p_maxt"),
        Column("q_bh", "false discovery rate after Benjamini and Hochberg", PROBABILITY,
               of="test.q_bh"),
        Column("degenerate", "A − B is equal for all items: no variance, no t",
               of="test.degenerate"),
        Column("g_a", "Hedges’ g of the effect in A", "SD", "g in A"),
        Column("g_b", "Hedges’ g of the effect in B", "SD", "g in B"),
    )  # fmt: skip

    def directions(self, which: Bool[np.ndarray, " units"]) -> dict[str, int]:
        """Return of how many of some units the effect is larger in A, in B, or of opposite sign."""
        kinds, positive = self.larger_in[which], self.test.mean[which] > 0
        return {
            "larger_in_a": int((kinds == A).sum()),
            "larger_in_b": int((kinds == B).sum()),
            "opposite": int(self.opposite[which].sum()),
            "more_positive_in_a": int(positive.sum()),
            "more_positive_in_b": int((~positive).sum()),
        }

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Return how the test was done, and how many units differ, by direction."""
        test, intervals = self.test.summary(), self.intervals.summary()
        kept = ("exact", "patterns", "method", "blocks", "alpha", "smallest_p", "note",
                "familywise", "false_discovery")  # fmt: skip
        return {
            **{name: test[name] for name in kept},
            **({"critical_t": test["critical_t"]} if "critical_t" in test else {}),
            **self.directions(self.test.familywise),
            "degenerate": int(self.test.degenerate.sum()),
            **({"margin": intervals["margin"]} if "margin" in intervals else {}),
        }


def compare_effects(
    a: ArrayLike,
    b: ArrayLike,
    *,
    thresholds: tuple[float, ...] = (3.0, 5.0),
    flips: Flips = "auto",
    alpha: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> EffectComparison:
    """Test each unit's mean of (effect in A − effect in B) against zero by flipping items.

    `a` and `b` are `[items, units]`: the effect of an item (response under test minus response
    under control) in two models, the same items and units in the same order. Their difference per
    item is one pair of `sign_flip_test`, so the test is exact if, without a difference between the
    models, an item's effects in A and B could be exchanged for all units together. It generalises
    over items. The two models are two, and not samples of any population.

    That an effect is significant in A and not in B does not say that it differs (Gelman & Stern
    2006); this is the test of that (difference of differences; Nieuwenhuis et al. 2011).

    Raises ValueError if the shapes differ, and as `sign_flip_test` does.
    """
    one, other = real_array(a, "a"), real_array(b, "b")
    if one.shape != other.shape:
        raise ValueError(f"a has shape {one.shape} and b {other.shape}; give the same items, units")
    differences = one - other
    (mean_a, g_a), (mean_b, g_b) = mean_and_g(one, "a", alpha), mean_and_g(other, "b", alpha)
    return EffectComparison(
        mean_a,
        mean_b,
        g_a,
        g_b,
        sign_flip_test(
            differences,
            thresholds=thresholds,
            flips=flips,
            alpha=alpha,
            seed=seed,
            threads=threads,
            progress=progress,
        ),
        difference_intervals(differences, alpha=alpha, seed=seed, threads=threads),
    )


def mean_and_g(
    values: Float[np.ndarray, "items units"], name: str, alpha: float
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Return mean and Hedges' g over items. Raises ValueError as `block_means` does."""
    reduced = block_means(values, None, name)
    found = effects(reduced.values)
    g, _ = hedges_g(found.dz, len(reduced.labels), 1 - alpha)
    return np.ldexp(found.mean, reduced.exponent), g
