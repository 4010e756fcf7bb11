"""The combined tests as tables: combined_heads.parquet and combined_slices16.parquet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.tables import null_where_not_finite
from otherview.stats import RoleTestResult, SignFlipResult
from otherview.sweep.combine.group_tests import Tested
from otherview.sweep.combine.groups import Group

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
    """A list a unit, of the items' values."""
    return pl.Series(np.ascontiguousarray(values.T), dtype=pl.Array(pl.Float64, len(values))).cast(
        pl.List(pl.Float64)
    )


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
