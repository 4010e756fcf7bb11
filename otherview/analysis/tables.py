"""An analysis as tables: a row a unit, and the null distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from otherview.analysis.analyse import Analysis
from otherview.stats import RoleTestResult, SignFlipResult


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's correlation, mean ranks for ties; by polars, since scipy.stats takes long to load.

    NaN where either is constant.
    """
    pair = pl.DataFrame({"one": np.asarray(one), "other": np.asarray(other)})
    return float(pair.select(pl.corr("one", "other", method="spearman")).item())


def unit_table(analysis: Analysis) -> pl.DataFrame:
    """A row a unit: address, responses, every test. What was not computed is null."""
    units, difference, test = analysis.units, analysis.differences, analysis.sign_flip
    columns: dict[str, object] = {
        "unit": [unit.address for unit in units],
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
        "degenerate": analysis.published.degenerate,
        "t": analysis.published.t,
        "p": test.p,
        "p_strict": test.p_strict,
        "p_method": list(test.p_method),
        **corrected_columns(test),
    }
    columns |= half_columns(analysis)
    columns |= trend_columns(analysis)
    if analysis.role is not None:
        columns |= role_columns(analysis.role)
    return null_where_not_finite(pl.DataFrame(columns))


def corrected_columns(test: SignFlipResult) -> dict[str, object]:
    """The columns of p values corrected for all units, of effect sizes, and what they find."""
    return {
        "p_maxt": test.p_maxt,
        "p_stepdown": test.p_stepdown,
        "p_holm": test.p_holm,
        "q_bh": test.q_bh,
        "q_by": test.q_by,
        "dz": test.dz,
        "g": test.g,
        "g_low": test.g_interval[:, 0],
        "g_high": test.g_interval[:, 1],
        "familywise": test.p_stepdown <= test.alpha,
    }


def role_columns(found: RoleTestResult) -> dict[str, object]:
    """The columns of a role test."""
    return {
        "role_t": found.t,
        "role_min_f": found.min_f,
        "role_p": found.p,
        "role_p_maxt": found.p_maxt,
        "role_called": found.called,
        "role_failed": list(found.failed),
    }


def null_where_not_finite(table: pl.DataFrame) -> pl.DataFrame:
    """`table` with null for every number that is NaN or infinite: it was not computed."""
    numbers = [name for name, dtype in table.schema.items() if dtype == pl.Float64]
    return table.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in numbers
    )


def half_columns(analysis: Analysis) -> dict[str, object]:
    halves = analysis.discover_confirm
    if halves is None:
        return {}
    return {
        "discovered": halves.selected,
        "confirmed": halves.confirmed,
        "p_confirmation": halves.p_confirmation,
    }


def trend_columns(analysis: Analysis) -> dict[str, object]:
    found = analysis.trend
    if found is None:
        return {}
    return {"trend_slope": found.slope, "trend_p": found.p, "trend_p_maxt": found.p_maxt}


def null_table(analyses: Sequence[Analysis]) -> pl.DataFrame:
    """Null distributions: how many sign patterns gave which value of which statistic.

    `value` is the value, or the lower edge of a bin that ends at `upper`.
    """
    frames = []
    for analysis in analyses:
        frames += [published_null(analysis), sign_flip_null(analysis.sign_flip)]
        for index in (-2, -1):
            frames[index] = frames[index].select(
                pl.lit(analysis.unit_set).alias("unit_set"), pl.all()
            )
    return pl.concat(frames)


def published_null(analysis: Analysis) -> pl.DataFrame:
    reading = analysis.published
    nulls = {f"count_{count.threshold:g}": count.null for count in reading.counts}
    frames = []
    for statistic, null in {**nulls, "max_abs_t": reading.max_null}.items():
        values, patterns = np.unique(np.asarray(null, dtype=np.float64), return_counts=True)
        frames.append(null_rows("published", statistic, values, patterns))
    return pl.concat(frames)


def sign_flip_null(test: SignFlipResult) -> pl.DataFrame:
    frames = []
    for level, count in test.counts.items():
        values = np.flatnonzero(count.null)
        rows = null_rows("sign_flip", f"count_{level:g}", values, count.null[values])
        frames.append(rows)
    bins = np.flatnonzero(test.max_null.counts)
    low, high = test.max_null.edges[bins], test.max_null.edges[bins + 1]
    frames.append(null_rows("sign_flip", "max_abs_t", low, test.max_null.counts[bins], high))
    return pl.concat(frames)


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
