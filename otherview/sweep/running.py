"""Run points in this process: one model after the other, and with each its points.

A point is measured in the calling thread. It is tested and written in another one while the next
is measured, so that a GPU does not wait for statistics; its views are made in a third.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from otherview.disk.atomic import remove_partial, replacing
from otherview.disk.progress import Progress, silent
from otherview.passes.session import Session
from otherview.results.state import SWEEP, Kind, state_of
from otherview.results.status import read_status, signs_of_life, write_status
from otherview.sweep.points import Point
from otherview.sweep.submissions import REFERENCES, Submission
from otherview.sweep.viewing import PointViews

if TYPE_CHECKING:
    from rich.console import Console

    from otherview.results.run_study import Measured

MAX_ATTEMPTS = 3
"""Times that a point may be stopped before its end until it counts as failed."""

Say = Callable[[str], None]


@dataclass
class Failure:
    """A point that failed, and why in one line."""

    point: Point
    reason: str


def run_points(
    points: Sequence[Point],
    submission: Submission,
    report: Progress,
    say: Say,
    console: Console,
) -> list[Failure]:
    """Run those of `points` that are not done, with one loaded model at a time.

    `report` gets the progress of each, and may raise KeyboardInterrupt to stop. `say` gets one line
    per point, from another thread. Returns what failed; a failure does not stop the others.
    """
    sources = [point.study.model.source for point in points]
    with (
        PointViews(submission.directory, submission.launcher, console, report) as views,
        Runner(submission, report, say, views) as runner,
    ):
        for source in dict.fromkeys(sources):
            group = [point for point, its in zip(points, sources, strict=True) if its == source]
            runner.run([point for point in group if not is_done(point, submission)])
    return runner.failures


class Runner:
    """Measures points, one model after the other; each is finished while the next is measured.

    A single thread finishes, since its kernels must not run twice at once, and at most one
    measured point waits for it.
    """

    def __init__(
        self, submission: Submission, report: Progress, say: Say, views: PointViews
    ) -> None:
        self._submission, self._report, self._say, self._views = submission, report, say, views
        self._thread = ThreadPoolExecutor(1, "results")
        self._finishing: Future[None] | None = None
        self.failures: list[Failure] = []

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *raised: object) -> None:
        """Write what was measured, however the block ends."""
        self._thread.shutdown()

    def run(self, points: Sequence[Point]) -> None:
        """Run `points`, which are of one model: it is loaded once."""
        session: Session | Exception | None = None
        for index, point in enumerate(points):
            if is_done(point, self._submission):  # another task did it meanwhile
                continue
            start = time.time()
            try:
                if session is None:
                    session = self._open(points[index:])
                if isinstance(session, Exception):
                    raise session
                measured = self._measured(point, session)
            except Exception as error:
                session = session or error  # a model that cannot be loaded fails all its points
                self._fail(point, error)
            else:
                self._finish_later(point, measured, start)
        self._await()

    def _open(self, points: Sequence[Point]) -> Session:
        references = self._submission.directory / SWEEP / REFERENCES
        session = Session(points[0].study.model, references)
        session.expect(point.study for point in points)
        return session

    def _measured(self, point: Point, session: Session) -> Measured:
        from otherview.results.run_study import measure_study

        folder = self._folder(point)
        attempt = self._attempt(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self._thread.submit(write_hydra_files, folder, point)
        with signs_of_life(folder):
            measured = measure_study(
                point.study, folder, self._report, session, start_of(self._submission, attempt)
            )
            files.result()  # not before the previous point is finished
        return measured

    def _finish_later(self, point: Point, measured: Measured, start: float) -> None:
        self._await()
        report = self._report if measured.needs_model else silent
        self._finishing = self._thread.submit(self._finish, point, measured, report, start)
        if measured.needs_model:
            self._await()

    def _finish(self, point: Point, measured: Measured, report: Progress, start: float) -> None:
        try:
            with signs_of_life(measured.folder):
                measured.finish(report, lambda: is_done(point, self._submission))
            (measured.folder / "traceback.txt").unlink(missing_ok=True)
            remove_partial(measured.folder, start)
        except Exception as error:
            self._fail(point, error)
            return
        self._views.add(point)
        self._say(f"done   {point.folder} ({time.time() - start:.1f} s)")

    def _await(self) -> None:
        """Wait until the previous point is finished; raise what stopped it, not its failure."""
        if self._finishing is not None:
            self._finishing.result()

    def _attempt(self, folder: Path) -> int:
        """Return which attempt at a point this is. Raises RuntimeError after too many."""
        status, _ = read_status(folder)
        cut_short = status.get("state") in ("running", "interrupted")
        again = cut_short and status.get("submission") == self._submission.name
        attempt = int(status.get("attempt", 1)) + 1 if again else 1
        if attempt > MAX_ATTEMPTS:
            raise RuntimeError(
                f"stopped {MAX_ATTEMPTS} times before its end: give tasks more time "
                "(hydra.launcher.time) or memory"
            )
        return attempt

    def _fail(self, point: Point, error: Exception) -> None:
        self.failures.append(Failure(point, leave_traceback(point, self._submission, error)))
        self._say(f"failed {point.folder}: {self.failures[-1].reason}")

    def _folder(self, point: Point) -> Path:
        return self._submission.directory / point.folder


def is_done(point: Point, submission: Submission) -> bool:
    """Return whether `submission` need not run a point (again): its `rerun` decides."""
    state = state_of(submission.directory / point.folder)
    if state.kind is not Kind.WHOLE:
        return False
    rerun = submission.launcher.get("rerun", "missing")
    if rerun == "missing" or (rerun == "outdated" and not state.outdated):
        return True
    status = state.status
    return status.get("state") == "finished" and status.get("submission") == submission.name


def start_of(submission: Submission, attempt: int) -> dict[str, Any]:
    start: dict[str, Any] = {"submission": submission.name, "attempt": attempt}
    job = job_id(os.environ)
    return start if job is None else {**start, "job": job}


def job_id(environment: Mapping[str, str]) -> str | None:
    """Return the Slurm job of this process, as `array_task` or a number; None outside Slurm."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID") if "SUBMITIT_EXECUTOR" in environment else None


def write_hydra_files(folder: Path, point: Point) -> None:
    """Write the composed config and the overrides where Hydra does for a single run."""
    (folder / ".hydra").mkdir(exist_ok=True)
    for name, content in (("config.yaml", point.config), ("overrides.yaml", point.overrides)):
        with replacing(folder / ".hydra" / name) as temporary:
            temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(content)), encoding="utf-8")


def leave_traceback(point: Point, submission: Submission, error: Exception) -> str:
    """Write the traceback into the point's folder and the log; return its last line."""
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(f"{point.folder}\n{text}")
    reason = " ".join(str(error).split()) or type(error).__name__
    folder = submission.directory / point.folder
    more = {"cause": "machine"} if is_machine_failure(error) else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_status(folder, "failed", reason, **start_of(submission, 1), **more)
        with replacing(folder / "traceback.txt") as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as unwritable:
        sys.stderr.write(f"the traceback could not be left in {folder}: {unwritable}\n")
    return reason


def is_machine_failure(error: BaseException) -> bool:
    """Return whether an error is the machine's, not the study's: no memory, disk or device."""
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
