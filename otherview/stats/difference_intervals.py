"""Intervals of the mean differences of all units at once, and how large any can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, Running, run_chunks
from otherview.stats.columns import Column, UnitResult
from otherview.stats.inputs import check_settings, unit_indices
from otherview.stats.multisets import multisets, orders
from otherview.stats.paired import NEAR_TIE, block_means, column_sum, effects

DRAWS = 10_000
"""Draws of blocks; the critical t then has a standard error of about 1%."""

MAX_MULTISETS = 50_000
"""Up to this many different draws all are taken, in double precision: 9 blocks."""

STREAM = 1024
"""Draws from one random stream, seeded by (seed, number of the stream)."""

CHUNK_NUMBERS = 1 << 17

NEAR_IN_SINGLE = 2.0**-18
"""In single precision, a draw whose variance is below this share of its mean square has none."""


@dataclass(frozen=True)
class DifferenceIntervals(UnitResult):
    """What `difference_intervals` found. Arrays over units are in the order given.

    With confidence 1 - alpha all intervals hold the true mean differences between *these*
    wordings, over items, together; so do all statements of `margin`, whatever sets of units are
    looked at. They do not generalise over wordings.
    """

    mean: Float[np.ndarray, " units"]
    """Mean over blocks of the mean difference."""
    low: Float[np.ndarray, " units"]
    high: Float[np.ndarray, " units"]
    """`mean` less and plus `critical_t` standard errors of it."""
    degenerate: Bool[np.ndarray, " units"]
    """All block means equal: the standard error is 0 and says nothing."""
    critical_t: float
    """1 - alpha quantile of the largest |t| over units of drawn blocks; infinite where too few
    blocks allow none, and then so are the intervals."""
    exact: bool
    """Whether all possible draws were taken."""
    n_draws: int
    n_blocks: int
    alpha: float
    seed: int

    def margin(self, units: ArrayLike | None = None) -> float:
        """No one of `units` differs by more than this, in either direction.

        The smallest margin for which two one-sided tests of every unit (Lakens 2017), family-wise
        over all units, reject a difference as large as the margin. `units` are indices or a mask
        `[units]`; None takes all units. 0 for no units.
        """
        chosen = unit_indices(units, len(self.mean))
        return float(np.max(np.maximum(-self.low, self.high)[chosen], initial=0.0))

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("difference_low", "lower end of the interval of the mean difference between these "
               "wordings; the intervals of all units hold together", "response", of="low"),
        Column("difference_high", "upper end of that interval", "response", of="high"),
    )  # fmt: skip

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """How wide the intervals are, and the margin of all units; docs/result.md."""
        margin = self.margin()
        finite = {"critical_t": self.critical_t, "margin": margin} if np.isfinite(margin) else {}
        return finite | {
            "exact": self.exact,
            "draws": self.n_draws,
            "blocks": self.n_blocks,
            "alpha": self.alpha,
        }


def difference_intervals(
    differences: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    draws: int = DRAWS,
    alpha: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DifferenceIntervals:
    """Simultaneous max-t intervals of the mean difference of every unit.

    `differences` is `[pairs, units]`, `blocks` `[pairs]` as in `sign_flip_test`. Each interval is
    the mean ± c standard errors of the block means, with one c for all units: the 1 - alpha
    quantile of the largest |t| over units when blocks are drawn with replacement around their
    means and t is computed again from each draw (bootstrap t; Romano & Wolf 2005).

    Assumes that blocks are independent draws from the population of blocks, and no symmetry (with
    flipped signs instead, intervals of skewed differences covered in 42 to 88% instead of 95%).
    Approximate; wide with fewer than a dozen blocks: docs/statistics.md has the coverage by
    simulation. All possible draws are taken up to 9 blocks, else `draws` random ones. A unit whose
    differences are all equal has an interval of no width.

    The result does not depend on `threads`. Raises ValueError as `sign_flip_test` does, and on
    draws below 1.
    """
    check_settings(alpha, seed)
    if isinstance(draws, bool) or draws < 1:
        raise ValueError(f"draws is {draws!r}; give a whole number of 1 or more")
    reduced = block_means(differences, blocks)
    n_blocks = len(reduced.labels)
    found = effects(reduced.values)
    errors = np.where(found.degenerate, 0.0, reduced.values - found.mean)
    errors[np.abs(errors) <= NEAR_TIE] = 0.0  # rounding: a draw of these alone has no infinite t
    running = Running(threads, progress)
    critical, number, exact = drawn_critical_t(errors, draws, alpha, seed, running)
    spread = np.sqrt(column_sum(errors**2) / (n_blocks - 1) / n_blocks)
    reach = critical * spread if np.isfinite(critical) else np.inf
    return DifferenceIntervals(
        mean=np.ldexp(found.mean, reduced.exponent),
        low=np.ldexp(found.mean - reach, reduced.exponent),
        high=np.ldexp(found.mean + reach, reduced.exponent),
        degenerate=found.degenerate,
        critical_t=critical,
        exact=exact,
        n_draws=number,
        n_blocks=n_blocks,
        alpha=alpha,
        seed=seed,
    )


def drawn_critical_t(
    errors: Float[np.ndarray, "blocks units"],
    draws: int,
    alpha: float,
    seed: int,
    running: Running,
) -> tuple[float, int, bool]:
    """Critical t under drawn blocks, the number of draws, and whether these are all.

    `errors` are block means less their mean over blocks, zeros for a unit without variance.
    """
    blocks = len(errors)
    errors = errors[:, errors.any(axis=0)]
    errors = errors / np.sqrt(column_sum(errors**2))
    exact = math.comb(2 * blocks - 1, blocks) <= MAX_MULTISETS
    every = multisets(blocks, blocks) if exact else None
    rows = draws if every is None else len(every)
    if every is None:
        errors = errors.astype(np.float32)
    starts = range(0, rows, STREAM)

    def work(chunk: int) -> Float[np.ndarray, " draws"]:
        place = slice(starts[chunk], min(starts[chunk] + STREAM, rows))
        if every is not None:
            return largest_t(every[place], errors, NEAR_TIE)
        generator = np.random.default_rng([seed, chunk])
        times = generator.multinomial(blocks, np.full(blocks, 1 / blocks), STREAM)
        return largest_t(times[: place.stop - place.start], errors, NEAR_IN_SINGLE)

    largest = np.concatenate(list(run_chunks(work, len(starts), running)))
    weights = np.ones(rows, np.int64) if every is None else orders(every)
    # Drawn ones are joined by the data, as one more that may be beyond all of them.
    total = int(weights.sum()) + (not exact)
    order = np.argsort(largest)
    enough = np.flatnonzero(np.cumsum(weights[order]) >= (1 - alpha) * total * (1 - 1e-12))
    critical = float(largest[order[enough[0]]]) if len(enough) else float(np.inf)
    return critical, total - (not exact), exact


def largest_t(
    times: Float[np.ndarray, "draws blocks"],
    errors: Float[np.ndarray, "blocks units"],
    near: float,
) -> Float[np.ndarray, " draws"]:
    """Largest |t| over units of each draw; 0 without units.

    t grows with (Σd)² / Σd², which is the number of blocks (to a share of `near`) where a draw
    has no variance.
    """
    blocks, units = errors.shape
    squares = errors**2
    largest = np.zeros(len(times))
    rows = max(1, CHUNK_NUMBERS // max(1, units))
    for start in range(0, len(times) if units else 0, rows):
        weights = times[start : start + rows].astype(errors.dtype)
        ratios = np.square(weights @ errors)
        ratios /= np.maximum(weights @ squares, np.finfo(errors.dtype).tiny)
        largest[start : start + rows] = ratios.max(axis=1)
    rest = np.where(largest < blocks * (1 - near), blocks - largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt((blocks - 1) * largest / rest))
