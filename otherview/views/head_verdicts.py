"""What editing each head alone did, joined to the table of heads."""

from __future__ import annotations

import polars as pl

from otherview.analysis.tables import LEVEL_COLUMN, by_strength
from otherview.causes.verdicts import POSITIVE, SENTENCES, VERDICTS
from otherview.results.reader import RunResult
from otherview.stats import Column
from otherview.views.run_tables import ROLES, measure_title, primary_measure

VERDICT = Column("verdict", "whether the head differs, and what editing it alone does")
DOES = Column("does", "what editing this head alone does", heading="verdict")
DEPENDS = Column(
    "role_depends",
    "the head differs, and its edit shows that the role depends on it",
    heading="role depends on it",
)
JUDGED_BY_WAY = ("patch", "steer")
"""Kinds of edit whose verdict is the way toward the other role."""


def verdict_columns(result: RunResult) -> tuple[Column, ...]:
    """Return the columns that an intervention adds: verdict, and the effect on each role."""
    found = result.interventions
    if found is None:
        return ()
    primary = primary_measure(found)
    asked = {primary["name"], *(("toward",) if found["kind"] in JUDGED_BY_WAY else ())}
    return (
        VERDICT,
        DOES,
        DEPENDS,
        *(
            Column(
                f"{measure['name']}_{role}",
                f"{measure_title(measure)}: {role} role, this head edited alone "
                f"({found['variants'][0]})",
                "effect",
                f"{measure['name']}, {role}",
            )
            for measure in found["measures"]
            if measure["name"] in asked
            for role in ROLES
        ),
    )


def with_verdicts(
    heads: pl.DataFrame, result: RunResult, *, every_level: bool = False
) -> pl.DataFrame:
    """Return `heads`, a table of units, with `verdict_columns`; unchanged without intervention.

    Heads are edited at the first noise level: rows of others have no verdict, or with `every_level`
    that of the head.
    """
    singles, columns = result.single_heads, verdict_columns(result)
    if singles is None:
        return heads
    positive = [key for key, verdict in VERDICTS.items() if verdict.positive]
    sentences = {
        key: SENTENCES[verdict.effect].partition(":")[0] for key, verdict in VERDICTS.items()
    }
    found = singles.with_columns(
        does=pl.col("verdict").replace_strict(sentences, return_dtype=pl.String),
        role_depends=pl.col("verdict").is_in(positive),
    ).select("unit", *(column.name for column in columns))
    joined = heads.join(found, on="unit", how="left", maintain_order="left")
    level = LEVEL_COLUMN.name
    if every_level or level not in heads.columns:
        return joined
    first = pl.col(level) == result.heads[level][0]
    return joined.with_columns(
        pl.when(first).then(pl.col(column.name)).alias(column.name) for column in columns
    )


def by_evidence(table: pl.DataFrame) -> pl.DataFrame:
    """Return `table` with the strongest evidence first.

    Positive verdicts lead, in the order of `POSITIVE`; then heads that are called by the role test
    and by their predicted change; then as in `by_strength`.
    """
    order = {
        key: POSITIVE.index(verdict.effect) for key, verdict in VERDICTS.items() if verdict.positive
    }
    standing = pl.lit(len(POSITIVE) + 1)
    if {"role_called", "predicted_called"} <= {*table.columns}:
        both = pl.col("role_called") & pl.col("predicted_called")
        standing = pl.when(both).then(len(POSITIVE)).otherwise(standing)
    if "verdict" in table.columns:
        given = pl.col("verdict").replace_strict(order, default=None, return_dtype=pl.Int32)
        standing = pl.coalesce(given, standing)
    return (
        by_strength(table)
        .with_columns(standing=standing)
        .sort("standing", maintain_order=True)
        .drop("standing")
    )
