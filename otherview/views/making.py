"""The views that a run makes of its own result: read from its files, after all are written.

A view that fails loses no result. It costs one line, with the command that makes the view later.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PAGE = "report.html"
"""File of the page of a result."""
Settings = Mapping[str, Any]
"""The settings of a composed config that are not part of the study (`compose.RUN_SETTINGS`)."""


@dataclass(frozen=True)
class View:
    """One way to look at a result."""

    name: str
    command: str
    """The command that makes it later, without the folder: otherview report."""
    make: Callable[[Path, Settings], object]
    """Reads the result in a folder and writes the view into it, or sends it."""


def map_name(unit_set: str) -> str:
    """Return the name of the map of a run whose answer is about a unit set."""
    return "head-map" if unit_set == "heads" else "slice-map"


def figure_command(folder: str, name: str) -> str:
    """Return the command that writes a figure of a result into a file."""
    return shlex.join(["otherview", "figure", folder, name, "--out", f"{name}.pdf"])


def track(folder: Path, settings: Settings) -> None:
    """Track the result; without the setting, as in a notebook, do nothing."""
    if "tracking" in settings:
        from otherview.views.track_command import track_run

        track_run(folder, settings["tracking"])


def draw_examples(folder: Path, _settings: Settings) -> None:
    """Draw the images of the page where they are missing, if the model draws in one step."""
    from otherview.results.reader import NotInResultError, SweepResult, read_result
    from otherview.views.examples import NAME, write_examples
    from otherview.views.report.sweep_page import first_point

    result = read_result(folder)
    with suppress(NotInResultError):
        pictured = folder / first_point(result) if isinstance(result, SweepResult) else folder
        if not (pictured / NAME).is_file():
            write_examples(pictured)


def report(folder: Path, _settings: Settings) -> None:
    """Write the page."""
    from otherview.views.report import write_report

    write_report(folder)


PAGES = (
    View("examples", "otherview report", draw_examples),
    View("report", "otherview report", report),
)
"""Files for reading, in the order in which they are made."""
TRACKING = (View("tracking", "otherview track", track),)


def make_views(
    folder: Path,
    settings: Settings,
    console: Console,
    views: Sequence[View] = (*PAGES, *TRACKING),
) -> None:
    """Make views of the result in `folder`; print one line per view that fails."""
    for warning in attempt_views(folder, settings, views):
        console.print(f"warning: {warning}", soft_wrap=True)


def attempt_views(folder: Path, settings: Settings, views: Sequence[View]) -> list[str]:
    """Make the views; return one line per view that fails."""
    from otherview.results.reader import NotInResultError

    warnings = []
    for view in views:
        try:
            view.make(folder, settings)
        except NotInResultError as error:  # neither now nor later
            warnings.append(f"no {view.name}: {error}")
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            warnings.append(
                f"no {view.name}: {reason}; later: {view.command} {shlex.quote(str(folder))}"
            )
    return warnings


def shown_and_viewed(
    show: Callable[[], object], folder: Path, settings: Settings, console: Console
) -> None:
    """Print a result with `show` and make its views, also where the console is closed (`| head`).

    Raises BrokenPipeError afterwards if it is.
    """
    from rich.console import Console

    closed: BrokenPipeError | None = None
    try:
        show()
        console.file.flush()
    except BrokenPipeError as error:
        closed, console = error, Console(file=StringIO())
    make_views(folder, settings, console)
    if closed:
        raise closed
