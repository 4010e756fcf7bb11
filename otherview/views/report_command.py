"""Write report.html into a run or a combined sweep: otherview report DIR"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from otherview.study.errors import UserError


def main() -> int:
    """Write the report of each directory, and a line for each that has no result."""
    parser = argparse.ArgumentParser(
        prog="otherview report",
        description="Write report.html, a self-contained page, into a run or a combined sweep.",
    )
    parser.add_argument("directory", type=Path, nargs="+", help="of a run, or of a combined sweep")
    given = parser.parse_args()
    from otherview.views.making import draw_missing_examples
    from otherview.views.report import write_report

    failed = 0
    for folder in given.directory:
        try:
            draw_missing_examples(folder)
            print(write_report(folder))
        except UserError as error:
            sys.stderr.write(f"error: {error}\n")
            failed = 1
    return failed
