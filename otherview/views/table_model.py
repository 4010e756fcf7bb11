"""A table for all views: a rich table on the console, HTML on the page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Side = Literal["left", "right"]
BORDER = 3
"""Characters between two cells on the console."""


@dataclass(frozen=True)
class Table:
    """A table whose first columns identify a row."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    keys: int = 1
    """Number of columns that identify a row; the first contains text."""
    words: Collection[str] = ()
    """Headings of the other columns of text, which are aligned left; numbers are aligned right."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """One-line explanations by heading."""

    def is_words(self, place: int) -> bool:
        return place == 0 or self.headings[place] in self.words

    def parts(self, width: int) -> Iterator[dict[int, int]]:
        """Split the table into parts of at most `width` characters; yield their column widths.

        Every part begins with the key columns. Headings wrap at spaces; so do texts where those of
        the key columns would take more than half of the width. Numbers do not.
        """
        from rich.cells import cell_len

        cells = list(zip(*self.rows, strict=True)) or [()] * len(self.headings)
        least, most = (
            [max(map(cell_len, (*split(heading), *column, "")))
             for heading, column in zip(self.headings, cells, strict=True)]
            for split in (str.split, lambda text: [text])
        )  # fmt: skip
        text = [place for place in range(len(least)) if self.is_words(place)]
        widest = width // 2 // max(1, sum(place < self.keys for place in text))
        for place in text:
            least[place] = min(least[place], widest)
        parts: list[dict[int, int]] = []
        for place in range(self.keys, len(least)):
            if not parts or used(parts[-1]) + least[place] + BORDER > width:
                parts.append({key: least[key] for key in range(self.keys)})
            parts[-1][place] = least[place]
        for part in parts:
            for place in part:
                spare = max(width - used(part), 0)
                part[place] += min(spare, most[place] - least[place])
            yield part


def used(part: Mapping[int, int]) -> int:
    """Return the width in characters of columns of these widths."""
    return 1 + sum(part.values()) + BORDER * len(part)


def markdown_rows(table: Table, escaped: Callable[[str], str]) -> str:
    """Return headings and rows in Markdown."""
    sides = ["---" if table.is_words(place) else "---:" for place in range(len(table.headings))]
    rows = [list(map(escaped, row)) for row in (table.headings, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], sides, *rows[1:]])


def print_table(table: Table, console: Console) -> None:
    """Print `table`, in several parts if the console is too narrow.

    With several key columns, the first one is omitted if it repeats the one above.
    """
    from rich.table import Table as RichTable

    parts = list(table.parts(console.width))
    for number, part in enumerate(parts):
        drawn = RichTable(title=None if number else table.title)
        if number == len(parts) - 1:
            drawn.caption = table.caption or None
        for place, size in part.items():
            side: Side = "left" if table.is_words(place) else "right"
            drawn.add_column(table.headings[place], justify=side, width=size, overflow="fold")
        before = ""
        for row in table.rows:
            first, *rest = (row[place] for place in part)
            drawn.add_row("" if first == before and table.keys > 1 else first, *rest)
            before = first
        console.print(drawn)
