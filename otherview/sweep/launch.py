"""Start a sweep: what the launcher does once Hydra has made the combinations."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from otherview.disk.atomic import write_json
from otherview.disk.imports import importing
from otherview.results.state import Kind, ResultState, state_of
from otherview.sweep.following import Standing, follow, look_if_any, point_states
from otherview.sweep.jobs import check_launcher, check_tasks, submit, tasks_wanted
from otherview.sweep.launcher_settings import checked_settings
from otherview.sweep.launcher_sources import check_sweeper, launcher_settings
from otherview.sweep.machine_failures import LostDeviceError
from otherview.sweep.point_checks import check_points
from otherview.sweep.points import Point, compose_points, find_existing_folders
from otherview.sweep.shares import GOT_FURTHER, deal, trouble
from otherview.sweep.status_tables import point_table, print_warnings
from otherview.sweep.submissions import Submission, discard, freeze
from otherview.views.console import PlainConsole
from otherview.views.making import PAGE
from otherview.views.numbers import plural, verb
from otherview.views.progress_bars import progress_bars
from otherview.views.table_model import print_table

if TYPE_CHECKING:
    from omegaconf import DictConfig


def launch(
    loader: Any,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    launcher: Mapping[str, Any],
) -> None:
    """Compose and check the points of a sweep, and start those that are not done.

    Raises what is wrong with a point or the launcher's settings before anything is started, and
    SystemExit(1) at the end if points failed.
    """
    hydra, console = master.hydra, PlainConsole()
    check_sweeper(hydra)
    settings = checked_settings(launcher_settings(hydra, launcher))
    check_launcher(settings)
    check_tasks(settings, len(job_overrides))
    directory = Path(str(hydra.sweep.dir)).absolute()
    with progress_bars(console) as report:
        points = compose_points(loader, master, job_overrides, report)
        if len(points) < len(job_overrides):
            again = len(job_overrides) - len(points)
            repeat = verb(again, "repeats", "repeat")
            console.print(f"{again} of the points {repeat} another")
        check_points(points, report)
    find_existing_folders(points, directory)
    start(look_if_any(directory), directory, points, settings, console)


def start(
    standing: Standing,
    directory: Path,
    points: Sequence[Point],
    launcher: dict[str, Any],
    console: Console,
    failed: bool = True,
    force: bool = False,
) -> None:
    """Freeze a submission of `points`, and run or submit those that are not done.

    Points that failed by themselves are left as they are unless `failed`. Points that tasks of
    another submission run, will run or may run are left to these unless `force`.
    """
    print_warnings(standing, console)
    check_launcher(launcher)
    busy, since = {} if force else standing.busy, standing.since
    states = {
        point.identity: standing.states.get(point.identity) or state_of(directory / point.folder)
        for point in points
    }
    wanted = {
        name
        for name, state in states.items()
        if is_wanted(state, since.get(name, ""), launcher["rerun"], failed)
    }
    print_kept(points, states, wanted, busy, console)
    todo = [
        index
        for index, point in enumerate(points)
        if point.identity in wanted and point.identity not in busy
    ]
    if not todo:
        names = (state.in_sweep(since.get(name, "")) for name, state in states.items())
        done = sum(name == "done" for name in names)
        under_way = sum(point.identity in busy for point in points)
        console.print(
            f"nothing to start: {done} of {plural(len(points), 'point')} {verb(done, 'is', 'are')} "
            f"done, {under_way} under way"
        )
        if launcher["kind"] == "sequential":
            print_points(directory, points, console)
        return
    owed = {name: asked for name, asked in since.items() if name in states}
    if launcher["kind"] == "sequential":
        run_here(freeze(directory, points, [todo], launcher, owed), console)
    else:
        died = {i for i in todo if trouble(directory / points[i].folder) > GOT_FURTHER}
        shares = deal(points, todo, tasks_wanted(launcher), died)
        submit_points(freeze(directory, points, shares, launcher, owed), console)


def is_wanted(state: ResultState, since: str, rerun: str, failed: bool) -> bool:
    """Return whether a point in `state` is to be run (again)."""
    if state.kind is Kind.WHOLE:
        return rerun == "all" or bool(state.owes(since, rerun))
    return state.kind is not Kind.FAILED or failed or state.machine_failed


def print_kept(
    points: Sequence[Point],
    states: Mapping[str, ResultState],
    wanted: Collection[str],
    busy: Mapping[str, str],
    console: Console,
) -> None:
    """Say which points are not run, and why."""
    kept = {name: state for name, state in states.items() if name not in wanted}
    done = [state for state in kept.values() if state.kind is Kind.WHOLE]
    if done:
        are = verb(len(done), "is", "are")
        console.print(f"{len(done)} of {plural(len(points), 'point')} {are} done already")
    outdated = sum(state.outdated for state in done)
    if outdated:
        console.print(
            f"{outdated} of them {verb(outdated, 'was', 'were')} made by another version of "
            "otherview or of a library and kept; hydra.launcher.rerun=outdated makes "
            f"{verb(outdated, 'it', 'them')} again",
            style="yellow",
        )
    failed = sum(state.kind is Kind.FAILED for state in kept.values())
    if failed:
        left = verb(failed, "is left as it is", "are left as they are")
        console.print(
            f"{plural(failed, 'failed point')} {left}; --failed runs {verb(failed, 'it', 'them')} "
            "again",
            style="yellow",
        )
    for what, number in Counter(busy[p.identity] for p in points if p.identity in busy).items():
        are = verb(number, "is", "are")
        console.print(
            f"{plural(number, 'point')} {are} left to {what}, which is at work", style="yellow"
        )


def run_here(submission: Submission, console: Console) -> None:
    with importing():
        from otherview.sweep.running import run_points

    points, done = submission.share(0), itertools.count(1)
    with progress_bars(console) as report:
        report("points", 0, len(points))

        def say(line: str) -> None:
            report("points", next(done), len(points))
            console.print(line, soft_wrap=True)

        try:
            run_points(points, submission, report, say, console)
        except LostDeviceError as error:
            console.print(str(error), style="red", soft_wrap=True)
    finish(submission, console)


def finish(submission: Submission, console: Console) -> None:
    """Print the table of the points and what to do next; exit with 1 if any was not done."""
    directory, since = submission.directory, submission.since
    print_points(directory, submission.points, console)
    planned = submission.planned
    states, _ = point_states(directory, planned, [])
    names = Counter(state.in_sweep(since.get(name, "")) for name, state in states.items())
    left = len(planned) - names["done"] - names["failed"]
    total = plural(len(submission.points), "point")
    where = shlex.quote(str(directory))
    if names["failed"]:
        console.print(
            f"{names['failed']} of {total} failed; each says why: otherview sweep status {where}",
            soft_wrap=True,
            style="red",
        )
    if left:
        console.print(
            f"{left} of {total} {verb(left, 'was', 'were')} not done: "
            f"otherview sweep resume {where}",
            soft_wrap=True,
            style="red",
        )
    if left or names["failed"]:
        raise SystemExit(1)


def print_points(directory: Path, points: Sequence[Point], console: Console) -> None:
    """Print the table of the points and what to do next."""
    print_table(point_table(directory, points), console)
    console.print(f"points in {directory}", soft_wrap=True)
    where = shlex.quote(str(directory))
    console.print(f"combine: otherview sweep collect {where}", soft_wrap=True)
    if any(not (directory / point.folder / PAGE).is_file() for point in points):
        console.print(f"pages:   otherview sweep pages {where}", soft_wrap=True)


def submit_points(submission: Submission, console: Console) -> None:
    """Start the tasks of a submission, which is removed again if none can be started."""
    directory, todo = submission.directory, len(submission.planned)
    try:
        jobs = submit(submission)
    except BaseException:
        discard(submission)
        raise
    write_json(submission.jobs_file, asdict(jobs))
    what = "Slurm job" if jobs.kind == "slurm" else verb(jobs.tasks, "process", "processes")
    console.print(
        f"{plural(todo, 'point')} in {plural(jobs.tasks, 'task')}: {what} {', '.join(jobs.ids)}",
        style="bold",
    )
    for command in ("status", "resume", "collect", "pages", "cancel"):
        where = shlex.quote(str(directory))
        console.print(f"  {command:<8}otherview sweep {command} {where}", soft_wrap=True)
    console.print(f"  {'logs':<8}{shlex.quote(str(submission.logs))}/*/*_log.out", soft_wrap=True)
    if submission.launcher.get("wait"):
        follow(submission, jobs, console)
        finish(submission, console)
