"""The unit tables of all points as one: sweep.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from otherview.sweep.combine.groups import Group
from otherview.sweep.combine.point_responses import ADDRESS

INTEGERS = ("block", "head", "channel_start", "channel_stop")
NUMBERS = (
    "mean_test", "mean_control", "mean_difference", "sd_difference", "t", "p", "p_maxt",
    "p_stepdown", "q_bh", "g", "g_low", "g_high", "trend_slope", "trend_p_maxt", "role_t",
    "role_p", "role_p_maxt",
)  # fmt: skip
SCHEMA: dict[str, pl.DataType] = {
    **{name: pl.Int64() if name in INTEGERS else pl.String() for name in ADDRESS},
    **{name: pl.Float64() for name in NUMBERS},
    **{name: pl.Boolean() for name in ("familywise", "confirmed", "role_called")},
}
"""Columns of a point's unit table that sweep.parquet takes over; null where a point lacks them."""


def write_sweep_table(groups: Sequence[Group], target: Path) -> None:
    """Write one row per point and unit; the table is streamed and never held."""
    tables = [
        point_tables(group, unit_set)
        for group in sorted(groups, key=lambda group: group.id)
        for unit_set in sorted(group.study.capture.units)
    ]
    pl.concat(tables).sink_parquet(target)


def point_tables(group: Group, unit_set: str) -> pl.LazyFrame:
    """Return the unit tables of the points of `group`, one after the other, with their labels."""
    labels = pl.DataFrame(
        [
            {
                "file": str(point.folder / f"{unit_set}.parquet"),
                "point": point.name,
                "group": group.id,
                "model": group.study.model.name,
                "templates": contrast.name,
                "placebo": contrast.placebo,
                "seed": point.seed,
                "unit_set": unit_set,
            }
            for contrast in group.contrasts
            for point in contrast.points
        ],
        schema_overrides={"placebo": pl.String(), "seed": pl.Int64()},
    )
    tables = pl.scan_parquet(
        labels["file"].to_list(),
        schema=SCHEMA,
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths="file",
    )
    labelled = tables.join(labels.lazy(), on="file", how="left", maintain_order="left")
    return labelled.select(*labels.columns[1:], *SCHEMA)
