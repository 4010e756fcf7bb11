"""Items from a table: a CSV or Parquet file with one row per item."""

from __future__ import annotations

from pathlib import Path

from otherview.study.errors import StudyError

SETTING = "creatures.table"
MAX_ITEMS = 10_000


def rows_of_table(file: Path, written: str) -> list[dict[str, str]]:
    """Return the rows of a table, every value as text; empty cells are no fields.

    `written` is the path as the user wrote it. Raises StudyError for what is no table.
    """
    import polars as pl

    kind = file.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise StudyError(f"{SETTING}={written} is neither a .csv nor a .parquet file", SETTING)
    if not file.is_file():
        raise StudyError(f"{SETTING}={written} does not exist", SETTING)
    try:
        if kind == ".csv":
            table = pl.read_csv(file, infer_schema=False, encoding="utf8")
        else:
            table = pl.read_parquet(file).cast(pl.String)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"{SETTING}={written} cannot be read: {reason}", SETTING) from error
    if table.height > MAX_ITEMS:
        raise StudyError(
            f"{SETTING}={written} has {table.height:,} rows; up to {MAX_ITEMS:,} items can be "
            "measured",
            SETTING,
        )
    columns = [column.removeprefix("\ufeff").strip() for column in table.columns]
    return [
        {
            column: value.strip()
            for column, value in zip(columns, row, strict=True)
            if value is not None and value.strip()
        }
        for row in table.iter_rows()
    ]
