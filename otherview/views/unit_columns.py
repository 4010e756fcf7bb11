"""The columns of unit tables that views show, and the format of their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from otherview.analysis.tables import COLUMNS
from otherview.stats import Column, RoleTestResult
from otherview.stats.columns import PROBABILITY
from otherview.views.head_verdicts import by_evidence
from otherview.views.numbers import DASH, known, signed, significant
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
    PROBABILITY: significant,
    "variance ratio": significant,
    "response": significant,
    "share": "{:.4g}".format,
    "effect": significant,
    "of the prediction": significant,
}
"""Formats by unit of measurement; other numbers have a sign."""


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
