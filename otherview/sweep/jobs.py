"""Start the tasks of a submission, on Slurm or here, through submitit."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from otherview.study.errors import StudyError
from otherview.sweep.launcher_settings import CONFIG_DIRS
from otherview.sweep.submissions import Jobs, Submission
from otherview.sweep.worker import Share

OWN_SETTINGS = ("kind", "rerun", "pages", "wait", "workers", "python", CONFIG_DIRS)
"""Settings of a launcher that are not sbatch's."""
MAX_LOCAL_MINUTES = 60 * 24 * 365


def tasks_wanted(launcher: Mapping[str, Any]) -> int:
    """Return how many tasks the launcher's settings ask for."""
    workers = launcher.get("workers", 1)
    return max(1, len(visible_gpus())) if workers == "auto" else int(workers)


def check_tasks(launcher: Mapping[str, Any], points: int) -> None:
    """Raise StudyError if `points` would be dealt to more tasks than an array of Slurm may have."""
    if launcher["kind"] != "slurm":
        return
    tasks, size = min(tasks_wanted(launcher), points), max_array_size()
    if size is not None and tasks > size:
        raise StudyError(
            f"hydra.launcher.workers={launcher['workers']}: this cluster takes arrays of at most "
            f"{size} tasks (MaxArraySize); each task runs its share of the points"
        )


def max_array_size() -> int | None:
    """Return the largest array that Slurm takes; None if it gives no answer."""
    command = ["scontrol", "show", "config"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)$", asked.stdout, re.MULTILINE)
    return int(found[1]) if found else None


def check_launcher(launcher: Mapping[str, Any]) -> None:
    """Raise StudyError if what starts tasks is not installed. Nothing needs to be made before."""
    if launcher["kind"] == "slurm" and None in map(shutil.which, ("sbatch", "srun")):
        raise StudyError("there is no Slurm here (no sbatch); hydra/launcher=local needs none")


def submit(submission: Submission) -> Jobs:
    """Start one task per share; return at once. Raises StudyError if Slurm refuses."""
    import submitit

    submission.logs.mkdir(parents=True, exist_ok=True)
    with patch.dict(os.environ, findable_package()):
        if submission.launcher["kind"] == "slurm":
            return submit_to_slurm(submitit, submission)
        return start_here(submitit, submission)


def submit_to_slurm(submitit: Any, submission: Submission) -> Jobs:
    launcher = submission.launcher
    executor = submitit.SlurmExecutor(submission.logs / "%j", python=launcher.get("python"))
    given = {k: v for k, v in launcher.items() if k not in OWN_SETTINGS and v is not None}
    given = {name: value for name, value in given.items() if value not in ([], {})}
    parameters = given.get("additional_parameters", {})
    if not {name.replace("_", "-") for name in parameters} & {"requeue", "no-requeue"}:
        parameters = {**parameters, "requeue": True}  # where a cluster has JobRequeue=0
    given["additional_parameters"] = parameters
    if "cpus_per_task" in given:
        given["srun_args"] = [f"--cpus-per-task={given['cpus_per_task']}"]
    try:
        executor.update_parameters(**given, stderr_to_stdout=True, wckey="")
    except (TypeError, ValueError) as error:
        raise StudyError(f"hydra.launcher: {' '.join(str(error).split())}") from error
    check_tasks(launcher, len(submission.shares))
    calls = [Share(submission.file, task) for task in range(len(submission.shares))]
    try:
        with executor.batch():
            jobs = [executor.submit(call) for call in calls]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        asked = (f"hydra.launcher.{name}={launcher[name]}"
                 for name in RESOURCES if launcher.get(name) is not None)  # fmt: skip
        raise StudyError(
            f"Slurm refused: {refusal(error)}. Asked for: {' '.join(asked)}"
        ) from error
    return Jobs("slurm", [jobs[0].job_id.split("_")[0]], len(calls), socket.gethostname())


RESOURCES = (
    "partition", "account", "qos", "time", "gres", "gpus_per_node", "cpus_per_task", "mem",
    "constraint", "nodelist",
)  # fmt: skip
"""Settings that a cluster can refuse."""


def refusal(error: BaseException) -> str:
    """Return what sbatch said."""
    text = str(getattr(error, "stderr", None) or error)
    said = [
        re.sub(r"^sbatch: (error: )?", "", line) for line in text.splitlines() if "sbatch" in line
    ]
    return "; ".join(said) or " ".join(text.split())


def start_here(submitit: Any, submission: Submission) -> Jobs:
    gpus = visible_gpus()
    ids = []
    with (submission.logs / "controllers.log").open("ab") as log:
        # Ctrl-C, a closed terminal and the pipe of `otherview run ... | tee` are not theirs
        own = {"start_new_session": True, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        start = patch("submitit.local.local.subprocess.Popen", partial(subprocess.Popen, **own))
        for task in range(len(submission.shares)):
            executor = submitit.LocalExecutor(submission.logs / "%j")
            executor.update_parameters(timeout_min=MAX_LOCAL_MINUTES, stderr_to_stdout=True)
            if gpus:  # past submitit's check, which takes numbers only
                gpu = gpus[task % len(gpus)]
                executor.parameters |= {"gpus_per_node": 1, "visible_gpus": [gpu]}
            with start:
                ids.append(executor.submit(Share(submission.file, task)).job_id)
    return Jobs("local", ids, len(ids), socket.gethostname())


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    A name is a number, a UUID or a MIG id. As CUDA does, names after one that is no GPU are left
    out.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        import torch

        return [str(number) for number in range(torch.cuda.device_count())]
    names = (name.strip() for name in visible.split(","))
    return list(itertools.takewhile(lambda name: re.match(r"\d+$|GPU-|MIG-", name), names))


def findable_package() -> dict[str, str]:
    """Return the environment in which a process finds this very package."""
    import otherview

    package = str(Path(otherview.__file__).resolve().parent.parent)
    if package in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}  # it is found without, and a container's Python has libraries of its own
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([package, *filter(None, before)]))}
