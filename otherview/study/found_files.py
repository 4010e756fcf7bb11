"""The user's own files that settings name, found from the working directory or from the YAML.

A path starts at the working directory; where nothing is there, at the folder of the YAML file that
the study was composed from. `~` and environment variables are replaced. A table of items, CSV or
Parquet with one row per item, is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from otherview.study.errors import StudyError
from otherview.study.placeholders import places

PACKAGE_PREFIX = "otherview:"
TABLE = "creatures.table"
MAX_ITEMS = 10_000


def find_own_files(plain: dict[str, Any], folders: Sequence[Path]) -> None:
    """Replace paths in a composed config by paths that can be opened, and its table by its rows.

    `folders` are those of the YAML files that it was composed from. What is of another type than a
    study has is left for its checks. Raises StudyError for a table that cannot be read.
    """

    def found(written: Any) -> Any:
        return found_path(written, folders) if isinstance(written, str) else written

    for scene in (plain.get("scene"), *values_of(plain.get("scenes"))):
        change(scene, "image", found)
    change(plain.get("model"), "path", found)
    creatures = plain.get("creatures")
    if isinstance(creatures, dict) and isinstance(written := creatures.get("table"), str):
        rows = rows_of_table(Path(found_path(written, folders)), written)
        creatures |= {"items": rows, "table": None}
    fields: set[str] = set()

    def located(path: Any) -> Any:
        """Return a picture's path; where it is one field of the item alone, that holds the path."""
        if isinstance(path, list):
            return [located(each) for each in path]
        if isinstance(path, str) and (name := only_field(path)):
            fields.add(name)
            return path
        return found(path)

    controls = plain.get("controls")
    contrasts = values_of(controls.get("contrasts") if isinstance(controls, dict) else None)
    for templates in (plain.get("templates"), *contrasts):
        for wordings in values_of(templates):
            for wording in wordings if isinstance(wordings, list) else ():
                change(wording, "image", located)
                change(wording, "noise", located)
    items = creatures.get("items") if isinstance(creatures, dict) else None
    for item in items if isinstance(items, list) else ():
        for name in fields:
            change(item, name, found)


def values_of(settings: Any) -> Iterator[Any]:
    """Yield the values of a mapping; none of what is no mapping."""
    if isinstance(settings, dict):
        yield from settings.values()


def change(settings: Any, name: str, by: Callable[[Any], Any]) -> None:
    """Change one of the values of a mapping, where it is one and has it."""
    if isinstance(settings, dict) and name in settings:
        settings[name] = by(settings[name])


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


def only_field(path: str) -> str | None:
    """Return the field that a path consists of; None if it has other parts."""
    try:
        named = places(path)
    except ValueError:
        return None
    return named[0] if [f"{{{name}}}" for name in named] == [path] else None


def rows_of_table(file: Path, written: str) -> list[dict[str, str]]:
    """Return the rows of a table, every value as text; empty cells are no fields.

    `written` is the path as the user wrote it. Raises StudyError for what is no table.
    """
    import polars as pl

    kind = file.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise StudyError(f"{TABLE}={written} is neither a .csv nor a .parquet file", TABLE)
    if not file.is_file():
        raise StudyError(f"{TABLE}={written} does not exist", TABLE)
    try:
        if kind == ".csv":
            table = pl.read_csv(file, infer_schema=False, encoding="utf8")
        else:
            table = pl.read_parquet(file).cast(pl.String)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"{TABLE}={written} cannot be read: {reason}", TABLE) from error
    if table.height > MAX_ITEMS:
        raise StudyError(
            f"{TABLE}={written} has {table.height:,} rows; up to {MAX_ITEMS:,} items can be "
            "measured",
            TABLE,
        )
    columns = [column.removeprefix("\ufeff").strip() for column in table.columns]
    rows = (
        {
            column: value.strip()
            for column, value in zip(columns, row, strict=True)
            if value is not None and value.strip()
        }
        for row in table.iter_rows()
    )
    return [row for row in rows if row]  # spreadsheets leave blank lines
