"""The tables of a sweep: the unit tables of all points in sweep.parquet, and the combined tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.tables import null_where_not_finite
from otherview.stats import RoleTestResult, SignFlipResult
from otherview.sweep.combine.group_tests import Tested
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
EFFECTS = (
    "item", "template", "seed", "item:template", "item:seed", "template:seed", "residual",
)  # fmt: skip


def combined_table(group: Group, tested: Tested) -> pl.DataFrame:
    """One row per unit and contrast, then one per unit over all contrasts; docs/combined.md."""
    responses = tested.responses
    frames = []
    for index, contrast in enumerate(group.contrasts):
        kind = "placebo" if contrast.placebo else "contrast"
        columns: dict[str, object] = {
            "mean_test": responses.test[index],
            "mean_control": responses.control[index],
            **test_columns(tested.contrasts[index], responses.differences[index]),
        }
        found = responses.selective.get(contrast.name)
        if found is not None:
            columns |= found.columns() | {"selectivity_by_item": lists(found.by_item)}
        frames.append(rows(group, tested, kind, contrast.name, columns))
    if tested.pooled is not None:
        frames.append(rows(group, tested, "pooled", None, pooled_columns(tested)))
    return null_where_not_finite(pl.concat(frames, how="diagonal_relaxed"))


def join(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The tables of all groups as one, with every documented column."""
    empty = pl.DataFrame(schema=OPTIONAL)
    joined = pl.concat([*tables, empty], how="diagonal_relaxed")
    given = [name for name in joined.columns if name not in OPTIONAL]
    return joined.select(*given, *OPTIONAL)


def rows(
    group: Group, tested: Tested, kind: str, templates: str | None, columns: dict[str, object]
) -> pl.DataFrame:
    units = tested.responses.layout.units
    named = units.select(
        pl.lit(group.id).alias("group"),
        pl.lit(kind).alias("kind"),
        pl.lit(templates, dtype=pl.String).alias("templates"),
        pl.all(),
    )
    return pl.concat([named, pl.DataFrame(columns)], how="horizontal")


def test_columns(
    test: SignFlipResult,
    differences: Float[np.ndarray, "items units"],
) -> dict[str, object]:
    return {
        "mean_difference": test.mean,
        "sd_difference": differences.std(axis=0, ddof=1),
        **test.columns(),
        "difference_by_item": lists(differences),
    }


def pooled_columns(tested: Tested) -> dict[str, object]:
    responses, test = tested.responses, tested.pooled
    assert test is not None
    columns = test_columns(test, responses.balanced.mean(axis=0))
    columns |= {
        "significant_templates": tested.significant_contrasts,
        "p_in_every_template": tested.p_in_every,
        "in_every_template": tested.in_every,
    }
    if responses.variance is not None:
        for prefix, found in (
            ("variance", responses.variance.components),
            ("share", responses.variance.shares),
        ):
            columns |= {
                f"{prefix}_{effect.replace(':', '_')}": values for effect, values in found.items()
            }
    if tested.role is not None:
        columns |= tested.role.columns()
    return columns


def lists(values: Float[np.ndarray, "items units"]) -> pl.Series:
    """One list per unit, of the items' values."""
    return pl.Series(values.T.tolist(), dtype=pl.List(pl.Float64))


OPTIONAL: dict[str, pl.DataType] = {
    "selectivity": pl.Float64(),
    "selectivity_sd": pl.Float64(),
    "selectivity_by_item": pl.List(pl.Float64()),
    "selective_items": pl.Float64(),
    "significant_templates": pl.Int64(),
    "p_in_every_template": pl.Float64(),
    "in_every_template": pl.Boolean(),
    **{
        f"{prefix}_{effect.replace(':', '_')}": pl.Float64()
        for prefix in ("variance", "share")
        for effect in EFFECTS
    },
    **{
        column.name: pl.Boolean() if column.name == "role_called" else pl.Float64()
        for column in RoleTestResult.COLUMNS
    },
}
"""Columns that not every sweep can fill: null there."""


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
    rows = [
        {"file": str(point.folder / f"{unit_set}.parquet"), "point": point.name, "group": group.id,
         "model": group.study.model.name, "templates": contrast.name, "placebo": contrast.placebo,
         "seed": point.seed, "unit_set": unit_set}
        for contrast in group.contrasts for point in contrast.points
    ]  # fmt: skip
    labels = pl.DataFrame(rows, schema_overrides={"placebo": pl.String(), "seed": pl.Int64()})
    tables = pl.scan_parquet(
        labels["file"].to_list(),
        schema=SCHEMA,
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths="file",
    )
    labelled = tables.join(labels.lazy(), on="file", how="left", maintain_order="left")
    return labelled.select(*labels.columns[1:], *SCHEMA)
