"""Settings of the items: what a study varies and averages over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

from otherview.study.checks import check_text, check_title
from otherview.study.errors import StudyError

SETTING = "creatures.items"


@dataclass(frozen=True)
class Item:
    """One item of a study."""

    name: str
    """In tables and titles."""
    fields: Mapping[str, str]
    """What wordings and pictures use of it, by name."""
    rank: float | None = None
    """Its rank or dose on the axis of the study."""
    stratum: str | None = None
    """The group of items to which it belongs."""


@dataclass
class Creatures:
    """The items: what the study varies and averages over."""

    name: str
    """Name in tables and titles."""

    items: list[Any] = field(default_factory=list)
    """Phrases that replace the placeholder, article included ("a cat"): texts, in quotes where
    YAML would read something else (yes, 007, 1e3). Or rows of named fields, of which wordings and
    pictures use any: {name: glass, before: glass_before.png, after: glass_after.png}."""

    table: str | None = None
    """CSV or Parquet file with one row per item, in place of `items`; its path starts at the
    working directory or at the YAML that names it."""

    placeholder: str = "creature"
    """Name of the placeholder in the wordings, without braces, for items that are phrases."""

    key: str = "name"
    """Field that names an item in tables, for items that are rows."""

    axis: Any = None
    """Meaning of the order of `items`; the rank of an item is its place, from 1. Null: no order.
    `{graded30: distance}` is the axis of the items of that name only: your own inherit none."""

    rank: str | None = None
    """Field with an item's rank or dose on the axis, a number; null: its place."""

    strata: str | None = None
    """Field with the group of an item (mammals, insects): effects are also reported by group."""

    def __post_init__(self) -> None:
        if isinstance(self.axis, Mapping):
            self.axis = self.axis.get(self.name)
        if not isinstance(self.axis, str | None):
            raise StudyError(
                f"creatures.axis={self.axis!r} is not a text: say what the order of items means",
                "creatures.axis",
            )
        if self.rank is not None and self.axis is None:
            self.axis = self.rank
        check_title(self.name, "creatures.name")
        if not self.placeholder.isidentifier():
            raise StudyError(
                f"creatures.placeholder={self.placeholder!r}: write a word of letters, digits and "
                "_, without braces",
                "creatures.placeholder",
            )
        if not self.items:
            raise StudyError("creatures.items is empty: name at least two", SETTING)
        if len(self.items) < 2:
            raise StudyError(
                f"creatures.items has only {self.items[0]!r}: a paired test needs at least two",
                SETTING,
            )
        known: dict[str, str] = {}
        for item in self.rows:
            same = " ".join(normalize("NFKC", item.name).split())
            if same in known:
                twice = "" if known[same] == item.name else f" ({known[same]!r} is the same text)"
                raise StudyError(f"creatures.items names {item.name!r} twice{twice}", SETTING)
            known[same] = item.name

    @property
    def rows(self) -> list[Item]:
        """The items as rows. Raises StudyError for the first that is none."""
        return [self._row(place, written) for place, written in enumerate(self.items)]

    @property
    def names(self) -> list[str]:
        """Name of every item."""
        return [item.name for item in self.rows]

    @property
    def ranks(self) -> list[float] | None:
        """Rank of every item on the axis, by default its place, from 1; None without an axis."""
        if not self.axis:
            return None
        return [place if row.rank is None else row.rank for place, row in enumerate(self.rows, 1)]

    def _row(self, place: int, written: Any) -> Item:
        where = f"{SETTING}[{place}]"
        if isinstance(written, Mapping):
            return self._named_row(where, written)
        check_phrase(written, where)
        if self.rank or self.strata:
            named = "rank" if self.rank else "strata"
            raise StudyError(
                f"creatures.{named} names a field, and {where} is a phrase without fields: write "
                f"items as {{{self.key}: ..., {self.placeholder}: ..., {getattr(self, named)}: "
                "...}",
                f"creatures.{named}",
            )
        return Item(written, {self.placeholder: written})

    def _named_row(self, where: str, written: Mapping[Any, Any]) -> Item:
        fields: dict[str, str] = {}
        for name, value in written.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise StudyError(
                    f"{where} has a field {name!r}: names of fields are letters, digits and _, and "
                    "start with a letter",
                    SETTING,
                )
            if name == self.rank and isinstance(value, int | float) and type(value) is not bool:
                value = str(value)
            check_phrase(value, f"{where}.{name}")
            fields[name] = value
        for setting in ("rank", "strata"):
            named = getattr(self, setting)
            if named is not None and named not in fields:
                raise StudyError(
                    f"{where} has no {named}, which creatures.{setting} names",
                    f"creatures.{setting}",
                )
        title = fields.get(self.key, fields.get(self.placeholder))
        if title is None:
            raise StudyError(
                f"{where} has no {self.key}: give every item one, or say with creatures.key which "
                f"field names it (it has {', '.join(fields)})",
                SETTING,
            )
        rank = None if self.rank is None else number(fields[self.rank], f"{where}.{self.rank}")
        return Item(title, fields, rank, None if self.strata is None else fields[self.strata])


def check_phrase(value: Any, where: str) -> None:
    """Raise StudyError for what is no text, blank, or cannot stand in a prompt."""
    if not isinstance(value, str):
        raise StudyError(
            f"{where} is {value!r}, not a text: YAML reads words such as yes, 007, 1e3 and 12:30 "
            "as values; put it in quotes",
            SETTING,
        )
    if not value.strip():
        raise StudyError(f"{where} is blank", SETTING)
    check_text(value, where, SETTING)


def number(text: str, where: str) -> float:
    """Return a rank. Raises StudyError unless it is a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StudyError(f"{where}={text!r} is not a finite number", SETTING)
    return value
