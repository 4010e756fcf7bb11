"""What a task does: run its share of the points, and stop when it is asked to."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from otherview.disk.fingerprint import code_version, same_version, version_changes
from otherview.sweep.running import job_id, run_points
from otherview.sweep.submissions import Submission, read_submission

MAX_GRACE_S = 600.0
"""Seconds that a stopped task waits for Slurm to end it."""
LOCAL_REQUEUE = 144
"""Exit code at which submitit's local executor starts a task again."""


class Stopped(KeyboardInterrupt):
    """A task was asked to stop, and has finished its current batch."""


class PointsFailedError(RuntimeError):
    """Points of a share failed; each left its traceback in its folder."""


class Share:
    """The call of a task, which submitit carries as the path of a submission and a number."""

    def __init__(self, submission: Path, task: int) -> None:
        self.submission = str(submission)
        self.task = task

    def __call__(self) -> None:
        """Run the share; stop after the current batch when asked to.

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
        """Return what submitit runs after a requeue: the same share, less what is done."""
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
        sys.stderr.write(f"{self.signal.name}: stops after the current batch\n")

    def report(self, _stage: str, _done: int, _total: int) -> None:
        """Take the progress of a point, after every batch; raise Stopped when asked to stop."""
        if self.signal is not None:
            raise Stopped(self.signal.name)


def run_share(submission: Submission, task: int, stop: StopRequest) -> None:
    """Run the points of a task that are not done.

    Raises PointsFailedError at the end if some failed, Stopped when asked to stop, and SystemExit
    if the code or a library has another version than was frozen.
    """
    from otherview.views.console import plain_console

    if not same_version(submission.code, code_version()):
        raise SystemExit(
            f"this task has another version of otherview or of a library than {submission.file} "
            f"was frozen with ({version_changes(submission.code, code_version())}), so its points "
            "would not be comparable: go back to that version, or "
            f"freeze this one with: otherview sweep resume {shlex.quote(str(submission.directory))}"
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
    """Have this task started again by what scheduled it."""
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        sys.exit(LOCAL_REQUEUE)
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True, timeout=60)


def await_the_end() -> None:
    """Wait for Slurm to end the task: one that ends by itself when preempted is not requeued."""
    end = time.monotonic() + MAX_GRACE_S
    while job_id(os.environ) is not None and time.monotonic() < end:
        time.sleep(1.0)
