"""Compare two results of one study on two models: otherview compare RUN_A RUN_B"""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT = Path("outputs/compare")
"""Folder of comparisons that are given no other."""


def main() -> None:
    """Compare the two results that the command line names, and write the page. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview compare",
        description=(
            "Is the role effect larger in one of two models? Compares two results of one study, "
            "head by head: base and distilled, base and LoRA, trained and random. Subtracts the "
            "effects of every item, flips the signs of items, and corrects for all units. Writes "
            "a page, comparison.json and tables."
        ),
        epilog=(
            "Whatever differs besides the model (items, wordings, pictures, seeds, steps) is said. "
            "Where activations differ in scale, compare --response log_rms."
        ),
    )
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="folder of a result")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="that of the other model")
    parser.add_argument(
        "--response",
        choices=("rms", "log_rms"),
        help="read both as this; default: as RUN_A was read. log_rms compares relative effects",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"default: {DEFAULT}/RUN_A--RUN_B[-RESPONSE]"
    )
    given = parser.parse_args()

    from otherview.results.compare import compare, write_comparison
    from otherview.results.reader import ComparisonResult, read_result
    from otherview.views.comparison_tables import print_comparison
    from otherview.views.console import plain_console
    from otherview.views.progress_bars import progress_bars
    from otherview.views.report import write_report

    console = plain_console()
    with progress_bars(console) as report:
        a, b = read_result(given.run_a), read_result(given.run_b)
        comparison = compare(a, b, given.response, report)
    folder = given.out or default_folder(given.run_a, given.run_b, given.response)
    write_comparison(comparison, folder)
    result = read_result(folder)
    assert isinstance(result, ComparisonResult)
    print_comparison(result, console)
    console.print(f"page in {write_report(folder)}", soft_wrap=True)


def default_folder(a: Path, b: Path, response: str | None) -> Path:
    """Return where a comparison is written: named by the folders of both results."""
    ending = f"-{response}" if response else ""
    return DEFAULT / f"{a.resolve().name}--{b.resolve().name}{ending}"
