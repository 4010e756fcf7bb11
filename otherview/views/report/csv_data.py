"""Tables of units as CSV inside the page, for its button that saves them."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from otherview.stats import Column
from otherview.views.unit_columns import shown_columns

DIGITS = 4
"""Significant digits of a number."""


@dataclass(frozen=True)
class Csv:
    """One table of units."""

    name: str
    """Of the unit set: heads or slices16."""
    rows: int
    content: str
    """The compressed CSV in base64."""


def csv_of(name: str, table: pl.DataFrame, columns: Sequence[Column]) -> Csv:
    """Return `table` as CSV with those columns of `columns` that a person reads."""
    shown = [column.name for column in shown_columns(table.columns, columns)]
    floats = [column for column in shown if table[column].dtype == pl.Float64]
    written = table.select(shown).with_columns(pl.col(floats).round_sig_figs(DIGITS)).write_csv()
    packed = base64.b64encode(gzip.compress(written.encode(), mtime=0)).decode()
    return Csv(name, len(table), packed)
