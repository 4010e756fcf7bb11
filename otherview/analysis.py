"""Reads the responses as a study asks and tests every unit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.responses import Responses
from otherview.sites import Unit, units_of
from otherview.stats import PublishedReading, published_reading
from otherview.study import Study

TOP_BLOCKS = 5


@dataclass(frozen=True)
class Analysis:
    """One set of units of a study, tested."""

    unit_set: str
    """heads or slices16."""
    units: tuple[Unit, ...]
    test: Float[np.ndarray, "items units"]
    """Response under the test role, mean over its wordings."""
    control: Float[np.ndarray, "items units"]
    published: PublishedReading

    @property
    def differences(self) -> Float[np.ndarray, "items units"]:
        """Test minus control, a row a pair."""
        return np.asarray(self.test - self.control)


def analyse(responses: Responses, study: Study) -> list[Analysis]:
    """An analysis for every entry of `study.capture.units`.

    Units whose site does not see the study's token group are left out.
    """
    capture, nulls = study.capture, study.nulls
    is_test = np.array([role == "test" for role in responses.prompts.roles])
    analyses = []
    for unit_set in capture.units:
        units = tuple(
            unit
            for unit in units_of(responses.sites, unit_set)
            if capture.tokens == "all" or capture.tokens in unit.site.token_groups
        )
        values = responses.read(units, capture.tokens, capture.response)
        test, control = values[:, is_test].mean(axis=1), values[:, ~is_test].mean(axis=1)
        reading = published_reading(
            test - control, thresholds=nulls.thresholds, flips=nulls.flips, seed=study.seed
        )
        analyses.append(Analysis(unit_set, units, test, control, reading))
    return analyses


def unit_table(analysis: Analysis) -> pl.DataFrame:
    """A row a unit: address, responses, t. What has no value is null."""
    units, difference = analysis.units, analysis.differences
    return pl.DataFrame(
        {
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
            "t": analysis.published.t,
            "degenerate": analysis.published.degenerate,
        }
    ).with_columns(pl.col("t").fill_nan(None))


def null_table(analyses: list[Analysis]) -> pl.DataFrame:
    """Null distributions: how many flips gave which value of which statistic."""
    frames = []
    for analysis in analyses:
        reading = analysis.published
        nulls = {f"count_{count.threshold:g}": count.null for count in reading.counts}
        for statistic, null in {**nulls, "max_abs_t": reading.max_null}.items():
            values, flips = np.unique(np.asarray(null, dtype=np.float64), return_counts=True)
            frames.append(
                pl.DataFrame(
                    {
                        "unit_set": [analysis.unit_set] * len(values),
                        "null": ["published"] * len(values),
                        "statistic": [statistic] * len(values),
                        "value": values,
                        "flips": flips,
                    }
                )
            )
    return pl.concat(frames)


def summarise(analysis: Analysis) -> dict[str, Any]:
    """The table of the published study for one set of units, ready for JSON."""
    reading = analysis.published
    total = len(analysis.units)
    counts = []
    for count in reading.counts:
        row: dict[str, Any] = {
            "threshold": count.threshold,
            "observed": count.observed,
            "share": count.observed / total,
            "null_mean": count.null_mean,
            "null_p99": count.null_p99,
        }
        if count.ratio is not None:
            row["ratio"] = count.ratio
        counts.append(row)
    summary: dict[str, Any] = {
        "units": total,
        "units_by_kind": dict(Counter(unit.channel_kind for unit in analysis.units)),
        "degenerate": [
            unit.address
            for unit, is_degenerate in zip(analysis.units, reading.degenerate, strict=True)
            if is_degenerate
        ],
        "published_reading": {"flips": reading.flips, "seed": reading.seed, "counts": counts},
        "top_blocks": top_blocks(analysis),
    }
    if reading.max_abs_t is not None:
        summary["published_reading"]["max_abs_t"] = reading.max_abs_t
    return summary


def top_blocks(analysis: Analysis) -> list[dict[str, Any]]:
    """The blocks with the largest |t|, a row a block and stream."""
    reading = analysis.published
    lowest = min(count.threshold for count in reading.counts)
    rows = (
        pl.DataFrame(
            {
                "block": [unit.site.address for unit in analysis.units],
                "unit": [unit.address for unit in analysis.units],
                "abs_t": np.abs(reading.t),
            }
        )
        .filter(pl.col("abs_t").is_not_nan())
        .group_by("block")
        .agg(
            max_abs_t=pl.col("abs_t").max(),
            unit=pl.col("unit").sort_by("abs_t").last(),
            units=pl.len(),
            above=(pl.col("abs_t") > lowest).sum(),
        )
        .sort("max_abs_t", "block", descending=[True, False])
        .head(TOP_BLOCKS)
    )
    return rows.to_dicts()
