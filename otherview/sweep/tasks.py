"""Which tasks of a sweep wait, work or have ended, and why; how to end them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from otherview.study.errors import StudyError
from otherview.sweep.submissions import Jobs, Submission

WORKING = ("RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING")
ALIVE = (*WORKING, "PENDING", "REQUEUED", "REQUEUE_HOLD", "PREEMPTED")
"""States of tasks that run, and of those that run or will run."""
UNKNOWN_JOB = "Invalid job id"
"""What squeue says of a single job that Slurm has forgotten or never knew."""
MAX_TAIL = 1 << 16
"""Bytes of the end of a log that are read."""
NO_REASON = re.compile(
    r"srun: (error: .*: (task|Exited|Killed|Terminated)|error: Timed out waiting"
    r"|Terminating|launch/|forcing|got SIG|Job step aborted)"
    r"|slurmstepd.* DUE TO JOB REQUEUE"
    r"|submitit (INFO|WARNING)|submitit ERROR .* Submitted job triggered an exception"
    r"|SIG\w+: stops after|starts again (without|maybe)"
)
"""Lines at the end of a log that say only that the task ended."""

States = Mapping[str, str]
"""State and reason of tasks that Slurm knows, by their id: `123_4` or `123`."""


def slurm_states(jobs: Collection[str]) -> dict[str, str] | None:
    """Return the states of the tasks of `jobs`, whoever submitted them; None without an answer.

    Asks squeue, which needs no accounting. A job that Slurm does not know is not in the answer.
    """
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
    try:
        asked = subprocess.run(
            [*command, f"--jobs={','.join(sorted(jobs))}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if asked.returncode:
        return {} if UNKNOWN_JOB in asked.stderr else None
    states = {}
    for line in asked.stdout.splitlines():
        task, state, reason = line.split("|", 2)
        states[task] = state if reason in ("None", "") else f"{state} ({reason})"
    return states


def is_any_of(state: str, kinds: Collection[str]) -> bool:
    """Return whether the state of a task, which may come with a reason, is one of `kinds`."""
    return state.split(" ")[0] in kinds


def live_tasks(submission: Submission, jobs: Jobs | None, states: States | None) -> set[int]:
    """Return the tasks that are known to run or to wait for their turn."""
    if jobs is None:
        return set()
    if jobs.kind == "local":
        controllers = set(processes_of(submission))
        return {task for task, controller in enumerate(jobs.ids) if controller in controllers}
    tasks = {n: s for n, s in (states or {}).items() if n.split("_")[0] in jobs.ids}
    return {
        int(name.partition("_")[2] or 0) for name, state in tasks.items() if is_any_of(state, ALIVE)
    }


def processes_of(submission: Submission) -> dict[str, list[psutil.Process]]:
    """Return the processes of a local submission on this machine, by their controller's id.

    submitit's controllers and workers have the folder of the logs in their command line, so that
    a worker is found without its controller, and both without the file of the jobs.
    """
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if not any(f"/{submission.name}/" in word for word in words):
                continue
            if "submitit.core._submit" in words:
                controller = process.environ().get("SUBMITIT_LOCAL_JOB_ID")
            else:
                controller = str(process.pid) if "submitit.local._local" in words else None
            if controller is not None and process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(controller, []).append(process)
    return found


def cancel_jobs(jobs: Collection[str]) -> str:
    """Have Slurm end `jobs`; return what was done. Raises StudyError if Slurm refuses."""
    done = subprocess.run(["scancel", *jobs], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StudyError(f"scancel {' '.join(jobs)}: {' '.join(done.stderr.split())}")
    return f"cancelled job {', '.join(jobs)}"


def stop_processes(submission: Submission) -> str:
    """Tell the processes of a local submission to stop; return what was done, or nothing."""
    found = processes_of(submission)
    for process in (process for group in found.values() for process in group):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    what = "process" if len(found) == 1 else "processes"
    return f"told {len(found)} {what} to stop after the current batch" if found else ""


def stop_process(number: int) -> bool:
    """Tell a process that runs points to stop; return whether it is one of otherview's."""
    try:
        process = psutil.Process(number)
        if not any(name in " ".join(process.cmdline()) for name in ("otherview", "submitit")):
            return False
        process.terminate()
    except psutil.Error:
        return False
    return True


def lost_devices(submission: Submission, task: int) -> list[str]:
    """Return the nodes that a task left because of their GPUs, each with the reason."""
    try:
        return (submission.logs / f"lost-{task}.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def last_words(log: Path) -> str:
    """Return the last line of a task's log that says why it ended; empty if there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - MAX_TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if not NO_REASON.match(line)), "")
