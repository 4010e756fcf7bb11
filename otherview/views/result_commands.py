"""The commands that show a result that is there: otherview figure, report, compare and publish."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import suppress
from pathlib import Path

from otherview.study.errors import UserError, display_path

COMPARISONS = Path("outputs/compare")
"""Folder of comparisons that are given no other."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def figure() -> None:
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


def report() -> int:
    """Write the report of each directory, and a line for each that has no result."""
    parser = argparse.ArgumentParser(
        prog="otherview report",
        description="Write report.html, a self-contained page, into a run or a combined sweep.",
    )
    parser.add_argument("directory", type=Path, nargs="+", help="of a run, or of a combined sweep")
    given = parser.parse_args()
    from otherview.results.reader import ResultError
    from otherview.views.making import draw_examples
    from otherview.views.report import write_report

    failed = 0
    for folder in given.directory:
        try:
            with suppress(ResultError):  # the page is complete without them
                draw_examples(folder, {})
            print(write_report(folder))
        except UserError as error:
            sys.stderr.write(f"error: {error}\n")
            failed = 1
    return failed


def compare() -> None:
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
        "--out", type=Path, metavar="DIR", help=f"default: {COMPARISONS}/RUN_A--RUN_B[-RESPONSE]"
    )
    given = parser.parse_args()

    from otherview.results import compare as comparing
    from otherview.results.reader import ComparisonResult, read_result
    from otherview.views.comparison_tables import print_comparison
    from otherview.views.console import PlainConsole
    from otherview.views.progress_bars import progress_bars
    from otherview.views.report import write_report

    console = PlainConsole()
    with progress_bars(console) as bars:
        a, b = read_result(given.run_a), read_result(given.run_b)
        comparison = comparing.compare(a, b, given.response, bars)
    ending = f"-{given.response}" if given.response else ""
    named = f"{given.run_a.resolve().name}--{given.run_b.resolve().name}{ending}"
    folder = given.out or COMPARISONS / named
    comparing.write_comparison(comparison, folder)
    result = read_result(folder)
    assert isinstance(result, ComparisonResult)
    page = write_report(folder)  # before anything is printed into a pipe that may be closed
    print_comparison(result, console)
    console.print(f"page in {page}", soft_wrap=True)


def publish() -> None:
    """Write the card and say what to do with it. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview publish",
        description="Write a folder that others may have: a card of the result (README.md, as the "
        "model hub shows it) with figures and small files, without places on this machine. Nothing "
        "is uploaded without --push.",
    )
    parser.add_argument("directory", type=Path, help="of a run, or of a combined sweep")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of the card; by default DIR/published"
    )
    parser.add_argument("--license", metavar="NAME", help="of the result, such as cc-by-4.0")
    parser.add_argument(
        "--push", metavar="USER/NAME", help="upload it to a dataset repository of this name"
    )
    parser.add_argument(
        "--public", action="store_true", help="with --push: a new repository is public"
    )
    given = parser.parse_args()
    if given.push is not None and REPOSITORY.fullmatch(given.push) is None:
        raise UserError(f"--push {given.push}: write USER/NAME, of letters, digits, -, _ and .")
    if given.public and given.push is None:
        raise UserError("--public is for what is uploaded: add --push USER/NAME, or leave it out")
    from otherview.results.reader import ComparisonResult, read_result
    from otherview.views import publishing

    result = read_result(given.directory)
    if isinstance(result, ComparisonResult):
        raise UserError(f"{given.directory} is a comparison: publish its two results")
    out = given.out or given.directory / "published"
    for line in publishing.publish(result, out, given.license):
        print(f"left out: {line}")
    print(f"card      {display_path(out / publishing.CARD)}")
    if given.push is None:
        print(f"upload    otherview publish {given.directory} --push USER/NAME")
        return
    print(f"uploaded  {push(out, given.push, private=not given.public)}")


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload the files of a folder in one commit, creating the repository; return its address.

    The hub calls a repository of tables a dataset. Raises UserError if the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Result of otherview",
        )
    except LocalTokenNotFoundError as error:
        raise UserError("no token of the hub is on this machine: hf auth login") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = (
            "log in with a token that may write: hf auth login"
            if status in (401, 403)
            else error.server_message or f"status {status}"
        )
        raise UserError(f"{hub.endpoint} refused {name}: {reason}") from error
    except Exception as error:  # those of the HTTP library and OSError
        raise UserError(f"{name} was not uploaded to {hub.endpoint}: {error}") from error
    return f"{hub.endpoint}/datasets/{name}"
