"""Which readings find the planted heads: otherview bench"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.study.errors import UserError

if TYPE_CHECKING:
    from otherview.bench.cases import Case
    from otherview.bench.reading_file import ReadingSource

DEFAULT = Path("bench")


def main() -> None:
    """Measure what the command line names, and write table and page. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview bench",
        description=(
            "Which ways to read a model find the heads that do it, where the truth is known? Asks "
            "every reading about organisms, small models with planted heads, and about null models "
            "in which every call is false. Writes a page, bench.json, bench.csv and a Markdown "
            "table. An interrupted call continues; what was measured before is not measured again."
        ),
    )
    parser.add_argument(
        "--reading", action="append", default=[], metavar="FILE.py:FUNCTION",
        help="also ask your own: a function of a subject that returns otherview.bench.Scores; "
        "may be repeated",
    )  # fmt: skip
    parser.add_argument("--organisms", type=Path, metavar="FOLDER", help="a folder per organism")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="readings, organisms or nulls"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer creatures, wordings and seeds: minutes"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="of each null; default 20, quick 3")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument(
        "--output", type=Path, default=DEFAULT, metavar="DIR", help=f"default: {DEFAULT}"
    )
    parser.add_argument("--json", action="store_true", help="print bench.json, not the table")
    given = parser.parse_args()
    for name in ("processes", "seeds"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} {value}: give 1 or more")
    run(given)


def run(given: argparse.Namespace) -> None:
    """Measure, and write and print the table. Raises UserError."""
    import json

    import otherview
    from otherview.bench.bench_table import bench_table
    from otherview.bench.cases import QUICK, Size, all_cases
    from otherview.bench.measuring import measured_cells
    from otherview.bench.organisms import installed_folder, read_organisms
    from otherview.bench.reading_file import reading_sources
    from otherview.disk.atomic import replacing, write_json
    from otherview.views.bench_tables import as_csv, readings_table, write_bench_page
    from otherview.views.console import PlainConsole
    from otherview.views.progress_bars import progress_bars
    from otherview.views.table_model import markdown_rows

    size = QUICK if given.quick else Size()
    size = size if given.seeds is None else replace(size, seeds=given.seeds)
    organisms = read_organisms(given.organisms or installed_folder())
    sources, cases = only(given.only, reading_sources(given.reading), all_cases(organisms, size))
    console, folder = PlainConsole(), given.output
    with progress_bars(console) as report:
        cells = measured_cells(sources, cases, folder, given.processes, report)
    table = bench_table(cells, [source.load() for source in sources], cases, size)
    content = {"otherview": otherview.__version__, **table}
    write_json(folder / "bench.json", content)
    table_of = readings_table(content)
    markdown = markdown_rows(table_of, lambda cell: cell.replace("|", "\\|"))
    for name, text in (("bench.csv", as_csv(content)), ("bench.md", f"{markdown}\n")):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    page = write_bench_page(content, folder)
    console.print(json.dumps(content, indent=2) if given.json else markdown, soft_wrap=True)
    if not given.json:
        console.print(f"\npage in {page}", soft_wrap=True)


def only(
    names: Sequence[str], sources: Sequence[ReadingSource], cases: Sequence[Case]
) -> tuple[Sequence[ReadingSource], Sequence[Case]]:
    """Return the readings and the cases that are named; all of a kind of which none is.

    A user's own readings are asked whatever is named: they were given by their files. Raises
    UserError for an unknown name.
    """
    known: list[Any] = [*sources, *cases]
    for name in names:
        if all(name != each.name for each in known):
            there = ", ".join(dict.fromkeys(each.name for each in known))
            raise UserError(f"--only {name}: there are {there}")
    some = [source for source in sources if source.name in names]
    some = [source for source in sources if some and (source in some or source.file)]
    few = [case for case in cases if case.name in names]
    return some or sources, few or cases
