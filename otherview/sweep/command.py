"""Looks after a sweep: otherview sweep status|resume|collect|pages|cancel DIR"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from otherview.study.compose import run_settings
from otherview.study.errors import StudyError
from otherview.sweep.following import look
from otherview.sweep.jobs import cancel, live_tasks
from otherview.sweep.launch import check_settings, default_settings, start
from otherview.sweep.status_tables import print_standing
from otherview.views.console import plain_console, progress_bars


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otherview sweep",
        description="Looks after a sweep, also while it runs. Everything is read from its files.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for run, about in (
        (status, "counts what is done, runs, failed or is missing, and says where and why"),
        (resume, "starts what is missing, also what a machine's failure ended"),
        (collect, "combines all finished points: sweep.parquet, combined.json"),
        (pages, "makes report.html of every finished point that has none"),
        (_cancel, "ends the sweep's jobs; what is done stays"),
    ):
        command = commands.add_parser(run.__name__.lstrip("_"), help=about, description=about)
        command.add_argument("directory", type=Path, help="directory of the sweep")
        command.set_defaults(run=run)
        if run is resume:
            command.add_argument(
                "--failed", action="store_true", help="also points that failed by themselves"
            )
            command.add_argument(
                "settings",
                nargs="*",
                metavar="setting=value",
                help="of the launcher (workers=8, time=60); launcher=local takes another",
            )
    return parser


def status(given: argparse.Namespace) -> None:
    print_standing(look(_directory(given)), _directory(given), plain_console())


def resume(given: argparse.Namespace) -> None:
    directory = _directory(given)
    standing = look(directory)
    launcher = _launcher(standing.submissions[-1].launcher, given.settings)
    check_settings(launcher)
    wanted = {}
    for identity, state in standing.states.items():
        again = state.state == "failed" and (given.failed or state.machine_failed)
        outdated = launcher["rerun"] == "outdated" and state.outdated
        if state.state == "missing" or again or outdated:
            wanted[identity] = state
    console = plain_console()
    left = [point for point in standing.of("failed") if point.identity not in wanted]
    if left:
        console.print(
            f"{len(left)} failed points are left as they are; --failed runs them again",
            style="yellow",
        )
    start(directory, standing.points, launcher, console, wanted)


def collect(given: argparse.Namespace) -> None:
    from otherview.sweep.combine import combine
    from otherview.sweep.combine.combined_console import print_combined
    from otherview.views.making import make_views

    directory, console = _directory(given), plain_console()
    standing = look(directory)
    done = standing.of("done")
    if not done:
        raise StudyError(f"no point of {directory} is done yet: there is nothing to combine")
    with progress_bars(console) as report:
        combined = combine(directory, [directory / point.folder for point in done], report)
    print_combined(combined, directory, console)
    if len(done) < len(standing.points):
        console.print(
            f"{len(done)} of {len(standing.points)} planned points are done", style="yellow"
        )
    make_views(directory, run_settings(done[-1].config), console)


def pages(given: argparse.Namespace) -> None:
    from otherview.sweep.viewing import PAGE, make_pages

    directory, console = _directory(given), plain_console()
    done = [directory / point.folder for point in look(directory).of("done")]
    without = [folder for folder in done if not (folder / PAGE).is_file()]
    warnings = []
    if without:
        with progress_bars(console) as report:
            warnings = make_pages(without, report)
    for warning in warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    failed = sum(not (folder / PAGE).is_file() for folder in without)
    console.print(f"pages made: {len(without) - failed}; finished points: {len(done)}")
    if failed:
        raise StudyError(f"{failed} of {len(without)} pages could not be made")


def _cancel(given: argparse.Namespace) -> None:
    standing, console = look(_directory(given)), plain_console()
    told = False
    for submission in standing.submissions:
        jobs = standing.jobs.get(submission.name)
        if jobs is not None and live_tasks(jobs, standing.queue):
            console.print(cancel(jobs))
            told = True
    if not told:
        console.print("no job of this sweep runs or waits")


def _directory(given: argparse.Namespace) -> Path:
    directory: Path = given.directory
    return directory.absolute()


def _launcher(before: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The launcher's settings of before, or of another launcher, with those that are given."""
    pairs = [pair(setting) for setting in settings]
    launcher = {**default_settings(before["kind"]), **before}  # frozen by an older version, maybe
    for name, value in pairs:
        if name == "launcher":
            launcher = default_settings(str(value))
    for name, value in pairs:
        if name == "launcher":
            continue
        if name not in launcher:
            raise StudyError(
                f"no setting of the launcher is called {name}; there are: {', '.join(launcher)}"
            )
        launcher[name] = value
    return launcher


def pair(setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise StudyError(f"{setting}: give a setting of the launcher as name=value")
    return name.removeprefix("hydra/").removeprefix("hydra.launcher."), yaml.safe_load(value)
