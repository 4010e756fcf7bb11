"""Write report.html into a run or a combined sweep: otherview report DIR"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Write the report of each directory. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview report",
        description="Write report.html, a self-contained page, into a run or a combined sweep.",
    )
    parser.add_argument("directory", type=Path, nargs="+", help="of a run, or of a combined sweep")
    given = parser.parse_args()
    from otherview.views.making import draw_missing_examples
    from otherview.views.report import write_report

    for folder in given.directory:
        draw_missing_examples(folder)
        print(write_report(folder))
