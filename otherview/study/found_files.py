"""The user's own files that settings name, found from the working directory or from the YAML.

A path starts at the working directory; where nothing is there, at the folder of the YAML file that
the study was composed from. `~` and environment variables are replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from otherview.study.item_table import rows_of_table
from otherview.study.placeholders import places

PACKAGE_PREFIX = "otherview:"
Settings = Mapping[str, Any]


def with_own_files(plain: Settings, folders: Sequence[Path]) -> dict[str, Any]:
    """Return a composed config with paths that can be opened, and with the rows of its table.

    `folders` are those of the YAML files that it was composed from. Raises StudyError for a table
    that cannot be read.
    """

    def found(written: Any) -> Any:
        return found_path(written, folders) if isinstance(written, str) else written

    made = changed(plain, "scene", lambda scene: changed(scene, "image", found))
    made = changed(made, "model", lambda model: changed(model, "path", found))
    scenes = made.get("scenes")
    if isinstance(scenes, Mapping):
        made["scenes"] = {name: changed(scene, "image", found) for name, scene in scenes.items()}
    made = changed(made, "creatures", lambda creatures: with_rows(creatures, folders))
    return with_pictures(made, found)


def changed(settings: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """Return a mapping with one of its values changed; what is no mapping, as it is."""
    if not isinstance(settings, Mapping):
        return settings
    copy = dict(settings)
    return {**copy, name: change(copy[name])} if name in copy else copy


def found_path(written: str, folders: Sequence[Path]) -> str:
    """Return the path that a setting names: as written, or below one of `folders` if it is there.

    With places for fields of an item, the folder before the first of them is looked for.
    """
    if written.startswith(PACKAGE_PREFIX):
        return written
    path = os.path.expandvars(str(Path(written).expanduser())) if written[:1] in "~$" else written
    before = path.partition("{")[0]
    fixed = path if before == path else before.rpartition("/")[0] or "."
    if Path(path).is_absolute() or (before == path and Path(path).exists()):
        return path
    if before != path and Path(fixed).is_dir() and fixed != ".":
        return path
    return next((str(each / path) for each in folders if (each / fixed).exists()), path)


def with_rows(creatures: Any, folders: Sequence[Path]) -> Any:
    """Return the settings of items with the rows of their table, if they name one."""
    if not isinstance(creatures, Mapping) or not isinstance(creatures.get("table"), str):
        return creatures
    written = creatures["table"]
    rows = rows_of_table(Path(found_path(written, folders)), written)
    return {**creatures, "items": rows, "table": None}


def with_pictures(plain: dict[str, Any], found: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a config whose wordings name pictures by paths that can be opened.

    Where a picture is one field of the item and nothing else, that field holds its path.
    """
    fields: set[str] = set()

    def located(path: Any) -> Any:
        if isinstance(path, list):
            return [located(each) for each in path]
        if isinstance(path, str) and (name := only_field(path)):
            fields.add(name)
            return path
        return found(path)

    def wording(written: Any) -> Any:
        return changed(changed(written, "image", located), "noise", located)

    def wordings(written: Any) -> Any:
        return list(map(wording, written)) if isinstance(written, list) else written

    def contrast(templates: Any) -> Any:
        for role in ("test", "control"):
            templates = changed(templates, role, wordings)
        return templates

    def of_controls(contrasts: Any) -> Any:
        given = isinstance(contrasts, Mapping)
        return {name: contrast(each) for name, each in contrasts.items()} if given else contrasts

    def row(item: Any) -> Any:
        for name in fields:
            item = changed(item, name, found)
        return item

    def rows(items: Any) -> Any:
        return list(map(row, items)) if isinstance(items, list) else items

    made = changed(plain, "templates", contrast)
    made = changed(made, "controls", lambda each: changed(each, "contrasts", of_controls))
    if not fields:
        return dict(made)
    with_items = changed(made.get("creatures"), "items", rows)
    return {**made, "creatures": with_items}


def only_field(path: str) -> str | None:
    """Return the field that a path consists of; None if it has other parts."""
    try:
        named = places(path)
    except ValueError:
        return None
    return named[0] if [f"{{{name}}}" for name in named] == [path] else None
