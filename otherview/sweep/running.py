"""Run points in this process: one model after the other, and with each its points.

A point is measured in the calling thread. It is tested and written in another one while the next
is measured, so that a GPU does not wait for statistics; its views are made in a third.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.atomic import remove_partial, replacing
from otherview.disk.interruption import raise_if_interrupted
from otherview.disk.progress import Progress, silent
from otherview.passes.session import Session
from otherview.passes.sessions import session_of
from otherview.results.registration import registration_file
from otherview.results.state import SWEEP, Kind, account, fruitless, state_of
from otherview.results.status import (
    file_system_time,
    read_status,
    signs_of_life,
    write_status,
)
from otherview.study.compose import write_composition
from otherview.study.errors import StudyError
from otherview.sweep.machine_failures import LostDeviceError, ends_task, is_machine_failure
from otherview.sweep.points import Point
from otherview.sweep.shares import GOT_FURTHER, trouble
from otherview.sweep.submissions import REFERENCES, Submission
from otherview.sweep.viewing import point_views

if TYPE_CHECKING:
    from rich.console import Console

    from otherview.results.run_study import Measured

Say = Callable[[str], None]


Failure = tuple[Point, str]
"""A point that failed, and why in one line."""


def run_points(
    points: Sequence[Point],
    submission: Submission,
    report: Progress,
    say: Say,
    console: Console,
    job: str | None = None,
) -> list[Failure]:
    """Run those of `points` that are not done, with one loaded model at a time.

    Points that ended the processes that tried them come last, one at a time. `report` gets the
    progress of each, and may raise KeyboardInterrupt to stop. `say` gets one line per point, from
    another thread. `job` is the Slurm job that ends with this process. Returns what failed; a
    failure does not stop the others. Raises LostDeviceError once the GPU does not work any more.
    """
    with (
        point_views(submission.directory, submission.launcher, console, report) as make_views,
        ThreadPoolExecutor(1, "results") as thread,  # what was measured is written in any case
    ):
        runner = Runner(submission, report, say, make_views, thread, job)
        runner.record_earlier_end(points)
        left = [point for point in points if not is_done(point, submission)]
        for group in runner.in_order(left):
            runner.run(group)
    return runner.failures


class Runner:
    """Measures points, one model after the other; each is finished while the next is measured.

    A single thread finishes, since its kernels must not run twice at once, and at most one
    measured point waits for it.
    """

    def __init__(
        self,
        submission: Submission,
        report: Progress,
        say: Say,
        make_views: Callable[[Point], None],
        thread: ThreadPoolExecutor,
        job: str | None,
    ) -> None:
        self._submission, self._report, self._say = submission, report, say
        self._make_views = make_views
        self._origin: dict[str, Any] = {
            "submission": submission.name,
            **({} if job is None else {"job": job}),
        }
        self._thread = thread
        self._finishing: Future[None] | None = None
        self._lost: Exception | None = None
        self.failures: list[Failure] = []

    def record_earlier_end(self, points: Sequence[Point]) -> None:
        """Say of points that an earlier start of this very job left as running that it ended."""
        for point in points:
            status, _ = read_status(self._folder(point))
            job = self._origin.get("job")
            earlier = job is not None and status.get("job") == job
            if earlier and status.get("state") == "running":
                status["state"] = "interrupted"
                write_status(self._folder(point), **status)

    def in_order(self, points: Sequence[Point]) -> Iterator[list[Point]]:
        """Yield `points` as groups of one model each: never tried, got further, died.

        A point that died is a group of its own, those that died least often first.
        """
        rank = {p.identity: trouble(self._folder(p)) for p in points}
        healthy = sorted(points, key=lambda point: rank[point.identity])  # stable
        fresh = [point for point in healthy if rank[point.identity] <= GOT_FURTHER]
        for source in dict.fromkeys(point.study.model.source for point in fresh):
            yield [point for point in fresh if point.study.model.source == source]
        yield from ([point] for point in healthy if rank[point.identity] > GOT_FURTHER)

    def run(self, points: Sequence[Point]) -> None:
        """Run `points`, which are of one model: it is loaded once."""
        from otherview.results.run_study import ends_recorded

        session: Session | Exception | None = None
        for index, point in enumerate(points):
            raise_if_interrupted()
            if is_done(point, self._submission):  # another task did it meanwhile
                continue
            start = time.time()
            try:
                more = self._begin(point)
                if more is None:
                    continue
                folder = self._folder(point)
                with signs_of_life(folder), ends_recorded(folder, more):
                    session = session or self._open(points[index:])
                    if isinstance(session, Exception):
                        raise session
                    measured = self._measured(point, session, more)
            except Exception as error:
                self._fail(point, error)
            else:
                self._await()
                report = self._report if measured.needs_model else silent
                self._finishing = self._thread.submit(self._finish, point, measured, report, start)
                if measured.needs_model:
                    self._await()
            self._check_device()
        self._await()
        self._check_device()

    def _begin(self, point: Point) -> dict[str, Any] | None:
        """Record a start in `status.json` before anything that can end the process.

        Returns what else `status.json` is to say of this start; None if the point is given up.
        """
        folder = self._folder(point)
        status, _ = read_status(folder)
        state = state_of(folder)
        its = status.get("submission") == self._submission.name
        if state.kind is Kind.FAILED and status.get("state") != "failed" and its:
            self._say_failed(point, state.reason)
            return None
        asked_again = state.kind is Kind.FAILED and not state.machine_failed
        earlier = 0 if asked_again else fruitless(folder, status)
        folder.mkdir(parents=True, exist_ok=True)
        more = {**self._origin, **account(folder, earlier + 1)}
        write_status(folder, "running", **more)
        return more

    def _open(self, points: Sequence[Point]) -> Session | Exception:
        """Return the model of `points`, or why it cannot be loaded: that fails all of them."""
        references = self._submission.directory / SWEEP / REFERENCES
        try:
            session = session_of(points[0].study.model, references)
            session.expect(point.study for point in points)
        except Exception as error:
            return error
        return session

    def _measured(self, point: Point, session: Session, more: dict[str, Any]) -> Measured:
        from otherview.results.run_study import measure_study

        folder = self._folder(point)
        files = self._thread.submit(write_composition, folder, point.config, point.overrides)
        registered = registration_file(point.config)
        measured = measure_study(point.study, folder, self._report, session, more, registered)
        files.result()  # not before the previous point is finished
        return measured

    def _finish(self, point: Point, measured: Measured, report: Progress, start: float) -> None:
        before = file_system_time(measured.folder)
        try:
            with signs_of_life(measured.folder):
                measured.finish(report, lambda: is_done(point, self._submission))
            (measured.folder / "traceback.txt").unlink(missing_ok=True)
            remove_partial(measured.folder, before)
        except Exception as error:
            self._fail(point, error)
            return
        self._make_views(point)
        self._say(f"done   {point.folder} ({time.time() - start:.1f} s)")

    def _await(self) -> None:
        """Wait until the previous point is finished; raise what stopped it, not its failure."""
        if self._finishing is not None:
            self._finishing.result()

    def _fail(self, point: Point, error: Exception) -> None:
        """Write the traceback into the point's folder, and say its last line.

        The log has it, too, but where a study was refused: then the line says all.
        """
        folder, text = self._folder(point), "".join(traceback.format_exception(error))
        if not isinstance(error, StudyError) or is_machine_failure(error):
            sys.stderr.write(f"{point.folder}\n{text}")
        reason = " ".join(str(error).split()) or type(error).__name__
        status, _ = read_status(folder)
        more: dict[str, Any] = {n: status[n] for n in ("attempt", "kept") if n in status}
        if is_machine_failure(error):
            more["cause"] = "machine"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_status(folder, "failed", reason, **self._origin, **more)
            with replacing(folder / "traceback.txt") as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as unwritable:
            sys.stderr.write(f"the traceback could not be left in {folder}: {unwritable}\n")
        self._say_failed(point, reason)
        if ends_task(error):
            self._lost = error

    def _say_failed(self, point: Point, reason: str) -> None:
        self.failures.append((point, reason))
        self._say(f"failed {point.folder}: {reason}")

    def _check_device(self) -> None:
        if self._lost is not None:
            reason = " ".join(str(self._lost).split())
            raise LostDeviceError(f"no more points are run here: {reason}") from self._lost

    def _folder(self, point: Point) -> Path:
        return self._submission.directory / point.folder


def is_done(point: Point, submission: Submission) -> bool:
    """Return whether `submission` need not run a point (again)."""
    state = state_of(submission.directory / point.folder)
    since = submission.since.get(point.identity, "")
    rerun = submission.launcher.get("rerun", "missing")
    return state.kind is Kind.WHOLE and not state.owes(since, rerun)
