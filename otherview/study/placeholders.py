"""Places for an item's fields in wordings and in paths of pictures: {creature}, {before}."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Filled(NamedTuple):
    """A wording with an item's fields in its places."""

    text: str
    start: int | None
    """Character at which the first field starts; None in a wording without places."""


def places(template: str) -> list[str]:
    """Return the fields that a template has places for, in their order.

    Raises ValueError for braces that are no place for a field.
    """
    found = []
    for match in PLACE.finditer(template):
        name = match[1]
        if name is None:
            raise ValueError(f"has {match[0]!r}: braces are for fields of the item alone")
        if not name.isidentifier():
            raise ValueError(f"has the place {{{name}}}, and {name!r} is no name of a field")
        found.append(name)
    return found


def fill(template: str, fields: Mapping[str, str]) -> Filled:
    """Return a template with fields in their places. Raises KeyError for an unknown field."""
    first = PLACE.search(template)
    text = PLACE.sub(lambda match: fields[match[1]], template)
    return Filled(text, first and first.start())


def wrong_places(template: str, fields: Collection[str]) -> str | None:
    """Return what is wrong with the places of a template for items with these fields, or None."""
    try:
        named = places(template)
    except ValueError as error:
        return str(error)
    unknown = [name for name in named if name not in fields]
    return f"has the unknown placeholder {{{unknown[0]}}}" if unknown else None
