"""Looks after a sweep: otherview sweep status|watch|resume|collect|pages|cancel DIR"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from otherview.study.compose import run_settings
from otherview.study.errors import StudyError
from otherview.sweep.following import Standing, label, look, runs
from otherview.sweep.launch import start
from otherview.sweep.launcher_settings import (
    CONFIG_DIRS,
    checked_settings,
    default_settings,
    unknown_setting,
)
from otherview.sweep.launcher_sources import named_launcher, written_setting
from otherview.sweep.status_tables import print_standing, print_warnings
from otherview.sweep.submissions import Submission
from otherview.sweep.tasks import cancel_jobs, live_tasks, stop_process, stop_processes
from otherview.sweep.viewing import make_pages
from otherview.views.console import PlainConsole
from otherview.views.making import PAGE, PAGES, attempt_views
from otherview.views.progress_bars import progress_bars


def main() -> None:
    """Run the command line. Raises UserError, and what Hydra raises for settings."""
    parser = argparse.ArgumentParser(
        prog="otherview sweep",
        description="Looks after a sweep, also while it runs. Everything is read from its files.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for run, about in COMMANDS.items():
        command = commands.add_parser(run.__name__, help=about, description=about)
        command.add_argument("directory", type=Path, help="directory of the sweep")
        command.set_defaults(run=run)
        if run is watch:
            command.add_argument("--port", type=int, default=0, help="by default any that is free")
        if run is resume:
            command.add_argument(
                "--failed", action="store_true", help="also points that failed by themselves"
            )
            command.add_argument(
                "--force",
                action="store_true",
                help="also points that another task seems to run or to wait for",
            )
            command.add_argument(
                "--config-dir",
                type=Path,
                help="folder with your own launchers; by default that of the last start",
            )
            command.add_argument(
                "settings",
                nargs="*",
                metavar="setting=value",
                help="of the launcher (workers=8, time=60); launcher=local takes another",
            )
    given = parser.parse_args()
    given.run(given.directory.absolute(), given)


def status(directory: Path, _given: argparse.Namespace) -> None:
    print_standing(look(directory), directory, PlainConsole())


def watch(directory: Path, given: argparse.Namespace) -> None:
    from otherview.sweep.watching import watch_until_interrupted

    console = PlainConsole()
    watch_until_interrupted(directory, given.port, lambda line: console.print(line, soft_wrap=True))


def resume(directory: Path, given: argparse.Namespace) -> None:
    standing, console = look(directory), PlainConsole()
    before = standing.submissions[-1].launcher
    launcher = chosen_launcher(before, given.settings, given.config_dir)
    start(standing, directory, standing.points, launcher, console, given.failed, given.force)


def collect(directory: Path, _given: argparse.Namespace) -> None:
    from otherview.sweep.combine import combine
    from otherview.views.making import shown_and_viewed
    from otherview.views.sweep_tables import print_combined

    console, standing = PlainConsole(), look(directory)
    print_warnings(standing, console)
    points = standing.points
    with progress_bars(console) as report:
        combined = combine(directory, [directory / point.folder for point in points], report)
    show = partial(print_combined, combined, directory, console)
    shown_and_viewed(show, directory, run_settings(points[-1].config), console)


def pages(directory: Path, _given: argparse.Namespace) -> None:
    console, standing = PlainConsole(), look(directory)
    print_warnings(standing, console)
    finished = [directory / p.folder for p in standing.of("done") + standing.of("damaged")]
    without = [folder for folder in finished if not (folder / PAGE).is_file()]
    if without:
        with progress_bars(console) as report:
            warnings = make_pages(without, report)
        if (directory / PAGE).is_file():  # it links to them
            warnings += attempt_views(directory, {}, PAGES)
        for warning in warnings:
            console.print(f"warning: {warning}", soft_wrap=True)
    failed = sum(not (folder / PAGE).is_file() for folder in without)
    console.print(f"pages made: {len(without) - failed}; finished points: {len(finished)}")
    if failed:
        raise StudyError(f"{failed} of {len(without)} pages could not be made")


def cancel(directory: Path, _given: argparse.Namespace) -> None:
    standing, console = look(directory), PlainConsole()
    print_warnings(standing, console)
    done, unknown = end_tasks(standing)
    for line in done:
        console.print(line, soft_wrap=True)
    if unknown:
        raise StudyError(f"not cancelled: {'; '.join(unknown)}")
    if not done:
        console.print("no job of this sweep runs or waits")


def end_tasks(standing: Standing) -> tuple[list[str], list[str]]:
    """End every task that runs or waits; return what was done, and what may go on all the same."""
    done, unknown = [], []
    for submission in standing.submissions:
        started = standing.jobs.get(submission.name)
        if standing.unanswered(submission):
            unknown.append(f"Slurm gives no answer about {label(standing, submission)}")
        elif started is not None and live_tasks(submission, started, standing.queue):
            slurm = started.kind == "slurm"
            done.append(cancel_jobs(started.ids) if slurm else stop_processes(submission))
        elif any(runs(state, submission) for state in standing.states.values()):
            for line, ended in end_running(standing, submission):
                (done if ended else unknown).append(line)
    return done, unknown


def end_running(standing: Standing, submission: Submission) -> Iterator[tuple[str, bool]]:
    """End what runs points of a submission of which nothing else is known.

    Yield what was said and whether it ends: of the jobs and processes that the points name.
    """
    running = [state for state in standing.states.values() if runs(state, submission)]
    for worker in sorted({state.worker for state in running}):
        status = next(state.status for state in running if state.worker == worker)
        if "job" in status and standing.queue is None:
            yield f"Slurm gives no answer about a point that runs on {worker}", False
        elif "job" in status:
            yield cancel_jobs([str(status["job"])]), True
        elif status.get("host") == socket.gethostname() and stop_process(int(status["process"])):
            yield f"told process {status['process']} to stop after the current batch", True
        else:
            yield f"a point runs on {worker}: cancel there", False


COMMANDS = {
    status: "counts what is done, runs, failed, is missing or damaged, and says where and why",
    watch: "serves a page of all points to this machine, renewed while the sweep runs",
    resume: "starts what is missing or damaged, also what a failure of the machine ended",
    collect: "combines all finished points: sweep.parquet, combined.json",
    pages: "makes report.html of every finished point that has none",
    cancel: "ends the jobs of the sweep; what is done stays",
}


def chosen_launcher(
    before: dict[str, Any], settings: Sequence[str], config_dir: Path | None = None
) -> dict[str, Any]:
    """Return the earlier settings of the launcher, or another's, with those that are given.

    Another launcher is a shipped one, or one in `config_dir` or where the earlier ones came from.
    """
    given = dict(written_setting(text) for text in settings)
    folders = [str(config_dir.absolute())] if config_dir else before.get(CONFIG_DIRS, [])
    if "launcher" in given:
        launcher = named_launcher(str(given.pop("launcher")), folders)
    else:  # settings that came after the earlier ones were frozen have their defaults
        launcher = {**default_settings(before["kind"]), **before}
    # what `all` asked for is remembered by its submission: it is made again once
    launcher["rerun"] = "missing" if before["rerun"] == "all" else before["rerun"]
    if CONFIG_DIRS in given:
        raise unknown_setting(CONFIG_DIRS, default_settings(launcher["kind"]))
    return checked_settings(launcher | given)
