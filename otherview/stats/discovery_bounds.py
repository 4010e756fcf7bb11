"""How many units of any set differ, at least: bounds that hold for all sets at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, Running
from otherview.stats.columns import Column, UnitResult
from otherview.stats.inputs import check_settings, unit_indices
from otherview.stats.paired import block_means
from otherview.stats.sign_flip import Flips, check_affordable


@dataclass(frozen=True)
class DiscoveryBounds(UnitResult):
    """What `discovery_bounds` found. Arrays over units are in the order given.

    With confidence 1 - alpha all statements of `true_discoveries` hold together, for every set of
    units, also for sets chosen after looking at the results. They say that units differ between
    *these* wordings, over items; they do not generalise over wordings.
    """

    position: Int[np.ndarray, " units"]
    """Size of each unit's |t|: its bin among 8,192 that are equal in |z| = |Σd| / √Σd²."""
    rank: Int[np.ndarray, " units"]
    """How many units have at least this unit's |t|, itself among them; near-ties count."""
    needed: Int[np.ndarray, " units"]
    """The critical vector: u units at or above `needed[u - 1]` are one true discovery, each
    further one is one more. Descending; 8,192 where nothing is enough."""
    critical_t: Float[np.ndarray, " units"]
    """The same as |t|; infinite where nothing is enough."""
    scale: float
    """λ: the critical vector in p is λ (u - shift) / (units - shift), p those of Student's t."""
    shift: int
    steps: int
    """Calibrations, each over the units that the one before did not find by themselves."""
    exact: bool
    """Whether all sign patterns were taken."""
    n_flips: int
    n_blocks: int
    alpha: float
    seed: int

    def true_discoveries(self, units: ArrayLike | None = None) -> int:
        """At least so many of `units` differ.

        `units` are indices or a mask `[units]`; None takes all units. Raises ValueError on indices
        that are no units.
        """
        chosen = unit_indices(units, len(self.position))
        positions = np.sort(self.position[chosen])
        needed = self.needed[: len(chosen)]
        enough = len(chosen) - np.searchsorted(positions, needed, side="left")
        return int(np.max(enough - np.arange(len(needed)), initial=0))

    def false_discoveries(self, units: ArrayLike | None = None) -> int:
        """At most so many of `units` do not differ."""
        chosen = unit_indices(units, len(self.position))
        return len(chosen) - self.true_discoveries(chosen)

    @property
    def true_at_least(self) -> Int[np.ndarray, " units"]:
        """`true_discoveries` of each unit together with all that have at least its |t|."""
        ascending = np.sort(self.position)
        enough = len(ascending) - np.searchsorted(ascending, self.needed, side="left")
        # Of the k strongest units min(k, enough) are at or above a bound, and `enough` ascends.
        gains = np.maximum.accumulate(enough - np.arange(len(enough)))
        first = np.searchsorted(enough, self.rank, side="left")
        before = np.where(first > 0, gains[np.maximum(first - 1, 0)], 0)
        return np.asarray(np.maximum(0, np.maximum(before, self.rank - first)))

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column(
            "true_at_least",
            "of this unit and those with a larger |t|, at least so many differ between these "
            "wordings; holds for all units together",
            "units",
        ),
    )

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """How many units differ at least, and how that was found; docs/result.md."""
        return {
            "true_discoveries": self.true_discoveries(),
            "units": len(self.position),
            "scale": self.scale,
            "steps": self.steps,
            "exact": self.exact,
            "patterns": self.n_flips,
            "blocks": self.n_blocks,
            "alpha": self.alpha,
        }


def discovery_bounds(
    differences: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    flips: Flips = "auto",
    alpha: float = 0.05,
    shift: int = 0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DiscoveryBounds:
    """Bound the number of true discoveries in every set of units, simultaneously.

    `differences` is `[pairs, units]`, `blocks` `[pairs]` as in `sign_flip_test`, and the
    assumption is the same: where units without a difference are flipped together, block by
    block, their joint distribution does not change. Any dependence between units is allowed.

    Permutation-based all-resolutions inference (Andreella et al. 2023; Rosenblatt et al. 2018):
    let l(u) = λ (u - shift) / (units - shift) be a critical vector, and λ as large as it can be so
    that, with probability 1 - alpha, no u of the units without a difference all have p < l(u).
    Then at least max over u of |{units of S with p < l(u)}| - u + 1 units of S differ, for all
    sets S at once: the shortcut of a closed test (Goeman et al. 2021). λ is read off the sign
    flips, on the p of Student's t: these order |t| alike for all units and need not be right. Units
    that are found by themselves are then left out and λ is read off again, as long as that adds
    two in a hundred (step-down, Blanchard, Neuvial & Roquain 2020).

    A `shift` above 0 gives up sets of so few true discoveries for larger bounds on large sets. It
    must be chosen before looking at the data. `flips="auto"` takes all 2^(blocks-1) sign patterns
    up to 16,384 and draws 10,000 above that; drawn ones are joined by the data, which keeps the
    level at any number (Hemerik & Goeman 2018).

    The result does not depend on `threads`. Raises ValueError as `sign_flip_test` does, and on a
    negative shift or one of all units.
    """
    check_settings(alpha, seed, flips)
    reduced = block_means(differences, blocks)
    check_affordable(flips, len(reduced.labels))
    units = reduced.values.shape[1]
    if isinstance(shift, bool) or not 0 <= shift < units:
        raise ValueError(f"shift is {shift!r}; give a whole number from 0 to {units - 1}")

    # numba and the kernel are imported here to keep `import otherview.stats` quick.
    from otherview.stats.discovery_calibration import calibrate
    from otherview.stats.fixed_point import fixed_point

    found = calibrate(
        fixed_point(reduced.values), flips, alpha, int(shift), seed, Running(threads, progress)
    )
    return DiscoveryBounds(
        **found._asdict(), shift=int(shift), n_blocks=len(reduced.labels), alpha=alpha, seed=seed
    )
