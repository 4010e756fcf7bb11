"""The unit tables of all points as one: sweep.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from otherview.sweep.combine.finished_points import Point
from otherview.sweep.combine.groups import Contrast, Group
from otherview.sweep.combine.point_responses import DamagedPointsError, Layout

POINT_COLUMNS: dict[str, pl.DataType] = {
    "unit": pl.String(),
    "block_kind": pl.String(),
    "block": pl.Int64(),
    "stream": pl.String(),
    "channel_kind": pl.String(),
    "head": pl.Int64(),
    "channel_start": pl.Int64(),
    "channel_stop": pl.Int64(),
    "mean_test": pl.Float64(),
    "mean_control": pl.Float64(),
    "mean_difference": pl.Float64(),
    "sd_difference": pl.Float64(),
    "t": pl.Float64(),
    "p": pl.Float64(),
    "p_maxt": pl.Float64(),
    "p_stepdown": pl.Float64(),
    "q_bh": pl.Float64(),
    "g": pl.Float64(),
    "g_low": pl.Float64(),
    "g_high": pl.Float64(),
    "familywise": pl.Boolean(),
    "confirmed": pl.Boolean(),
    "trend_slope": pl.Float64(),
    "trend_p_maxt": pl.Float64(),
    "role_t": pl.Float64(),
    "role_min_f": pl.Float64(),
    "role_p": pl.Float64(),
    "role_p_maxt": pl.Float64(),
    "role_called": pl.Boolean(),
}
"""Columns of a point's unit table that sweep.parquet takes over; null where a point lacks them."""
BATCH = 256
"""Points whose tables are held at once."""


def collect_tables(group: Group, layouts: Sequence[Layout], scratch: Path) -> None:
    """Write the unit tables of the points of `group` below `scratch`, some points per file.

    Raises DamagedPointsError.
    """
    for earlier in scratch.glob(f"{group.id}-*"):
        earlier.unlink()
    contrasts = [contrast for contrast in group.contrasts for _ in contrast.points]
    reasons: dict[str, str] = {}
    for layout in layouts:
        for start in range(0, len(group.points), BATCH):
            points = group.points[start : start + BATCH]
            try:
                table = read_batch(points, layout)
            except DamagedPointsError as error:
                reasons |= error.reasons
                continue
            labelled = labels(group, contrasts[start : start + BATCH], points, layout)
            path = scratch / f"{group.id}-{layout.unit_set}-{start:08}.parquet"
            pl.concat([labelled, table], how="horizontal").write_parquet(path)
    if reasons:
        raise DamagedPointsError(reasons)


def write_sweep_table(scratch: Path, target: Path) -> None:
    """One table of all that `collect_tables` wrote; it is streamed and never held."""
    pl.scan_parquet(sorted(scratch.glob("*.parquet"))).sink_parquet(target)


def labels(
    group: Group, contrasts: Sequence[Contrast], points: Sequence[Point], layout: Layout
) -> pl.DataFrame:
    """The columns that say which point a row is of."""
    columns = pl.DataFrame(
        {
            "point": [point.name for point in points],
            "group": [group.id] * len(points),
            "model": [group.study.model.name] * len(points),
            "templates": [contrast.name for contrast in contrasts],
            "placebo": [contrast.placebo for contrast in contrasts],
            "seed": [point.seed for point in points],
            "unit_set": [layout.unit_set] * len(points),
        },
        schema_overrides={"placebo": pl.String(), "seed": pl.Int64()},
    )
    return columns[np.repeat(np.arange(len(points)), layout.units.height)]


def read_batch(points: Sequence[Point], layout: Layout) -> pl.DataFrame:
    """The tables of `points` one below the other. Raises DamagedPointsError."""
    try:
        table = read(points, layout)
        if has_units(table, layout, len(points)):
            return table
    except (pl.exceptions.PolarsError, OSError):
        pass
    reasons = {}
    for point in points:
        file = f"damaged: {layout.unit_set}.parquet"
        try:
            if not has_units(read([point], layout), layout, 1):
                reasons[point.name] = f"{file}: it holds other units than the group's other points"
        except (pl.exceptions.PolarsError, OSError) as error:
            reasons[point.name] = f"{file}: {str(error).splitlines()[0]}"
    raise DamagedPointsError(reasons)


def read(points: Sequence[Point], layout: Layout) -> pl.DataFrame:
    return (
        pl.scan_parquet(
            [point.folder / f"{layout.unit_set}.parquet" for point in points],
            schema=POINT_COLUMNS,
            missing_columns="insert",
            extra_columns="ignore",
        )
        .select(*POINT_COLUMNS)
        .collect()
    )


def has_units(table: pl.DataFrame, layout: Layout, points: int) -> bool:
    units = layout.units["unit"].to_numpy()
    found = table["unit"].to_numpy()
    return found.size == points * units.size and bool(
        (found.reshape(points, units.size) == units).all()
    )
