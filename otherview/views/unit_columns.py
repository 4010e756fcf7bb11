"""The columns of unit tables that views show, with verdicts of edits, and their format."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from otherview.analysis.tables import COLUMNS, LEVEL_COLUMN, by_strength
from otherview.causes.verdicts import POSITIVE, SENTENCES, VERDICTS
from otherview.results.reader import RunResult
from otherview.stats import Column, RoleTestResult
from otherview.stats.columns import PROBABILITY
from otherview.views.numbers import DASH, known, signed, significant
from otherview.views.run_tables import ROLES, measure_title, primary_measure
from otherview.views.table_model import Table
from otherview.views.vocabulary import row_name

COMBINED = (
    Column(
        "in_every_template",
        "differs family-wise, with one sign, in every template",
        heading="every template",
    ),
)
"""Columns that only a combined sweep has."""
FORMS = {
    **dict.fromkeys(
        (PROBABILITY, "variance ratio", "response", "effect", "of the prediction"), significant
    ),
    "share": "{:.4g}".format,
}
"""Formats by unit of measurement; other numbers have a sign."""


VERDICT = Column("verdict", "whether the head differs, and what editing it alone does")
DOES = Column("does", "what editing this head alone does", heading="verdict")
DEPENDS = Column(
    "role_depends",
    "the head differs, and its edit shows that the role depends on it",
    heading="role depends on it",
)
JUDGED_BY_WAY = ("patch", "steer")
"""Kinds of edit whose verdict is the way toward the other role."""


def shown_columns(
    names: Collection[str], columns: Sequence[Column] = (*COLUMNS, *COMBINED)
) -> list[Column]:
    """Return those of `columns` among `names` that have a heading."""
    return [column for column in columns if column.heading and column.name in names]


def ranking_first(columns: Sequence[Column]) -> list[Column]:
    """Return the unit's column, those of the role test, which ranks units, and the others."""
    unit, *others = columns
    return [unit, *sorted(others, key=lambda column: column not in RoleTestResult.COLUMNS)]


def text_of(column: Column, value: Any) -> str:
    """Return one cell."""
    if isinstance(value, bool):
        return "yes" if value else DASH
    if isinstance(value, str):
        return value or DASH
    return known(value, FORMS.get(column.unit, signed))


def strongest_table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column] = (*COLUMNS, *COMBINED),
) -> Table:
    """Return the table of the strongest units; the columns that rank them come first."""
    shown = ranking_first(shown_columns({name for row in rows for name in row}, columns))
    return Table(
        title,
        [column.heading for column in shown],
        [[text_of(column, row.get(column.name)) for column in shown] for row in rows],
    )


@dataclass(frozen=True)
class UnitTable:
    """A table of units that can be sorted and filtered."""

    columns: list[Column]
    """After the unit's address."""
    words: set[str]
    """Names of the columns of text."""
    signed: set[str]
    """Names of the columns whose sign means a side."""
    rows: list[tuple[str, list[tuple[str, Any]], str]]
    """Name, (text, sort key) of every cell, and the filters that the unit passes."""
    filters: list[tuple[str, str, int]]
    """Name, heading and number of units of every filter: the columns of yes and no."""

    def first_order(self, column: Column) -> str:
        """Return how the first click on a heading sorts: by size where a sign means a side."""
        if column.unit == PROBABILITY or column.name in self.words:
            return "ascending"
        return "size" if column.name in self.signed else "descending"


def unit_rows(table: pl.DataFrame, columns: Sequence[Column] = (*COLUMNS, *COMBINED)) -> UnitTable:
    """Return a unit table as the page shows it, the strongest evidence first."""
    present = [name for name in table.columns if table[name].null_count() < len(table)]
    _, *shown = shown_columns(present, columns)
    yes_no = [column for column in shown if table[column.name].dtype == pl.Boolean]
    words = {column.name for column in shown if table[column.name].dtype == pl.String}
    signed = {
        column.name
        for column in shown
        if table[column.name].dtype == pl.Float64 and column.unit not in FORMS
    }
    return UnitTable(
        shown,
        words,
        signed,
        [
            (
                row_name(row),
                [
                    (text_of(column, row[column.name]), sorted_by(row[column.name]))
                    for column in shown
                ],
                " ".join(column.name for column in yes_no if row[column.name]),
            )
            for row in by_evidence(table).iter_rows(named=True)
        ],
        [
            (column.name, column.heading, int(table[column.name].fill_null(False).sum()))
            for column in yes_no
        ],
    )


def sorted_by(value: Any) -> float | str | None:
    """Return the sort key of a cell: a number, or "" to sort by its text; None comes last."""
    return value if value is None else "" if isinstance(value, str) else float(value)


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
