"""Start a sweep: what the launcher does once Hydra has made the combinations."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from otherview.results.state import SWEEP, Kind, ResultState, state_of
from otherview.sweep.following import follow, look
from otherview.sweep.jobs import check_tasks, submit, tasks_wanted
from otherview.sweep.launcher_settings import checked_settings
from otherview.sweep.launcher_sources import check_sweeper, launcher_settings
from otherview.sweep.point_checks import check_points
from otherview.sweep.points import Point, compose_points, with_existing_folders
from otherview.sweep.shares import deal
from otherview.sweep.status_tables import point_table
from otherview.sweep.submissions import Submission, freeze, write_jobs
from otherview.sweep.viewing import PAGE
from otherview.views.console import plain_console
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
    hydra, console = master.hydra, plain_console()
    check_sweeper(hydra)
    settings = checked_settings(launcher_settings(hydra, launcher))
    check_tasks(settings, len(job_overrides))
    directory = Path(str(hydra.sweep.dir)).absolute()
    with progress_bars(console) as report:
        points = compose_points(loader, master, job_overrides, report)
        if len(points) < len(job_overrides):
            console.print(f"{len(job_overrides) - len(points)} of the points repeat another")
        points = with_existing_folders(check_points(points, report), directory)
    start(directory, points, settings, console)


def start(
    directory: Path,
    points: Sequence[Point],
    launcher: dict[str, Any],
    console: Console,
    failed: bool = True,
) -> None:
    """Freeze a submission of `points`, and run or submit those that are not done.

    Points that failed by themselves are left as they are unless `failed`. Points that tasks of
    another submission run or will run are left to these.
    """
    standing = look(directory) if (directory / SWEEP).is_dir() else None
    known, busy = (standing.states, standing.busy) if standing else ({}, {})
    states = {
        point.identity: known.get(point.identity) or state_of(directory / point.folder)
        for point in points
    }
    wanted = {name for name, state in states.items() if is_wanted(state, launcher["rerun"], failed)}
    print_kept(points, states, wanted, busy, console)
    todo = [
        index
        for index, point in enumerate(points)
        if point.identity in wanted and point.identity not in busy
    ]
    if not todo:
        done = sum(state.kind is Kind.WHOLE for state in states.values())
        under_way = sum(point.identity in busy for point in points)
        console.print(
            f"nothing to start: {done} of {len(points)} points are done, {under_way} under way"
        )
        if launcher["kind"] == "sequential":
            finish(directory, points, [], console)
    elif launcher["kind"] == "sequential":
        run_here(freeze(directory, points, [todo], launcher), console)
    else:
        submit_points(directory, points, todo, launcher, console)


def is_wanted(state: ResultState, rerun: str, failed: bool) -> bool:
    """Return whether a point in `state` is to be run (again)."""
    if state.kind is Kind.WHOLE:
        return rerun == "all" or (rerun == "outdated" and state.outdated)
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
        console.print(f"{len(done)} of {len(points)} points are done already")
    outdated = sum(state.outdated for state in done)
    if outdated:
        console.print(
            f"{outdated} of them were made by another version of otherview or of a library and are "
            "kept; hydra.launcher.rerun=outdated makes them again",
            style="yellow",
        )
    failed = sum(state.kind is Kind.FAILED for state in kept.values())
    if failed:
        console.print(
            f"{failed} failed points are left as they are; --failed runs them again", style="yellow"
        )
    for what, count in Counter(busy[p.identity] for p in points if p.identity in busy).items():
        console.print(f"{count} points are left to {what}, which is at work", style="yellow")


def run_here(submission: Submission, console: Console) -> None:
    from otherview.sweep.running import run_points

    points, done = submission.share(0), itertools.count(1)
    with progress_bars(console) as report:
        report("points", 0, len(points))

        def say(line: str) -> None:
            report("points", next(done), len(points))
            console.print(line, soft_wrap=True)

        failures = run_points(points, submission, report, say, console)
    finish(submission.directory, submission.points, [f.point.identity for f in failures], console)


def finish(
    directory: Path, points: Sequence[Point], failed: Sequence[str], console: Console
) -> None:
    """Print the table of the points and what to do next; exit with 1 if points failed."""
    print_table(point_table(directory, points), console)
    console.print(f"points in {directory}", soft_wrap=True)
    where = shlex.quote(str(directory))
    console.print(f"combine: otherview sweep collect {where}", soft_wrap=True)
    if any(not (directory / point.folder / PAGE).is_file() for point in points):
        console.print(f"pages:   otherview sweep pages {where}", soft_wrap=True)
    if failed:
        console.print(
            f"{len(failed)} of {len(points)} points failed; each has its traceback.txt: "
            f"otherview sweep status {where}",
            soft_wrap=True,
            style="red",
        )
        raise SystemExit(1)


def submit_points(
    directory: Path,
    points: Sequence[Point],
    todo: Sequence[int],
    launcher: dict[str, Any],
    console: Console,
) -> None:
    shares = deal(points, todo, tasks_wanted(launcher))
    submission = freeze(directory, points, shares, launcher)
    try:
        jobs = submit(submission)
    except BaseException:
        submission.file.unlink(missing_ok=True)  # nothing was started, so nothing is planned
        raise
    write_jobs(submission, jobs)
    what = "Slurm job" if jobs.kind == "slurm" else "processes"
    console.print(
        f"{len(todo)} points in {jobs.tasks} tasks: {what} {', '.join(jobs.ids)}", style="bold"
    )
    for verb in ("status", "resume", "collect", "pages", "cancel"):
        where = shlex.quote(str(directory))
        console.print(f"  {verb:<8}otherview sweep {verb} {where}", soft_wrap=True)
    console.print(f"  {'logs':<8}{shlex.quote(str(submission.logs))}/*/*_log.out", soft_wrap=True)
    if launcher.get("wait"):
        failed = follow(submission, jobs, console)
        finish(directory, points, failed, console)
