"""Which randomisations the role test takes: labels of wordings, items and scenes drawn again."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.multisets import multisets, orders
from otherview.stats.wordings import (
    MAX_RELABELLINGS,
    WordingDesign,
    all_contrasts,
    drawn_contrasts,
)

DRAWS = 20_000
"""Randomisations that "auto" draws: a p of .05 has a standard error of .0015."""
ROWS = 256
"""Randomisations worked on at a time."""


def drawn_of(sample: int) -> int:
    """How many of a sample are drawn with replacement: one less, since the mean of so many varies
    as the mean of all does (Rao & Wu 1988)."""
    return max(1, sample - 1)


@dataclass(frozen=True)
class Randomisations:
    """Which randomisations are taken, row by row: labels of wordings, and what is drawn."""

    design: WordingDesign
    items: int
    scenes: int
    """0 where scenes are no sample."""
    rows: int
    exact: bool
    seed: tuple[int, int]
    """Seed and stream."""
    listed: Float[np.ndarray, "contrasts wordings"] | None
    """Every relabelling, taken in turn; None where they are drawn."""

    @property
    def blocks(self) -> int:
        return -(-self.rows // ROWS)

    @property
    def number(self) -> int:
        """Randomisations, each as likely as the next."""
        if not self.exact:
            return self.rows
        draws = (int(n ** max(0, n - 1)) for n in (self.items, self.scenes))
        return self.design.contrasts * math.prod(draws)

    def block(
        self, index: int
    ) -> tuple[
        Float[np.ndarray, "r wordings"],
        Float[np.ndarray, "r items"],
        Float[np.ndarray, "r scenes"],
        Int[np.ndarray, " r"],
    ]:
        """Labels, times each item and each scene is drawn, and weights of the rows of a block."""
        rows = np.arange(index * ROWS, min(self.rows, (index + 1) * ROWS))
        draws = np.random.default_rng([*self.seed, index])
        if self.listed is None:
            contrasts = drawn_contrasts(self.design, len(rows), draws)
        else:
            contrasts = self.listed[rows % len(self.listed)]
            rows //= len(self.listed)
        weights = np.ones(len(rows), np.int32)
        times = []
        for sample in (self.items, self.scenes):
            if self.exact:
                every = every_draw(sample)
                times.append(every[rows % len(every)])
                weights *= orders(times[-1])
                rows //= len(every)
            elif sample:
                even = np.full(sample, 1 / sample)
                times.append(draws.multinomial(drawn_of(sample), even, size=len(rows)))
            else:
                times.append(np.zeros((len(rows), 0), np.int64))
        of_items, of_scenes = (one.astype(np.float32) for one in times)
        return contrasts.astype(np.float32), of_items, of_scenes, weights


def randomisations(
    design: WordingDesign, items: int, scenes: int, flips: str | int, seed: int, stream: int = 0
) -> Randomisations:
    """All relabellings with all draws of items and scenes where they are at most 50,000, else
    random ones.

    As many as `flips` says, or `DRAWS`. Where that is as many as there are relabellings or more,
    each of these is taken equally often, and only items and scenes are random.
    """
    draws = math.prod(math.comb(2 * n - 2, n - 1) for n in (items, scenes) if n)
    exact = design.contrasts * draws <= MAX_RELABELLINGS
    wanted = DRAWS if isinstance(flips, str) else int(flips)
    listed, rows = None, wanted
    if exact or design.contrasts <= min(wanted, MAX_RELABELLINGS):
        listed = all_contrasts(design)
        rows = len(listed) * (draws if exact else -(-wanted // len(listed)))
    return Randomisations(design, items, scenes, rows, exact, (seed, stream), listed)


@cache
def every_draw(sample: int) -> Int[np.ndarray, "multisets sample"]:
    """How often each of a sample is drawn, every possibility."""
    return multisets(sample, drawn_of(sample)) if sample else np.zeros((1, 0), np.int64)
