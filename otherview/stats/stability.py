"""Would half of the blocks have said the same?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, Running, counted
from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.corrections import discoveries
from otherview.stats.inputs import check_settings
from otherview.stats.paired import BlockMeans, block_means, effects
from otherview.stats.sign_flip import Flips, SignFlipResult, sign_flip_test


@dataclass(frozen=True)
class SplitHalfResult:
    """What `split_half` found; one entry per split, then one per direction (A to B, B to A)."""

    correlation: Float[np.ndarray, " splits"]
    """Pearson's r over units of the t of one half with that of the other; NaN where fewer than
    two units have a finite t in both, or all the same one."""
    significant: Int[np.ndarray, "splits 2"]
    """Units with Benjamini-Hochberg q ≤ alpha in one half."""
    replicated: Int[np.ndarray, "splits 2"]
    """Of these, units with p ≤ alpha and the same sign in the other half."""
    n_blocks: int
    alpha: float
    seed: int

    @property
    def mean_correlation(self) -> float:
        """Mean over the splits; NaN if one of them is."""
        return float(self.correlation.mean())

    @property
    def replication(self) -> float | None:
        """Share of the significant units that replicate, over all splits; None if none was."""
        significant = int(self.significant.sum())
        return int(self.replicated.sum()) / significant if significant else None

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        summary: dict[str, Any] = {"splits": len(self.correlation)}
        if np.isfinite(self.mean_correlation):
            summary["mean_correlation"] = self.mean_correlation
        return summary | ({} if self.replication is None else {"replication": self.replication})


def split_half(
    differences: ArrayLike,
    splits: int = 100,
    seed: int = 0,
    *,
    blocks: ArrayLike | None = None,
    alpha: float = 0.05,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SplitHalfResult:
    """Agreement of the t-map between random halves of the blocks.

    `differences` is `[pairs, units]`, `blocks` `[pairs]` as in `sign_flip_test`; whole blocks go
    to one half or the other (an odd one to the second). p are exact sign-flip p of each half.
    Where nothing is there, alpha/2 of the significant units replicate. The halves share no
    block, but the splits do: the spread over splits is no standard error.

    Raises ValueError as `sign_flip_test` does, and with fewer than four blocks.
    """
    check_settings(alpha, seed, splits=splits)
    reduced = block_means(differences, blocks)
    n_blocks = check_halves(reduced)
    generator = np.random.default_rng(seed)
    correlation = np.empty(splits)
    significant = np.zeros((splits, 2), np.int64)
    replicated = np.zeros((splits, 2), np.int64)
    for split in counted(splits, progress):
        both = halves(generator, np.arange(n_blocks))
        (t_a, p_a), (t_b, p_b) = (t_and_p(reduced.values[half], alpha, threads) for half in both)
        correlation[split] = map_correlation(t_a, t_b)
        same_sign = np.sign(t_a) == np.sign(t_b)
        for direction, (here, there) in enumerate(((p_a, p_b), (p_b, p_a))):
            chosen = found_by_rate(here, alpha)
            significant[split, direction] = chosen.sum()
            replicated[split, direction] = (chosen & same_sign & (there <= alpha)).sum()
    return SplitHalfResult(correlation, significant, replicated, n_blocks, alpha, seed)


def check_halves(reduced: BlockMeans) -> int:
    """Number of blocks. Raises ValueError if a half would have fewer than two."""
    n_blocks = len(reduced.labels)
    if n_blocks < 4:
        raise ValueError(f"differences holds {n_blocks} blocks; two halves need four or more")
    return n_blocks


def t_and_p(
    values: Float[np.ndarray, "blocks units"], alpha: float, threads: int | None
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """t of every unit, and p that decide at alpha as its sign-flip p do."""
    from otherview.stats.p_bounds import deciding_p

    return effects(values).t, deciding_p(values, alpha, Running(threads))


def found_by_rate(p: Float[np.ndarray, " units"], alpha: float) -> Bool[np.ndarray, " units"]:
    """Units with Benjamini-Hochberg q ≤ alpha."""
    found = discoveries(p, alpha)
    return p <= np.partition(p, found - 1)[found - 1] if found else np.zeros(len(p), dtype=bool)


def map_correlation(one: Float[np.ndarray, " units"], other: Float[np.ndarray, " units"]) -> float:
    """Pearson's r over the units with a finite value in both; NaN if there is none to tell."""
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both], other[both]
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float(np.nan)
    return float(np.corrcoef(one, other)[0, 1])


@dataclass(frozen=True)
class DiscoverConfirmResult(UnitResult):
    """What `discover_confirm` found; arrays have one entry per unit, in the order given."""

    selected: Bool[np.ndarray, " units"]
    """Benjamini-Hochberg q ≤ alpha on the discovery blocks."""
    confirmed: Bool[np.ndarray, " units"]
    """Selected, step-down family-wise p ≤ alpha among the selected on the other blocks, and the
    same sign in both."""
    t_discovery: Float[np.ndarray, " units"]
    p_confirmation: Float[np.ndarray, " units"]
    """Step-down family-wise p among the selected; NaN where not selected (not tested)."""
    confirmation: SignFlipResult | None
    """The whole test of the selected units on the confirmation blocks, in the order of
    `np.flatnonzero(selected)`; its effect sizes are free of selection bias. None if no unit was
    selected."""
    discovery_blocks: Shaped[np.ndarray, " blocks"]
    """Labels of the blocks that chose the units (pair numbers where no blocks were given)."""
    confirmation_blocks: Shaped[np.ndarray, " blocks"]
    alpha: float
    seed: int

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("discovered", "chosen on a random half of the items", of="selected"),
        Column("confirmed", "chosen on half of the items, confirmed on the other half",
               heading="confirmed"),
        Column("p_confirmation", "family-wise p among the chosen units on the other half",
               PROBABILITY),
    )  # fmt: skip

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        return {
            "discovery_items": len(self.discovery_blocks),
            "confirmation_items": len(self.confirmation_blocks),
            "discovered": int(self.selected.sum()),
            "confirmed": int(self.confirmed.sum()),
        }


def discover_confirm(
    differences: ArrayLike,
    blocks: ArrayLike | None = None,
    *,
    flips: Flips = "auto",
    alpha: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
) -> DiscoverConfirmResult:
    """Choose units on a random half of the blocks, test only those on the other half.

    `differences` is `[pairs, units]`, `blocks` `[pairs]` as in `sign_flip_test`; with an odd
    number the extra block confirms. How units are chosen cannot bias the confirmation, which
    shares no block with it, so a false discovery rate chooses; the confirmation controls the
    family-wise error over the units chosen.

    Raises ValueError as `sign_flip_test` does, and with fewer than four blocks.
    """
    check_settings(alpha, seed, flips)
    reduced = block_means(differences, blocks)
    n_blocks = check_halves(reduced)
    discovery, confirmation = discovery_halves(n_blocks, seed)
    t_discovery, p_discovery = t_and_p(reduced.values[discovery], alpha, threads)
    selected = found_by_rate(p_discovery, alpha)
    p_confirmation = np.full(len(selected), np.nan)
    confirmed = np.zeros(len(selected), dtype=bool)
    test = None
    if selected.any():
        test = sign_flip_test(
            np.ldexp(reduced.values[np.ix_(confirmation, selected)], reduced.exponent[selected]),
            flips=flips,
            alpha=alpha,
            seed=seed,
            threads=threads,
        )
        p_confirmation[selected] = test.p_stepdown
        same_sign = np.sign(test.mean) == np.sign(t_discovery[selected])
        confirmed[selected] = test.familywise & same_sign
    return DiscoverConfirmResult(
        selected=selected,
        confirmed=confirmed,
        t_discovery=t_discovery,
        p_confirmation=p_confirmation,
        confirmation=test,
        discovery_blocks=reduced.labels[discovery],
        confirmation_blocks=reduced.labels[confirmation],
        alpha=alpha,
        seed=seed,
    )


def discovery_halves(
    n_blocks: int, seed: int
) -> tuple[Int[np.ndarray, " discovery"], Int[np.ndarray, " confirmation"]]:
    """Indices of the blocks on which `discover_confirm` chooses units, and on which it tests."""
    return halves(np.random.default_rng(seed), np.arange(n_blocks))


def halves(draws: np.random.Generator, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`places` in two random halves; the second has the odd one."""
    order = draws.permutation(places)
    middle = len(places) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])
