"""Sends a result to Weights & Biases: otherview track DIR [--online]

A run or a whole sweep, now or again. What is sent is made from the result's files each time, under
an id that is the study's identity: sending again replaces the run and makes no second one. (`wandb
sync` of the offline run has the same id, but knows only what was there when it was written.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from otherview.results.reader import ResultError, RunResult, complaint, read_result
from otherview.results.state import COMBINED, SUMMARY, Kind, state_of
from otherview.study.compose import run_settings
from otherview.study.errors import StudyError
from otherview.study.tracking import MISSING, Tracking, installed
from otherview.views.console import plain_console
from otherview.views.progress_bars import progress_bars
from otherview.views.tracking.process import TrackingError, send_result

FAILURES_IN_A_ROW = 2
"""After so many the server is taken to be away, and the rest of a sweep is left for later."""


def track_run(folder: Path, tracking: Tracking) -> None:
    """Tracks a finished run or combined sweep; raises TrackingError if it was not sent."""
    if tracking.mode == "off":
        return
    if tracking.mode == "offline" and not installed():
        say_once(f"not tracked: {MISSING}; tracking=off leaves this line out")
        return
    send_result(folder, tracking, uses=uses(folder))


def track_sweep(folder: Path, points: Sequence[Path], chosen: Chosen, console: Console) -> int:
    """Tracks every finished point and, where there is one, the combined result.

    Returns how many were not sent. A point whose settings say off is written offline.
    """
    combined = (folder / COMBINED).is_file()
    failed = in_a_row = done = 0
    with progress_bars(console) as report:
        for point in points:
            try:
                send_result(point, chosen.settings_of(point), group=folder.resolve().name)
                in_a_row = 0
            except (TrackingError, StudyError, OSError) as error:
                console.print(f"not sent: {point.name}: {error}", soft_wrap=True)
                failed, in_a_row = failed + 1, in_a_row + 1
            done += 1
            report("tracking", done, len(points) + combined)
            if in_a_row == FAILURES_IN_A_ROW:
                return len(points) + combined - done + failed
        if combined:
            settings = chosen.settings_of(points[0]) if points else chosen.changed(Tracking())
            try:
                send_result(folder, settings, uses=uses(folder))
            except (TrackingError, ResultError, OSError) as error:
                console.print(f"not sent: the summary of the sweep: {error}", soft_wrap=True)
                failed += 1
    return failed


class Chosen:
    """What the command line asks for, over what a result's own settings say."""

    def __init__(self, mode: str | None, project: str | None, entity: str | None) -> None:
        self.given = {"mode": mode, "project": project, "entity": entity}

    def changed(self, tracking: Tracking) -> Tracking:
        """`tracking` with the choices of the command line; never off."""
        given = {name: value for name, value in self.given.items() if value is not None}
        if "mode" not in given and tracking.mode == "off":
            given["mode"] = "offline"
        return Tracking(**{**asdict(tracking), **given})

    def settings_of(self, folder: Path) -> Tracking:
        """Those that the result was made with, changed."""
        file = folder / ".hydra" / "config.yaml"
        config = OmegaConf.load(file) if file.is_file() else OmegaConf.create()
        if not isinstance(config, DictConfig) or "tracking" not in config:
            return self.changed(Tracking())
        settings: Tracking = run_settings(config)["tracking"]
        return self.changed(settings)


def finished_points(folder: Path) -> list[Path]:
    """Return the runs directly below a sweep's directory that were finished, by name.

    Damaged ones are among them: they are refused one by one.
    """
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and state_of(path).kind in (Kind.WHOLE, Kind.DAMAGED)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit code 1 where anything was not sent, with a line that says why."""
    parser = argparse.ArgumentParser(
        prog="otherview track", description="Sends results to Weights & Biases."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="result of a run, or a sweep's")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--online", action="store_const", const="online", dest="mode")
    modes.add_argument("--offline", action="store_const", const="offline", dest="mode")
    parser.add_argument("--project", help="instead of the run's tracking.project")
    parser.add_argument("--entity", help="instead of the run's tracking.entity")
    given = parser.parse_args(arguments)
    console = plain_console()
    try:
        return tracked(given.folder, Chosen(given.mode, given.project, given.entity), console)
    except (TrackingError, StudyError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def tracked(folder: Path, chosen: Chosen, console: Console) -> int:
    if not installed():
        raise TrackingError(MISSING)
    state = state_of(folder)
    if (folder / SUMMARY).is_file() and state.kind is Kind.WHOLE:
        settings = chosen.settings_of(folder)
        url = send_result(folder, settings)
        console.print(url or f"written into {folder / 'wandb'}", soft_wrap=True)
        return 0
    points = finished_points(folder) if folder.is_dir() else []
    if not points:
        raise TrackingError(complaint(folder, state))
    failed = track_sweep(folder, points, chosen, console)
    if failed:
        raise TrackingError(
            f"{failed} not sent; again: otherview track {folder} (nothing is sent twice)"
        )
    summary = " and the summary of the sweep" if (folder / COMBINED).is_file() else ""
    console.print(f"{len(points)} runs{summary} tracked")
    return 0


def uses(folder: Path) -> list[str] | None:
    """The artifacts of the runs that a sweep's combined result was made from; None for a run."""
    from otherview.views.tracking.record import identity_of

    result = read_result(folder)
    if isinstance(result, RunResult):
        return None
    points = [folder / point["point"] for point in result.combined["points"]]
    return [f"result-{identity_of(point)}" for point in points]


@cache
def say_once(line: str) -> None:
    plain_console().print(line, style="dim", soft_wrap=True)
