"""An analysis as tables: one row per unit, and the null distributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from otherview.analysis.analyse import Analysis
from otherview.analysis.statistics import STATISTICS, UnitResult
from otherview.stats import Column, MaxNull, PublishedReading, RoleTestResult, SignFlipResult

UNIT_COLUMNS = (
    Column("unit", "address: block, stream, and head or channels", heading="unit"),
    Column("block_kind", "joint or single"),
    Column("block", "number of the block among those of its kind"),
    Column("stream", "image or text; all in single blocks"),
    Column("channel_kind", "attention or MLP"),
    Column("head", "number of the head; null for MLP channels"),
    Column("channel_start", "first channel of the out-projection’s input"),
    Column("channel_stop", "channel after the last"),
)
"""Where a unit is."""
RESPONSE_COLUMNS = (
    Column("mean_test", "mean response under the test role, over items and wordings", "response"),
    Column("mean_control", "the same under the control role", "response"),
    Column("mean_difference", "mean of the items’ differences, test minus control", "response"),
    Column("sd_difference", "standard deviation of these differences", "response"),
)
COLUMNS = (
    *UNIT_COLUMNS,
    *RESPONSE_COLUMNS,
    *(column for statistic in STATISTICS for column in statistic.columns),
)
"""All columns of `heads.parquet` and `slices16.parquet`."""


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Return Spearman's correlation; by polars, since scipy.stats takes long to import.

    NaN if either is constant.
    """
    pair = pl.DataFrame({"one": np.asarray(one), "other": np.asarray(other)})
    return float(pair.select(pl.corr("one", "other", method="spearman")).item())


def unit_table(analysis: Analysis) -> pl.DataFrame:
    """Return one row per unit: address, responses, every test. What was not computed is null."""
    units, difference = analysis.units, analysis.differences
    columns: dict[str, object] = {
        "unit": analysis.addresses,
        "block_kind": [unit.site.block_kind for unit in units],
        "block": [unit.site.block for unit in units],
        "stream": [unit.site.stream for unit in units],
        "channel_kind": [unit.channel_kind for unit in units],
        "head": [unit.head for unit in units],
        "channel_start": [unit.start for unit in units],
        "channel_stop": [unit.stop for unit in units],
        "mean_test": analysis.test.mean(axis=0),
        "mean_control": analysis.control.mean(axis=0),
        "mean_difference": difference.mean(axis=0),
        "sd_difference": difference.std(axis=0, ddof=1),
    }
    for found in analysis.results.values():
        if isinstance(found, UnitResult):
            columns |= found.columns()
    return null_where_not_finite(pl.DataFrame(columns))


def by_strength(table: pl.DataFrame) -> pl.DataFrame:
    """Return `table` with the strongest units first: those that follow the role, then by |t|."""
    order = [pl.col("t").abs()]
    if "role_called" in table.columns:
        order = [pl.col("role_called"), pl.col("role_t").abs()]
    return table.sort(order, descending=True, nulls_last=True)


def null_where_not_finite(table: pl.DataFrame) -> pl.DataFrame:
    """Return `table` with null for every number that is NaN or infinite."""
    numbers = [name for name, dtype in table.schema.items() if dtype == pl.Float64]
    return table.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in numbers
    )


def null_table(analyses: Mapping[str, Analysis]) -> pl.DataFrame:
    """Return how many randomisations gave which value of which statistic, by unit set.

    Of the published reading and the sign-flip test these are sign patterns.

    `value` is the value, or the lower edge of a bin that ends at `upper`.
    """
    return pl.concat(
        frame.select(pl.lit(unit_set).alias("unit_set"), pl.all())
        for unit_set, analysis in analyses.items()
        for frame in (
            *published_nulls(analysis.of(PublishedReading)),
            *sign_flip_nulls(analysis.of(SignFlipResult)),
            *role_nulls(analysis.find(RoleTestResult)),
        )
    )


def published_nulls(reading: PublishedReading) -> Iterator[pl.DataFrame]:
    nulls = {f"count_{count.threshold:g}": count.null for count in reading.counts}
    for statistic, null in {**nulls, "max_abs_t": reading.max_null}.items():
        values, patterns = np.unique(np.asarray(null, dtype=np.float64), return_counts=True)
        yield null_rows("published", statistic, values, patterns)


def sign_flip_nulls(test: SignFlipResult) -> Iterator[pl.DataFrame]:
    for level, count in test.counts.items():
        values = np.flatnonzero(count.null)
        yield null_rows("sign_flip", f"count_{level:g}", values, count.null[values])
    yield max_null_rows("sign_flip", test.max_null)


def role_nulls(test: RoleTestResult | None) -> Iterator[pl.DataFrame]:
    if test is not None:
        yield max_null_rows("role_test", test.max_null)


def max_null_rows(null: str, of_largest: MaxNull) -> pl.DataFrame:
    bins = np.flatnonzero(of_largest.counts)
    low, high = of_largest.edges[bins], of_largest.edges[bins + 1]
    return null_rows(null, "max_abs_t", low, of_largest.counts[bins], high)


def null_rows(
    null: str,
    statistic: str,
    values: np.ndarray,
    patterns: np.ndarray,
    upper: np.ndarray | None = None,
) -> pl.DataFrame:
    ends = pl.Series(np.full(len(values), np.nan) if upper is None else upper)
    return pl.DataFrame(
        {
            "null": [null] * len(values),
            "statistic": [statistic] * len(values),
            "value": values.astype(np.float64),
            "upper": ends,
            "patterns": patterns.astype(np.int64),
        }
    ).with_columns(pl.when(pl.col("upper").is_finite()).then(pl.col("upper")))
