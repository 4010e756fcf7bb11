"""Write one figure of a result: otherview figure DIR head-map --out fig.pdf"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Draw the figure that the command line names. Raises UserError."""
    from otherview.results.reader import read_result
    from otherview.views.figures import FIGURES, save_figure
    from otherview.views.figures.style import WIDTHS

    names = "\n".join(f"  {figure.name:<14}{figure.shows}" for figure in FIGURES)
    parser = argparse.ArgumentParser(
        prog="otherview figure",
        description="Write one figure of a run or a combined sweep, sized for a paper.",
        epilog=f"figures:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="of a run, or of a combined sweep")
    parser.add_argument("name", help="of the figure")
    parser.add_argument("--out", type=Path, required=True, help="ends in .pdf, .svg or .png")
    parser.add_argument(
        "--width",
        choices=WIDTHS,
        default="column",
        help=", ".join(f"{name}: {size:g} mm" for name, size in WIDTHS.items()),
    )
    given = parser.parse_args()
    save_figure(read_result(given.directory), given.name, given.out, WIDTHS[given.width])
