"""The views that a run makes of its own result: read from its files, after all are written.

None may hurt a run: one that fails costs a line, which names the command that makes it later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Settings = Mapping[str, Any]
"""What a composed config says beside the study, by name: `compose.RUN_SETTINGS`."""


@dataclass(frozen=True)
class View:
    """One way to look at a result."""

    name: str
    command: str
    """What makes it later, without the folder: python -m otherview.report."""
    make: Callable[[Path, Settings], None]
    """Reads the result in a folder and writes the view into it, or sends it."""


def _track(folder: Path, settings: Settings) -> None:
    """Without the setting, as from a notebook, nothing is tracked."""
    if "tracking" in settings:
        from otherview.track import track_run

        track_run(folder, settings["tracking"])


def _examples(folder: Path, _settings: Settings) -> None:
    from otherview.examples import write_examples
    from otherview.figures.files import NotInResultError

    with suppress(NotInResultError):  # a large model draws nothing in one step
        write_examples(folder)


def _report(folder: Path, _settings: Settings) -> None:
    from otherview.report import write_report

    write_report(folder)


VIEWS: tuple[View, ...] = (
    View("examples", "python -m otherview.examples", _examples),
    View("report", "python -m otherview.report", _report),
    View("tracking", "python -m otherview.track", _track),
)
"""In the order in which they are made."""


def make_views(
    folder: Path, settings: Settings, console: Console, views: tuple[View, ...] = VIEWS
) -> None:
    """Makes the views of the result in `folder`; whatever goes wrong is one line."""
    for view in views:
        try:
            view.make(folder, settings)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            console.print(f"warning: no {view.name}: {reason}; later: {view.command} {folder}")
