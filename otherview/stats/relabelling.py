"""Permuting a label per row: how often a correlation as large as the data's comes up."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.chunks import Progress
from otherview.stats.paired import NEAR_TIE, column_sum

MAX_ORDERS = 200_000
"""Up to this many orders all are taken."""

DRAWN = 20_000
"""Orders that "auto" draws where there are more."""

BATCH_ROWS = 1024
BATCH_NUMBERS = 1 << 21
"""Correlations held at a time (16 MB)."""

NEAR_CORRELATION = 2.0**-40
"""Correlations closer than this tie; more than the rounding of a matrix product."""


class RelabellingNull(NamedTuple):
    """Relabellings in which a unit, or any unit, is at least as far from zero as a unit was."""

    reached: Int[np.ndarray, " units"]
    reached_by_any: Int[np.ndarray, " units"]
    relabellings: int
    exact: bool

    @property
    def p(self) -> Float[np.ndarray, " units"]:
        """Two-sided p of each unit; (b+1)/(m+1) where relabellings were drawn."""
        return self.share(self.reached)

    @property
    def p_maxt(self) -> Float[np.ndarray, " units"]:
        """Family-wise p, single step."""
        return self.share(self.reached_by_any)

    def share(self, reached: Int[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
        extra = 0 if self.exact else 1
        return np.asarray((reached + extra) / (self.relabellings + extra))


def centred_unit(rows: Float[np.ndarray, "n units"]) -> Float[np.ndarray, "n units"]:
    """Columns less their mean, over their length; a column of equal values becomes zeros."""
    scale = np.abs(rows).max(axis=0)
    scaled = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    centred = scaled - column_sum(scaled) / len(rows)
    centred[:, np.ptp(scaled, axis=0) <= NEAR_TIE] = 0.0
    length = np.sqrt(column_sum(centred**2))
    length[length == 0] = 1.0
    return np.asarray(centred / length)


def t_of_correlation(
    correlation: Float[np.ndarray, " units"], rows: int
) -> Float[np.ndarray, " units"]:
    """t = r √((n-2)/(1-r²)); infinite at |r| = 1, NaN with two rows."""
    if rows < 3:
        return np.full(correlation.shape, np.nan)
    rest = 1 - correlation**2
    t = correlation * np.sqrt((rows - 2) / np.maximum(rest, NEAR_TIE))
    return np.asarray(np.where(rest > NEAR_TIE, t, np.copysign(np.inf, correlation)))


def correlations(
    labels: Float[np.ndarray, " n"], vectors: Float[np.ndarray, "n units"]
) -> Float[np.ndarray, " units"]:
    """Correlation of the labels with each column of unit vectors."""
    return column_sum(vectors * centred_unit(labels[:, None]))


def all_or_drawn(
    labels: Float[np.ndarray, " n"], flips: str | int, seed: int
) -> tuple[Iterator[Float[np.ndarray, "batch n"]], int, bool]:
    """Batches of orders of the labels, their number, and whether they are all n! of them.

    The data's own order is among "all".
    """
    number = math.factorial(len(labels))
    if flips == "exact" and number > 10 * MAX_ORDERS:
        raise ValueError(f'flips is "exact" with {number:,} orders; give "auto" or a number')
    if flips == "exact" or number <= MAX_ORDERS:
        return all_orders(labels), number, True
    wanted = DRAWN if isinstance(flips, str) else int(flips)
    return drawn_orders(labels, wanted, seed), wanted, False


def all_orders(labels: Float[np.ndarray, " n"]) -> Iterator[Float[np.ndarray, "batch n"]]:
    """All orders of the labels, equal ones told apart."""
    orders = itertools.permutations(range(len(labels)))
    while batch := list(itertools.islice(orders, BATCH_ROWS)):
        yield labels[np.array(batch)]


def drawn_orders(
    labels: Float[np.ndarray, " n"], number: int, seed: int
) -> Iterator[Float[np.ndarray, "batch n"]]:
    """Random orders of the labels."""
    generator = np.random.default_rng(seed)
    for start in range(0, number, BATCH_ROWS):
        rows = np.tile(labels, (min(BATCH_ROWS, number - start), 1))
        yield generator.permuted(rows, axis=1)


def relabel(
    labels: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n units"],
    flips: str | int,
    seed: int,
    *,
    progress: Progress | None = None,
) -> RelabellingNull:
    """Permute `labels` over the rows of `vectors` (columns as `centred_unit` gives them).

    |t| grows with |r| whatever the unit, so correlations are compared, all units at once in one
    matrix product a batch. Memory is flat in the number of relabellings.
    """
    observed = np.abs(correlations(labels, vectors)) - NEAR_CORRELATION
    order = np.sort(observed)
    reached = np.zeros(vectors.shape[1], np.int64)
    by_any = np.zeros(vectors.shape[1] + 1, np.int64)
    relabellings, number, exact = all_or_drawn(labels, flips, seed)
    rows_at_once = max(1, BATCH_NUMBERS // vectors.shape[1])
    done = 0
    for batch in relabellings:
        rows = centred_unit(batch.T).T
        for start in range(0, len(rows), rows_at_once):
            size = np.abs(rows[start : start + rows_at_once] @ vectors)
            reached += np.count_nonzero(size >= observed, axis=0)
            level = np.searchsorted(order, size.max(axis=1), side="right")
            by_any += np.bincount(level, minlength=len(by_any))
        done += len(batch)
        if progress is not None:
            progress(done, number)
    at_least = np.cumsum(by_any[::-1])[::-1]
    return RelabellingNull(reached, at_least[1 + np.searchsorted(order, observed)], number, exact)
