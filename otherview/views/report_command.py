"""Write report.html into a run or a combined sweep: otherview report DIR"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Write the report of each directory. An error is one line and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="otherview report",
        description="Writes report.html, a page that stands alone, into a run or a combined sweep.",
    )
    parser.add_argument("directory", type=Path, nargs="+", help="of a run, or of a combined sweep")
    arguments = parser.parse_args()
    from otherview.results.reader import ResultError
    from otherview.views.making import draw_missing_examples
    from otherview.views.report import write_report

    for folder in arguments.directory:
        try:
            draw_missing_examples(folder)
            print(write_report(folder))
        except ResultError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {error.strerror}: {error.filename}")
