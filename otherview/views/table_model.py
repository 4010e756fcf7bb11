"""A table as every view shows it: rich tables on the console, HTML on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Justify = Literal["left", "right"]
BORDER = 3
"""Characters between two cells on the console."""


@dataclass(frozen=True)
class Heading:
    """One column's heading."""

    text: str
    meaning: str = ""
    """In one line, where the text does not say it."""
    is_words: bool = False
    """Words are aligned left, numbers right."""


@dataclass(frozen=True)
class Table:
    """A table whose first columns say what a row is about."""

    title: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    keys: int = 1
    """Columns that say what a row is about."""

    def parts(self, width: int) -> Iterator[tuple[Table, list[int]]]:
        """Yield the table in parts of at most `width` characters, each with the key columns.

        With each come the widths of its columns.
        """
        cells = list(zip(*self.rows, strict=True)) or [()] * len(self.headings)
        least, most = (
            [max(map(len, (*split(heading.text), *column, "")))
             for heading, column in zip(self.headings, cells, strict=True)]
            for split in (str.split, lambda text: [text])
        )  # fmt: skip
        first = list(range(self.keys))
        places, room = first.copy(), width - 1 - sum(least[key] + BORDER for key in first)
        parts = [places]
        left = room
        for place in range(self.keys, len(least)):
            if least[place] + BORDER > left and len(places) > self.keys:
                places, left = first.copy(), room
                parts.append(places)
            places.append(place)
            left -= least[place] + BORDER
        for number, places in enumerate(parts):
            spare = width - 1 - sum(least[place] + BORDER for place in places)
            sizes = []
            for place in places:
                more = max(0, min(spare, most[place] - least[place]))
                sizes.append(least[place] + more)
                spare -= more
            is_last = number == len(parts) - 1
            title, caption = "" if number else self.title, self.caption if is_last else ""
            rows = [[row[place] for place in places] for row in self.rows]
            headings = [self.headings[place] for place in places]
            yield Table(title, headings, rows, caption, self.keys), sizes


def print_table(table: Table, console: Console) -> None:
    """Print `table`, in parts below each other where the console is too narrow for it.

    With several key columns, a first one that repeats the one above it is left out.
    """
    from rich.table import Table as RichTable

    for part, sizes in table.parts(console.width):
        drawn = RichTable(title=part.title or None, caption=part.caption or None)
        for heading, size in zip(part.headings, sizes, strict=True):
            justify: Justify = "left" if heading.is_words else "right"
            drawn.add_column(heading.text, justify=justify, width=size)
        before = ""
        for first, *rest in part.rows:
            drawn.add_row("" if first == before and part.keys > 1 else first, *rest)
            before = first
        console.print(drawn)
