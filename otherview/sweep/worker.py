"""What a task does: one model after the other, and with each the points of the task's share."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from otherview.atomic import remove_partial, replacing
from otherview.controls.contrasts import with_controls
from otherview.provenance import code_version, same_version
from otherview.result import read_status, whole_summary, write_status
from otherview.session import Session, model_source
from otherview.sweep.points import Point
from otherview.sweep.states import BEAT
from otherview.sweep.submissions import HIDDEN, REFERENCES, Submission, read_submission
from otherview.sweep.viewing import PointViews, views_beside

if TYPE_CHECKING:
    from rich.console import Console

MOST_ATTEMPTS = 3
"""Times that a point may be stopped before its end; then it counts as failed."""
LONGEST_GRACE = 600.0
"""Seconds that a task which Slurm is about to end waits for its end."""
LOCAL_REQUEUE = 144
"""Exit code at which submitit's local executor starts a task again."""

Report = Callable[[str, int, int], None]


class Stopped(KeyboardInterrupt):
    """A task was asked to stop, and has finished the batch in hand."""


class PointsFailedError(RuntimeError):
    """Points of a share failed; each left its traceback in its folder."""


@dataclass
class Failure:
    """A point that failed, and why in one line."""

    point: Point
    reason: str


class Share:
    """A task's call: goes through submitit as the path of a submission and the task's number."""

    def __init__(self, submission: Path, task: int) -> None:
        self.submission = str(submission)
        self.task = task

    def __call__(self) -> None:
        """Runs the share; stops after the batch in hand when asked to.

        USR2 comes before the time limit: the task requeues itself. TERM comes from a preemption,
        after which Slurm requeues, or from a cancellation, after which nobody does.
        """
        stop = _StopRequest()
        try:
            run_share(read_submission(Path(self.submission)), self.task, stop)
        except Stopped:
            if stop.signal == signal.SIGUSR2:
                _requeue()
            _await_the_end()
            raise SystemExit(f"stopped by signal {stop.signal}") from None

    def checkpoint(self) -> Any:
        """What submitit would run after a requeue: the same share, less what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _StopRequest:
    """Set by the signals that ask a task to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        sys.stderr.write(f"{self.signal.name}: stops after the batch in hand\n")

    def report(self, _stage: str, _done: int, _total: int) -> None:
        """Progress of a point, after every batch; raises Stopped when asked to stop."""
        if self.signal is not None:
            raise Stopped(self.signal.name)


def run_share(submission: Submission, task: int, stop: _StopRequest) -> None:
    """Runs the points of a task that are not done.

    Raises PointsFailedError in the end when some failed, Stopped when asked to, and SystemExit for
    another version of the code than was frozen.
    """
    from otherview.console import plain_console

    if not same_version(submission.code, code_version()):
        raise SystemExit(
            f"this task has another version of otherview or of a library than {submission.file} "
            "was frozen with, so its points would not be comparable: go back to that version, or "
            f"freeze this one with: python -m otherview.sweep resume {submission.directory}"
        )
    points = submission.share(task)
    console = plain_console()
    console.print(f"{socket.gethostname()}: {len(points)} points, task {task} of {submission.file}")
    failures = run_points(
        points, submission, stop.report, lambda line: console.print(line, soft_wrap=True), console
    )
    if failures:
        raise PointsFailedError(
            f"{len(failures)} of {len(points)} points failed: "
            + "; ".join(f"{f.point.folder}: {f.reason}" for f in failures)
        )


def run_points(
    points: Sequence[Point],
    submission: Submission,
    report: Report,
    say: Callable[[str], None],
    console: Console,
) -> list[Failure]:
    """Runs those of `points` that are not done, with one loaded model at a time.

    `report` gets the progress of each, and may raise Stopped. `say` gets a line a point. Returns
    what failed; none stops the others.
    """
    failures: list[Failure] = []
    sources = [model_source(point.study.model) for point in points]
    with views_beside(submission.directory, submission.launcher, console, report) as views:
        for source in dict.fromkeys(sources):
            group = [point for point, its in zip(points, sources, strict=True) if its == source]
            failures += _run_group(group, submission, report, say, views)
    return failures


def _run_group(
    points: Sequence[Point],
    submission: Submission,
    report: Report,
    say: Callable[[str], None],
    views: PointViews,
) -> list[Failure]:
    """Runs those of `points` that are not done; all are of one model, which is loaded once."""
    directory, failures = submission.directory, []
    group = [point for point in points if not done_summary(point, submission)]
    session: Session | Exception | None = None
    for index, point in enumerate(group):
        if done_summary(point, submission):  # another task did it meanwhile
            continue
        start = time.monotonic()
        try:
            if session is None:
                session = Session(point.study.model, directory / HIDDEN / REFERENCES)
                session.expect(
                    study for rest in group[index:] for study in with_controls(rest.study)
                )
            if isinstance(session, Exception):
                raise session
            _run_point(point, submission, session, report)
        except Exception as error:
            session = session or error  # a model that cannot be had fails all of its points
            failures.append(Failure(point, _leave_traceback(point, submission, error)))
            say(f"failed {point.folder}: {failures[-1].reason}")
        else:
            views.add(point)
            say(f"done   {point.folder} ({time.monotonic() - start:.1f} s)")
    return failures


def done_summary(point: Point, submission: Submission) -> dict[str, Any] | None:
    """The summary of a point that `submission` need not run (again): its `rerun` decides."""
    folder = submission.directory / point.folder
    summary = whole_summary(folder)
    if summary is None or submission.launcher.get("rerun", "missing") == "missing":
        return summary
    status = read_status(folder) or {}
    if status.get("state") == "finished" and status.get("submission") == submission.name:
        return summary
    if submission.launcher["rerun"] == "all":
        return None
    return summary if same_version(summary["provenance"], submission.code) else None


def _run_point(point: Point, submission: Submission, session: Session, report: Report) -> None:
    from otherview.run import make_result

    folder = submission.directory / point.folder
    began = time.time()
    status = read_status(folder) or {}
    cut_short = status.get("state") in ("running", "interrupted")
    again = cut_short and status.get("submission") == submission.name
    attempt = int(status.get("attempt", 1)) + 1 if again else 1
    if attempt > MOST_ATTEMPTS:
        raise RuntimeError(
            f"stopped {MOST_ATTEMPTS} times before its end: give tasks more time "
            "(hydra.launcher.time) or memory"
        )
    _write_hydra_files(folder, point)
    with _signs_of_life(folder):
        make_result(
            point.study,
            folder,
            report,
            session,
            _origin(submission, attempt),
            lambda: done_summary(point, submission),
        )
    (folder / "traceback.txt").unlink(missing_ok=True)
    remove_partial(folder, began)


def _origin(submission: Submission, attempt: int) -> dict[str, Any]:
    origin: dict[str, Any] = {"submission": submission.name, "attempt": attempt}
    job = job_id(os.environ)
    return origin if job is None else {**origin, "job": job}


def job_id(environment: Mapping[str, str]) -> str | None:
    """The Slurm job of this process, as `array_task` or a number; None outside Slurm."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID") if "SUBMITIT_EXECUTOR" in environment else None


def _write_hydra_files(folder: Path, point: Point) -> None:
    """The composed config and the overrides, where Hydra writes them for a single run."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, content in (("config.yaml", point.config), ("overrides.yaml", point.overrides)):
        with replacing(folder / ".hydra" / name) as temporary:
            temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(content)), encoding="utf-8")


@contextmanager
def _signs_of_life(folder: Path) -> Iterator[None]:
    """Touches `status.json` now and then, so that others see that the point still runs."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with suppress(OSError):
                os.utime(folder / "status.json")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _leave_traceback(point: Point, submission: Submission, error: Exception) -> str:
    """Puts the traceback into the point's folder and the log; returns its last line."""
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(f"{point.folder}\n{text}")
    reason = " ".join(str(error).split()) or type(error).__name__
    folder = submission.directory / point.folder
    more = {"cause": "machine"} if _is_machine_s(error) else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_status(folder, "failed", reason, **_origin(submission, 1), **more)
        with replacing(folder / "traceback.txt") as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as unwritable:
        sys.stderr.write(f"the traceback could not be left in {folder}: {unwritable}\n")
    return reason


def _is_machine_s(error: BaseException) -> bool:
    """Whether an error is the machine's and not the study's: no memory, no disk, no device."""
    import torch

    full = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
    causes = [error, error.__cause__, error.__context__]
    return any(
        isinstance(cause, (MemoryError, torch.OutOfMemoryError))
        or (isinstance(cause, OSError) and cause.errno in full)
        or "No space left on device" in str(cause)
        for cause in causes
        if cause is not None
    )


def _requeue() -> None:
    """Has this task started again where it was scheduled."""
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        sys.exit(LOCAL_REQUEUE)
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True, timeout=60)


def _await_the_end() -> None:
    """Waits for Slurm to end the task.

    One that ends by itself during the grace time of a preemption is not requeued.
    """
    end = time.monotonic() + LONGEST_GRACE
    while job_id(os.environ) is not None and time.monotonic() < end:
        time.sleep(1.0)
