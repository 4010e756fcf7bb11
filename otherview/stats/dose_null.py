"""Permuting one number per block: how often a correlation as large as the data's comes up."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.chunks import Progress
from otherview.stats.kernels import Integer, compiled
from otherview.stats.paired import NEAR_TIE, column_sum

MAX_ORDERS = 200_000
"""Up to this many orders all are taken."""

DRAWN = 10_000
"""Orders that "auto" draws where there are more."""

BATCH_ROWS = 1024
BATCH_NUMBERS = 1 << 19
"""Correlations held at a time (2 MB)."""

WITHOUT_SIGN = 0x7FFFFFFF
BLOCK = 256

NEAR_CORRELATION = 2.0**-40
"""Correlations closer than this tie."""


class DoseNull(NamedTuple):
    """Orders in which a unit, or any unit, is at least as far from zero as a unit was."""

    reached: Int[np.ndarray, " units"]
    reached_by_any: Int[np.ndarray, " units"]
    orders: int
    exact: bool

    @property
    def p(self) -> Float[np.ndarray, " units"]:
        """Two-sided p of each unit; (b+1)/(m+1) where orders were drawn."""
        return self.share(self.reached)

    @property
    def p_maxt(self) -> Float[np.ndarray, " units"]:
        """Family-wise p, single step."""
        return self.share(self.reached_by_any)

    def share(self, reached: Int[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
        extra = 0 if self.exact else 1
        return np.asarray((reached + extra) / (self.orders + extra))


def unit_columns(rows: Float[np.ndarray, "n units"]) -> Float[np.ndarray, "n units"]:
    """Columns less their mean, over their length; a column of equal values becomes zeros."""
    scale = np.abs(rows).max(axis=0)
    scaled = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    centred = scaled - column_sum(scaled) / len(rows)
    centred[:, np.ptp(scaled, axis=0) <= NEAR_TIE] = 0.0
    length = np.sqrt(column_sum(centred**2))
    length[length == 0] = 1.0
    return np.asarray(centred / length)


def dose_orders(
    doses: Float[np.ndarray, " n"], flips: str | int, seed: int
) -> tuple[Iterator[Float[np.ndarray, "batch n"]], int, bool]:
    """Batches of orders of the doses, their number, and whether they are all n! of them.

    Raises ValueError where all are asked for and are too many.
    """
    number = math.factorial(len(doses))
    if flips == "exact" and number > 10 * MAX_ORDERS:
        raise ValueError(f'flips is "exact" with {number:,} orders; give "auto" or a number')
    if flips == "exact" or number <= MAX_ORDERS:
        return all_orders(doses), number, True
    wanted = DRAWN if isinstance(flips, str) else int(flips)
    return drawn_orders(doses, wanted, seed), wanted, False


def all_orders(doses: Float[np.ndarray, " n"]) -> Iterator[Float[np.ndarray, "batch n"]]:
    """All orders of the doses, equal ones told apart."""
    orders = itertools.permutations(range(len(doses)))
    while batch := list(itertools.islice(orders, BATCH_ROWS)):
        yield doses[np.array(batch)]


def drawn_orders(
    doses: Float[np.ndarray, " n"], number: int, seed: int
) -> Iterator[Float[np.ndarray, "batch n"]]:
    """Random orders of the doses."""
    generator = np.random.default_rng(seed)
    for start in range(0, number, BATCH_ROWS):
        rows = np.tile(doses, (min(BATCH_ROWS, number - start), 1))
        yield generator.permuted(rows, axis=1)


@compiled
def exact_correlation(
    rows: Float[np.ndarray, "rows n"], row: Integer, vectors: Float[np.ndarray, "n units"],
    unit: Integer,
) -> float:  # fmt: skip
    """|Correlation| of an order of the doses with one unit, in double precision."""
    total = 0.0
    for block in range(len(vectors)):
        total += rows[row, block] * vectors[block, unit]
    return abs(total)


@compiled
def tally_correlations(
    coarse: Int[np.ndarray, "rows units"],
    rows: Float[np.ndarray, "rows n"],
    vectors: Float[np.ndarray, "n units"],
    observed: Float[np.ndarray, " units"],
    possible: Int[np.ndarray, " units"],
    certain: Int[np.ndarray, " units"],
    error: float,
    reached: Int[np.ndarray, " units"],
    largest: Float[np.ndarray, " rows"],
) -> None:
    """Count for each unit the rows that reach its correlation, and find each row's largest.

    `coarse` are correlations in single precision, at most `error` off, `possible` and `certain`
    are `observed` less and plus that: all as the integers that their bits are, which compare as
    they do and more quickly. Only what they leave open is computed in double precision.
    """
    units = vectors.shape[1]
    for row in range(len(rows)):
        top = near = np.int32(0)
        for unit in range(units):
            place = np.uint64(unit)
            size = np.int32(coarse[row, place] & WITHOUT_SIGN)
            reached[place] += np.int32(size >= certain[place])
            near |= np.int32(size >= possible[place]) & np.int32(size < certain[place])
            top = max(top, size)
        for unit in range(units if near else 0):
            if possible[unit] <= coarse[row, unit] & WITHOUT_SIGN < certain[unit]:
                reached[unit] += exact_correlation(rows, row, vectors, unit) >= observed[unit]
        lowest = np.int32(top).view(np.float32) - np.float32(2 * error)
        least = np.float32(max(np.float32(0), lowest)).view(np.int32)
        largest[row] = 0.0
        for start in range(0, units, BLOCK):
            some = np.int32(0)
            for unit in range(start, min(start + BLOCK, units)):
                some |= np.int32(coarse[row, np.uint64(unit)] & WITHOUT_SIGN >= least)
            if some:
                for unit in range(start, min(start + BLOCK, units)):
                    if coarse[row, unit] & WITHOUT_SIGN >= least:
                        largest[row] = max(
                            largest[row], exact_correlation(rows, row, vectors, unit)
                        )


def permute_doses(
    doses: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n units"],
    flips: str | int,
    seed: int,
    progress: Progress | None = None,
) -> DoseNull:
    """Permute `doses` over the rows of `vectors` (columns as `unit_columns` gives them).

    |t| grows with |r| whatever the unit, so correlations are compared, all units at once in one
    matrix product per batch. Memory is flat in the number of orders.
    """
    n, units = vectors.shape
    observed = np.abs(correlations(doses, vectors)) - NEAR_CORRELATION
    ascending = np.sort(observed)
    error = (n + 8) * 2.0**-24
    possible = np.maximum(observed - error, 0).astype(np.float32).view(np.int32)
    certain = (observed + error).astype(np.float32).view(np.int32)
    short = vectors.astype(np.float32)
    reached = np.zeros(units, np.int32)
    by_any = np.zeros(units + 1, np.int64)
    orders, number, exact = dose_orders(doses, flips, seed)
    rows_at_once = max(1, BATCH_NUMBERS // units)
    done = 0
    for batch in orders:
        every = np.ascontiguousarray(unit_columns(batch.T).T)
        for start in range(0, len(every), rows_at_once):
            rows = every[start : start + rows_at_once]
            largest = np.empty(len(rows))
            coarse = (rows.astype(np.float32) @ short).view(np.int32)
            tally_correlations(
                coarse, rows, vectors, observed, possible, certain, error, reached, largest
            )
            by_any += np.bincount(
                np.searchsorted(ascending, largest, side="right"), minlength=units + 1
            )
        done += len(batch)
        if progress is not None:
            progress(done, number)
    at_least = np.cumsum(by_any[::-1])[::-1]
    by_rank = at_least[1 + np.searchsorted(ascending, observed)]
    return DoseNull(reached.astype(np.int64), by_rank, number, exact)


def correlations(
    doses: Float[np.ndarray, " n"], vectors: Float[np.ndarray, "n units"]
) -> Float[np.ndarray, " units"]:
    """Correlation of the doses with each column of unit vectors."""
    return column_sum(vectors * unit_columns(doses[:, None]))
