"""An analysis as tables: one row per unit, and the null distributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from otherview.analysis.analyse import Analysis
from otherview.analysis.statistics import STATISTICS
from otherview.models.sites import Unit
from otherview.stats import Column, PublishedReading, RoleTestResult, SignFlipResult, UnitResult
from otherview.stats.columns import STRONGEST_UNITS

UNIT_COLUMNS = (
    Column("unit", "address: block, stream, and head or channels", heading="unit"),
    Column("block_kind", "joint, single, self, cross or text"),
    Column("block", "number of the block among those of its kind"),
    Column("stream", "tokens that it sees: image, text, or all in one sequence"),
    Column("channel_kind", "attention or MLP"),
    Column("head", "number of the head; null for MLP channels"),
    Column("channel_start", "first channel of the out-projection’s input"),
    Column("channel_stop", "channel after the last"),
)
"""Where a unit is."""
LEVEL_COLUMN = Column(
    "noise_level", "noise in the latents; only with several levels", "share", "noise level"
)
COLUMNS = (
    *UNIT_COLUMNS,
    LEVEL_COLUMN,
    Column("mean_test", "mean response under the test role, over items and wordings", "response"),
    Column("mean_control", "the same under the control role", "response"),
    Column("mean_difference", "mean of the items’ differences, test minus control", "response"),
    Column("sd_difference", "standard deviation of these differences", "response"),
    *(column for statistic in STATISTICS for column in statistic.columns),
)
"""All columns of `heads.parquet` and `slices16.parquet`."""

NULL_COLUMNS = {
    "unit_set": pl.String, "null": pl.String, "statistic": pl.String,
    "value": pl.Float64, "upper": pl.Float64, "patterns": pl.Int64,
}  # fmt: skip
"""Of `nulls.parquet`."""


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Return Spearman's correlation; by polars, since scipy.stats takes long to import.

    NaN if either is constant.
    """
    pair = pl.DataFrame({"one": np.asarray(one), "other": np.asarray(other)})
    return float(pair.select(pl.corr("one", "other", method="spearman")).item())


def unit_table(analysis: Analysis) -> pl.DataFrame:
    """Return one row per unit (at each noise level): address, responses, every test.

    What was not computed is null.
    """
    difference = analysis.differences
    columns: dict[str, object] = {
        **place_columns(analysis.units),
        **level_column(analysis.units, analysis.noise_levels),
        "mean_test": analysis.test.mean(axis=0),
        "mean_control": analysis.control.mean(axis=0),
        "mean_difference": difference.mean(axis=0),
        "sd_difference": difference.std(axis=0, ddof=1),
    }
    for found in analysis.results.values():
        if isinstance(found, UnitResult):
            columns |= found.columns()
    return null_where_not_finite(pl.DataFrame(columns))


def place_columns(units: Sequence[Unit]) -> dict[str, object]:
    """Return the values of UNIT_COLUMNS, by name."""
    return {
        "unit": [unit.address for unit in units],
        "block_kind": [unit.site.block_kind for unit in units],
        "block": [unit.site.block for unit in units],
        "stream": [unit.site.stream for unit in units],
        "channel_kind": [unit.channel_kind for unit in units],
        "head": [unit.head for unit in units],
        "channel_start": [unit.start for unit in units],
        "channel_stop": [unit.stop for unit in units],
    }


def level_column(units: Sequence[Unit], levels: Sequence[float | None]) -> dict[str, object]:
    """Return the noise level of every unit by the name of its column; empty with one level."""
    if len(levels) == 1:
        return {}
    return {LEVEL_COLUMN.name: [levels[unit.step] for unit in units]}


def by_strength(table: pl.DataFrame) -> pl.DataFrame:
    """Return `table` with the strongest units first: those that follow the role, then by |t|.

    By |t| over items where there is no role test, which columns without a value say, too.
    """
    order = [pl.col("t").abs()]
    if "role_called" in table.columns:
        order = [pl.col("role_called"), pl.col("role_t").abs(), *order]
    return table.sort(order, descending=True, nulls_last=True)


def strongest(table: pl.DataFrame, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return those of `columns` that have a heading, for the strongest units of `table`."""
    shown = [column.name for column in columns if column.heading and column.name in table.columns]
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in by_strength(table).head(STRONGEST_UNITS).select(shown).to_dicts()
    ]


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
    tables = (
        pl.DataFrame(dict(zip(NULL_COLUMNS, (unit_set, *row), strict=True)), schema=NULL_COLUMNS)
        for unit_set, analysis in analyses.items()
        for row in nulls_of(analysis)
    )
    return null_where_not_finite(pl.concat(tables))


def nulls_of(analysis: Analysis) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Yield the values of NULL_COLUMNS after the first: null, statistic, and arrays or None."""
    reading, test = analysis.of(PublishedReading), analysis.of(SignFlipResult)
    drawn = {f"count_{count.threshold:g}": count.null for count in reading.counts}
    for statistic, null in {**drawn, "max_abs_t": reading.max_null}.items():
        values, patterns = np.unique(np.asarray(null), return_counts=True)
        yield "published", statistic, values, None, patterns
    for level, count in test.counts.items():
        values = np.flatnonzero(count.null)
        yield "sign_flip", f"count_{level:g}", values, None, count.null[values]
    for name, found in (("sign_flip", test), ("role_test", analysis.find(RoleTestResult))):
        if found is not None:
            edges, counts = found.max_null.edges, found.max_null.counts
            bins = np.flatnonzero(counts)
            yield name, "max_abs_t", edges[bins], edges[bins + 1], counts[bins]
