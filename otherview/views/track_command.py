"""Send a result to Weights & Biases: otherview track DIR [--online]

DIR is a run or a whole sweep. Everything sent is made from the files of the result, under an id
that is the study's identity, so sending again replaces the run. (`wandb sync` of the offline run
has the same id, but sends only what existed when it was written.)
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from otherview.results.reader import complaint
from otherview.results.state import COMBINED, SUMMARY, Kind, is_comparison, state_of
from otherview.study.compose import run_settings
from otherview.study.configuration import Tracking
from otherview.study.errors import UserError
from otherview.views.console import PlainConsole
from otherview.views.progress_bars import progress_bars
from otherview.views.tracking.process import TrackingError, send_result

MAX_FAILURES = 2
"""Failures in a row after which the rest of a sweep is left for later."""
Given = Mapping[str, Any]
"""Settings from the command line; None for those not given."""


def track_run(folder: Path, tracking: Tracking) -> None:
    """Track a finished run or combined sweep, unless the settings or the environment say off.

    Raises TrackingError if it was not sent.
    """
    if tracking.mode == "off" or disabled():
        return
    send_result(folder, tracking)


def track_sweep(folder: Path, points: Sequence[Path], given: Given, console: Console) -> int:
    """Track every finished point and the combined result, if there is one.

    Return how many were not sent. A point whose settings say off is written offline.
    """
    results = [*points, *([folder] if (folder / COMBINED).is_file() else [])]
    failed = in_a_row = 0
    with progress_bars(console) as report:
        for done, result in enumerate(results):
            is_point = result != folder
            settings = settings_of(result if is_point else points[0], given)
            try:
                send_result(result, settings, folder.resolve().name if is_point else None)
                in_a_row = 0
            except (UserError, OSError) as error:
                name = result.name if is_point else "the summary of the sweep"
                console.print(f"not sent: {name}: {error}", soft_wrap=True)
                failed, in_a_row = failed + 1, in_a_row + 1
            report("tracking", done + 1, len(results))
            if in_a_row == MAX_FAILURES:
                return len(results) - done - 1 + failed
    return failed


def settings_of(folder: Path, given: Given) -> Tracking:
    """Return the settings that a result was made with, changed as given, and never off."""
    file = folder / ".hydra" / "config.yaml"
    config = OmegaConf.load(file) if file.is_file() else OmegaConf.create()
    own = Tracking()
    if isinstance(config, DictConfig) and "tracking" in config:
        own = run_settings(config)["tracking"]
    mode = "offline" if own.mode == "off" else own.mode
    changed = {name: value for name, value in given.items() if value is not None}
    return Tracking(**(asdict(own) | {"mode": mode} | changed))


def finished_points(folder: Path) -> list[Path]:
    """Return the runs directly below a sweep's directory that were finished, by name.

    These include damaged ones, which are refused one by one.
    """
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and state_of(path).kind in (Kind.WHOLE, Kind.DAMAGED)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview track", description="Send results to Weights & Biases."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="result of a run, or a sweep's")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--online", action="store_const", const="online", dest="mode")
    modes.add_argument("--offline", action="store_const", const="offline", dest="mode")
    parser.add_argument("--project", help="instead of the run's tracking.project")
    parser.add_argument("--entity", help="instead of the run's tracking.entity")
    parser.add_argument("--name", help="name of the run, instead of that of its directory")
    parser.add_argument(
        "--tag", action="append", dest="tags", help="one more tag; may be given several times"
    )
    given = vars(parser.parse_args(arguments))
    folder, console = given.pop("folder"), PlainConsole()
    if disabled():
        raise TrackingError("WANDB_MODE=disabled is set: unset it to track results")
    state = state_of(folder)
    if (folder / SUMMARY).is_file() and state.kind is Kind.WHOLE:
        url = send_result(folder, settings_of(folder, given))
        console.print(url or f"written into {folder / 'wandb'}", soft_wrap=True)
        return
    if is_comparison(folder):
        raise TrackingError(f"{folder} is a comparison: track its two results")
    points = finished_points(folder) if folder.is_dir() else []
    if not points:
        raise TrackingError(complaint(folder, state))
    if given["name"] is not None:
        raise TrackingError("--name is of one run: in a sweep, runs are named by their directories")
    failed = track_sweep(folder, points, given, console)
    if failed:
        raise TrackingError(
            f"{failed} not sent; try again (nothing is sent twice): "
            f"otherview track {shlex.quote(str(folder))}"
        )
    summary = " and the summary of the sweep" if (folder / COMBINED).is_file() else ""
    console.print(f"{len(points)} runs{summary} tracked")


def disabled() -> bool:
    """Return whether the environment switches wandb off, as for wandb itself."""
    return os.environ.get("WANDB_MODE") == "disabled"
