"""Permuting what blocks are labelled with: how often a unit, or any unit, does as well."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from otherview.stats.flip_null import share_p
from otherview.stats.paired import NEAR_TIE, column_sum

DRAWN = 10_000
"""Permutations that are drawn where all are too many."""

ROWS = 256
NUMBERS = 1 << 18
"""Permutations drawn, and statistics computed at a time (2 MB)."""


class PermutationNull(NamedTuple):
    """Permutations in which a unit, or any unit, is at least as far out as a unit was."""

    reached: Int[np.ndarray, " units"]
    reached_by_any: Int[np.ndarray, " units"]
    number: int
    exact: bool

    @property
    def p(self) -> Float[np.ndarray, " units"]:
        """p of each unit; (b+1)/(m+1) where permutations were drawn."""
        return np.asarray(share_p(self.reached, self.number, self.exact))

    @property
    def p_max(self) -> Float[np.ndarray, " units"]:
        """Family-wise p, single step."""
        return np.asarray(share_p(self.reached_by_any, self.number, self.exact))


def permutation_null(
    permutations: Iterable[Shaped[np.ndarray, "rows n"]],
    statistic: Callable[[Shaped[np.ndarray, "rows n"]], Float[np.ndarray, "rows units"]],
    least: Float[np.ndarray, " units"],
    *,
    exact: bool,
) -> PermutationNull:
    """Count the permutations whose statistics are at least `least`. Memory is flat."""
    reached = np.zeros(len(least), np.int64)
    largest = []
    at_once = max(1, NUMBERS // len(least))
    for rows in permutations:
        for start in range(0, len(rows), at_once):
            found = statistic(rows[start : start + at_once])
            reached += (found >= least).sum(axis=0, dtype=np.uint16)
            largest.append(found.max(axis=1))
    ascending = np.sort(np.concatenate(largest))
    by_any = len(ascending) - np.searchsorted(ascending, least, side="left")
    return PermutationNull(reached, by_any, len(ascending), exact)


def unit_columns(rows: Float[np.ndarray, "n units"]) -> Float[np.ndarray, "n units"]:
    """Columns less their mean, over their length; a column of equal values becomes zeros."""
    scale = np.abs(rows).max(axis=0)
    scaled = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    centred = scaled - column_sum(scaled) / len(rows)
    centred[:, np.ptp(scaled, axis=0) <= NEAR_TIE] = 0.0
    length = np.sqrt(column_sum(centred**2))
    length[length == 0] = 1.0
    return np.asarray(centred / length)


def batches(rows: Iterator[Shaped[np.ndarray, " n"]]) -> Iterator[Shaped[np.ndarray, "rows n"]]:
    """Stack rows."""
    while some := list(itertools.islice(rows, ROWS)):
        yield np.stack(some)


def drawn_permutations(
    labels: Shaped[np.ndarray, " n"], number: int, seed: int
) -> Iterator[Shaped[np.ndarray, "rows n"]]:
    """Yield random permutations of the labels."""
    generator = np.random.default_rng(seed)
    for start in range(0, number, ROWS):
        rows = np.tile(labels, (min(ROWS, number - start), 1))
        yield generator.permuted(rows, axis=1)
