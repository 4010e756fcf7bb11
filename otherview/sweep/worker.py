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
from otherview.disk.imports import importing
from otherview.sweep.machine_failures import LostDeviceError, missing_gpu
from otherview.sweep.submissions import Submission, read_submission
from otherview.sweep.tasks import lost_devices

MAX_GRACE_S = 600.0
"""Seconds that a stopped task waits for Slurm to end it."""
MAX_NODES = 3
"""Nodes on which a task is tried whose GPU is missing or breaks."""
MAX_TRIES = 6
"""Tries of such a task, where Slurm ends it before it learns which node to avoid."""
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
        stop, submission = StopRequest(), read_submission(Path(self.submission))
        try:
            run_share(submission, self.task, stop)
        except Stopped:
            if stop.signal == signal.SIGUSR2:
                requeue(submission)
            await_the_end(submission)
            raise SystemExit(f"stopped by signal {stop.signal}") from None
        except LostDeviceError as error:
            sys.stderr.write(f"{error}\n")
            start_elsewhere(submission, self.task, str(error))
            raise SystemExit(f"{socket.gethostname()}: {error}") from None

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

    Raises PointsFailedError at the end if some failed, Stopped when asked to stop, LostDeviceError
    if the GPU that it asked for is not there or breaks, and SystemExit if the code or a library has
    another version than was frozen.
    """
    with importing():
        from otherview.sweep.running import run_points  # torch, which only a task needs
    from otherview.views.console import PlainConsole
    from otherview.views.numbers import plural

    if not same_version(submission.code, code_version()):
        raise SystemExit(
            f"this task has another version of otherview or of a library than {submission.file} "
            f"was frozen with ({version_changes(submission.code, code_version())}), so its points "
            "would not be comparable: go back to that version, or "
            f"freeze this one with: otherview sweep resume {shlex.quote(str(submission.directory))}"
        )
    points = submission.share(task)
    console = PlainConsole()
    console.print(
        f"{socket.gethostname()}: {plural(len(points), 'point')}, task {task} of {submission.file}"
    )
    lacking = missing_gpu(submission.launcher, points, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if lacking:
        raise LostDeviceError(lacking)
    failures = run_points(
        points,
        submission,
        stop.report,
        lambda line: console.print(line, soft_wrap=True),
        console,
        job_id(submission),
    )
    if failures:
        raise PointsFailedError(
            f"{len(failures)} of {plural(len(points), 'point')} failed: "
            + "; ".join(f"{point.folder}: {reason}" for point, reason in failures)
        )


def job_id(submission: Submission) -> str | None:
    """Return the Slurm job of this process, as `array_task` or a number.

    None for a task that Slurm did not start, also inside somebody's `salloc` or `sbatch`: that
    job may outlive the task.
    """
    if submission.launcher["kind"] != "slurm":
        return None
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def requeue(submission: Submission) -> None:
    """Have this task started again by what scheduled it. Exits with 1 where Slurm refuses."""
    if submission.launcher["kind"] == "local":
        sys.exit(LOCAL_REQUEUE)
    job, where = os.environ["SLURM_JOB_ID"], shlex.quote(str(submission.directory))
    done = scontrol("requeue", job)
    if done.returncode:
        raise SystemExit(
            f"Slurm does not start job {job} again ({' '.join(done.stderr.split())}): what is left "
            f"of its points waits for: otherview sweep resume {where}"
        )


def start_elsewhere(submission: Submission, task: int, reason: str) -> None:
    """Have Slurm start this task again on another node, unless that was tried too often.

    The job waits from its requeue until this process has ended, so that its nodes can be changed.
    """
    if submission.launcher["kind"] != "slurm":
        return
    node = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    tried = [line.split(":")[0] for line in lost_devices(submission, task)]
    if len({*tried}) >= MAX_NODES - 1 or len(tried) >= MAX_TRIES - 1:
        return
    with (submission.logs / f"lost-{task}.txt").open("a", encoding="utf-8") as stream:
        stream.write(f"{node}: {reason}\n")
    requeue(submission)
    avoided = [*filter(None, [submission.launcher.get("exclude")]), *tried, node]
    nodes = ",".join(dict.fromkeys(avoided))
    done = scontrol("update", f"JobId={os.environ['SLURM_JOB_ID']}", f"ExcNodeList={nodes}")
    reason = " ".join(done.stderr.split()) or f"scontrol ended with {done.returncode}"
    said = f"maybe on the same node ({reason})" if done.returncode else f"without {nodes}"
    sys.stderr.write(f"starts again {said}\n")
    await_the_end(submission)


def scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    """Run scontrol, also while Slurm ends this task.

    A requeue sends SIGTERM to all processes of the task: without the trap it ends scontrol, too.
    """
    command = ["sh", "-c", 'trap "" TERM; exec scontrol "$@"', "scontrol", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def await_the_end(submission: Submission) -> None:
    """Wait for Slurm to end the task: one that ends by itself when preempted is not requeued."""
    end = time.monotonic() + MAX_GRACE_S
    while submission.launcher["kind"] == "slurm" and time.monotonic() < end:
        time.sleep(1.0)
