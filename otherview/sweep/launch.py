"""Starts a sweep: what the launcher does when Hydra has made the combinations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from otherview.study.compose import configuration_folder
from otherview.study.errors import StudyError
from otherview.sweep.point_checks import check_points
from otherview.sweep.point_states import PointState, state_of
from otherview.sweep.points import Point, compose_points, with_existing_folders
from otherview.sweep.shares import deal
from otherview.sweep.submissions import HIDDEN, Submission, freeze
from otherview.sweep.viewing import PAGE
from otherview.views.console import plain_console

if TYPE_CHECKING:
    from omegaconf import DictConfig

RERUN = ("missing", "outdated", "all")
KINDS = ("sequential", "local", "slurm")


def launch(
    loader: Any,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    launcher: Mapping[str, Any],
) -> None:
    """Composes and checks the points of a sweep, and starts those that are not done.

    Raises what is wrong with a point or the launcher's settings before anything is started, and
    SystemExit(1) in the end where points failed.
    """
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(OmegaConf.create(dict(launcher)), resolve=True)
    assert isinstance(plain, dict)
    settings = {str(name): value for name, value in plain.items()}
    check_settings(settings)
    directory = Path(str(master.hydra.sweep.dir)).absolute()
    points = compose_points(loader, master, job_overrides)
    console = plain_console()
    if len(points) < len(job_overrides):
        console.print(f"{len(job_overrides) - len(points)} of the points repeat another")
    points = with_existing_folders(check_points(points), directory)
    start(directory, points, settings, console)


def default_settings(name: str) -> dict[str, Any]:
    """The settings of conf/hydra/launcher/`name`.yaml; raises StudyError where there is none."""
    folder = configuration_folder() / "hydra" / "launcher"
    there = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in there:
        raise StudyError(f"no launcher is called {name}; there are: {', '.join(there)}")
    settings: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text())
    del settings["_target_"]
    return settings


def check_settings(launcher: Mapping[str, Any]) -> None:
    """Raises StudyError for settings of a launcher that mean nothing."""
    for name, choices in (("kind", KINDS), ("rerun", RERUN), ("pages", (False, True))):
        if launcher.get(name) not in choices:
            raise StudyError(
                f"hydra.launcher.{name}={launcher.get(name)}: choose one of "
                f"{', '.join(str(choice).lower() for choice in choices)}"
            )


def start(
    directory: Path,
    points: Sequence[Point],
    launcher: dict[str, Any],
    console: Console,
    wanted: Mapping[str, PointState] | None = None,
) -> None:
    """Freezes a submission of `points` and runs or submits those that are not done.

    `wanted` are the states of the points that are to be run, by identity, where the caller has
    chosen them. Points that another submission's tasks are at are left to these.
    """
    from otherview.sweep.following import look

    known = look(directory) if (directory / HIDDEN).is_dir() else None
    states = {point.identity: state_of(point, directory) for point in points}
    busy = known.busy if known else {}
    todo = [
        index
        for index, point in enumerate(points)
        if (point.identity in wanted if wanted is not None else is_wanted(point, states, launcher))
        and point.identity not in busy
    ]
    say_what_is_there(points, states, busy, launcher, console)
    if not todo:
        console.print(
            f"nothing to start: {sum(state.state == 'done' for state in states.values())} of "
            f"{len(points)} points are done, {sum(p.identity in busy for p in points)} under way"
        )
        if launcher["kind"] == "sequential":
            finish(directory, points, [], console)
        return
    if launcher["kind"] == "sequential":
        run_here(freeze(directory, points, [todo], launcher), console)
    else:
        _submit(directory, points, todo, launcher, console)


def is_wanted(point: Point, states: Mapping[str, PointState], launcher: Mapping[str, Any]) -> bool:
    state = states[point.identity]
    if state.state != "done":
        return True
    return launcher["rerun"] == "all" or (launcher["rerun"] == "outdated" and state.outdated)


def say_what_is_there(
    points: Sequence[Point],
    states: Mapping[str, PointState],
    busy: Mapping[str, str],
    launcher: Mapping[str, Any],
    console: Console,
) -> None:
    done = [state for state in states.values() if state.state == "done"]
    outdated = sum(state.outdated for state in done)
    redone = len(done) if launcher["rerun"] == "all" else 0
    redone = outdated if launcher["rerun"] == "outdated" else redone
    if len(done) > redone:
        console.print(f"{len(done) - redone} of {len(points)} points are done already")
    if outdated and not redone:
        console.print(
            f"{outdated} of them were made by another version of otherview or of a library and are "
            "kept; hydra.launcher.rerun=outdated makes them anew",
            style="yellow",
        )
    for what, count in Counter(busy[p.identity] for p in points if p.identity in busy).items():
        console.print(f"{count} points are left to {what}, which is at work", style="yellow")


def run_here(submission: Submission, console: Console) -> None:
    from otherview.sweep.running import run_points

    points = submission.share(0)
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        sweep = bars.add_task("points", total=len(points))
        stages: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total, visible=done < total)

        def say(line: str) -> None:
            bars.advance(sweep)
            bars.console.print(line, soft_wrap=True)

        failures = run_points(points, submission, report, say, console)
    finish(submission.directory, submission.points, [f.point.identity for f in failures], console)


def finish(
    directory: Path, points: Sequence[Point], failed: Sequence[str], console: Console
) -> None:
    """The table of the points, and what to do next; exits with 1 where points failed."""
    from otherview.sweep.status_tables import point_table

    console.print(point_table(directory, points))
    console.print(f"points in {directory}", soft_wrap=True)
    console.print(f"combine: otherview sweep collect {directory}", soft_wrap=True)
    if any(not (directory / point.folder / PAGE).is_file() for point in points):
        console.print(f"pages:   otherview sweep pages {directory}", soft_wrap=True)
    if failed:
        console.print(
            f"{len(failed)} of {len(points)} points failed; each has its traceback.txt: "
            f"otherview sweep status {directory}",
            soft_wrap=True,
            style="red",
        )
        raise SystemExit(1)


def _submit(
    directory: Path,
    points: Sequence[Point],
    todo: Sequence[int],
    launcher: dict[str, Any],
    console: Console,
) -> None:
    from otherview.sweep.following import follow
    from otherview.sweep.jobs import submit, tasks_wanted
    from otherview.sweep.submissions import write_jobs

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
        console.print(f"  {verb:<8}otherview sweep {verb} {directory}", soft_wrap=True)
    console.print(f"  {'logs':<8}{submission.logs}/*/*_log.out", soft_wrap=True)
    if launcher.get("wait"):
        failed = follow(submission, jobs, console)
        finish(directory, points, failed, console)
