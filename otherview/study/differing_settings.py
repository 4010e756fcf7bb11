"""In which settings studies differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def differing_settings(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names, sorted, of flat settings that are not equal in all of `settings`.

    A setting that is absent counts as None.
    """
    names = sorted({name for each in settings for name in each})
    return [
        name for name in names if any(each.get(name) != settings[0].get(name) for each in settings)
    ]
