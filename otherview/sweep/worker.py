"""What a task does: its share of the points, and stopping when it is asked to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from otherview.disk.fingerprint import code_version, same_version
from otherview.sweep.running import job_id, run_points
from otherview.sweep.submissions import Submission, read_submission

MAX_GRACE_S = 600.0
"""Seconds that a task which Slurm is about to end waits for its end."""
LOCAL_REQUEUE = 144
"""Exit code at which submitit's local executor starts a task again."""


class Stopped(KeyboardInterrupt):
    """A task was asked to stop, and has finished the batch in hand."""


class PointsFailedError(RuntimeError):
    """Points of a share failed; each left its traceback in its folder."""


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
        stop = StopRequest()
        try:
            run_share(read_submission(Path(self.submission)), self.task, stop)
        except Stopped:
            if stop.signal == signal.SIGUSR2:
                requeue()
            await_the_end()
            raise SystemExit(f"stopped by signal {stop.signal}") from None

    def checkpoint(self) -> Any:
        """What submitit would run after a requeue: the same share, less what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class StopRequest:
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


def run_share(submission: Submission, task: int, stop: StopRequest) -> None:
    """Runs the points of a task that are not done.

    Raises PointsFailedError in the end when some failed, Stopped when asked to, and SystemExit for
    another version of the code than was frozen.
    """
    from otherview.views.console import plain_console

    if not same_version(submission.code, code_version()):
        raise SystemExit(
            f"this task has another version of otherview or of a library than {submission.file} "
            "was frozen with, so its points would not be comparable: go back to that version, or "
            f"freeze this one with: otherview sweep resume {submission.directory}"
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


def requeue() -> None:
    """Has this task started again where it was scheduled."""
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        sys.exit(LOCAL_REQUEUE)
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True, timeout=60)


def await_the_end() -> None:
    """Waits for Slurm to end the task.

    One that ends by itself during the grace time of a preemption is not requeued.
    """
    end = time.monotonic() + MAX_GRACE_S
    while job_id(os.environ) is not None and time.monotonic() < end:
        time.sleep(1.0)
