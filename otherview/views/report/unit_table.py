"""The table of heads as the page shows it: what a column means, its text, and how it sorts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from otherview.views.figures.numbers import signed, significant

Row = Mapping[str, Any]
ABSENT = "–"


@dataclass(frozen=True)
class Column:
    """A column of the page's table."""

    heading: str
    meaning: str
    needs: str
    """Column of the unit table without which there is nothing to show."""
    text: Callable[[Row], str]
    value: Callable[[Row], float | str | None]
    """What it is sorted by; None is last."""
    is_text: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class TableRow:
    """A head's row; `flags` are the names of the filters that it passes."""

    unit: str
    cells: tuple[Cell, ...]
    flags: str


def _signed(name: str) -> Callable[[Row], str]:
    return lambda row: ABSENT if row[name] is None else signed(row[name])


def small(name: str) -> Callable[[Row], str]:
    return lambda row: ABSENT if row[name] is None else significant(row[name])


def rounded(name: str) -> Callable[[Row], str]:
    return lambda row: ABSENT if row[name] is None else f"{row[name]:,.0f}"


def plain(name: str) -> Callable[[Row], float | None]:
    return lambda row: None if row[name] is None else float(row[name])


def yes(name: str) -> Callable[[Row], str]:
    return lambda row: "yes" if row[name] else ABSENT


def interval(row: Row) -> str:
    if row["g_low"] is None or row["g_high"] is None:
        return ABSENT
    return f"{signed(row['g_low'])} to {signed(row['g_high'])}"


COLUMNS = (
    Column("head", "block, stream and number", "unit", lambda row: str(row["unit"]),
           lambda row: str(row["unit"]), is_text=True),
    Column("g", "effect size, Hedges’ g; above 0: larger under test", "g", _signed("g"),
           plain("g")),
    Column("interval", "of g, at the study’s level", "g_low", interval, plain("g_low")),
    Column("t", "paired t over items", "t", _signed("t"), plain("t")),
    Column("p", "two-sided sign-flip p of this head alone", "p", small("p"), plain("p")),
    Column("family-wise p", "corrected for all heads, step-down largest |t|", "p_stepdown",
           small("p_stepdown"), plain("p_stepdown")),
    Column("differs", "family-wise p at most the study’s level", "familywise", yes("familywise"),
           plain("familywise")),
    Column("confirmed", "chosen on half of the items and confirmed on the other", "confirmed",
           yes("confirmed"), plain("confirmed")),
    Column("every template", "family-wise significant with one sign in every template",
           "in_every_template", yes("in_every_template"), plain("in_every_template")),
    Column("trend p", "linear trend along the axis, corrected for all heads", "trend_p_maxt",
           small("trend_p_maxt"), plain("trend_p_maxt")),
    Column("role t", "test wordings against control wordings", "role_t", _signed("role_t"),
           plain("role_t")),
    Column("min F'", "items and wordings together: what ranks heads in the role test",
           "role_min_f", rounded("role_min_f"), plain("role_min_f")),
    Column("role p", "role labels permuted over wordings, corrected for all heads", "role_p_maxt",
           small("role_p_maxt"), plain("role_p_maxt")),
    Column("role", "follows the role, over wordings and items", "role_called",
           yes("role_called"), plain("role_called")),
)  # fmt: skip

FILTERS = (
    ("familywise", "that differ, family-wise"),
    ("confirmed", "confirmed on the other half"),
    ("in_every_template", "in every template"),
    ("role_called", "that follow the role"),
)
"""Column of the unit table, and what its rows are, for the choice above the table."""


def page_table(
    table: pl.DataFrame,
) -> tuple[list[Column], list[TableRow], list[tuple[str, str, int]]]:
    """Columns that the table has, its rows by |t|, and the filters with their numbers of rows."""
    present = [name for name in table.columns if table[name].null_count() < len(table)]
    columns = [column for column in COLUMNS if column.needs in present]
    filters = [
        (name, words, int(table[name].fill_null(False).sum()))
        for name, words in FILTERS
        if name in present
    ]
    ordered = table.sort(pl.col("t").abs(), descending=True, nulls_last=True)
    rows = [
        TableRow(
            str(row["unit"]),
            tuple(Cell(column.text(row), column.value(row)) for column in columns),
            " ".join(name for name, _, _ in filters if row[name]),
        )
        for row in ordered.iter_rows(named=True)
    ]
    return columns, rows, filters
