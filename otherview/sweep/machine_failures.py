"""Which errors are the machine's and not the study's, and what a task does about a lost GPU."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from typing import Any

from otherview.models.out_of_memory import is_out_of_memory
from otherview.study.errors import MissingDeviceError, causes, no_space
from otherview.sweep.points import Point

GONE = (errno.EIO, errno.ESTALE, errno.ENODEV)
LOST_DEVICE = re.compile(
    r"No CUDA GPUs are available"
    r"|CUDA driver (initialization failed|version is insufficient)|Found no NVIDIA driver"
    r"|CUDA-capable device\(s\) is/are busy or unavailable|no CUDA-capable device is detected"
    r"|[Uu]ncorrectable (ECC|NVLink) error|ECC error"
    r"|GPU (is lost|has fallen off the bus)|device is lost|unknown error.*CUDA"
    r"|CUDA (unknown error|error: (unknown error|hardware stack error|unspecified launch failure"
    r"|an illegal instruction|all CUDA-capable devices|system (not yet initialized|driver mismatch)"
    r"|initialization error|invalid device ordinal))"
)
"""What torch and CUDA say of a GPU that is missing, taken, broken or gone."""


BROKEN_CONTEXT = re.compile(
    r"CUDA error: (an illegal memory access|device-side assert|misaligned address)"
)
"""Errors of a point after which CUDA works in no thread of the process: others need another."""


class LostDeviceError(RuntimeError):
    """No more points can run in this process: the GPU is gone or broken."""


def is_machine_failure(error: BaseException) -> bool:
    """Return whether an error is the machine's: no memory, disk or device."""
    return no_space(error) is not None or any(
        isinstance(cause, MemoryError | MissingDeviceError)
        or is_out_of_memory(cause)
        or (isinstance(cause, OSError) and cause.errno in GONE)
        or "Cannot allocate memory" in str(cause)
        or LOST_DEVICE.search(str(cause)) is not None
        for cause in causes(error)
    )


def ends_task(error: BaseException) -> bool:
    """Return whether no other point can run in this process after an error."""
    return any(
        isinstance(cause, MissingDeviceError)
        or LOST_DEVICE.search(str(cause))
        or BROKEN_CONTEXT.search(str(cause))
        for cause in causes(error)
    )


def asked_gpus(launcher: Mapping[str, Any], visible: str | None) -> str:
    """Return the setting by which a task was to get a GPU; empty if it asked for none.

    `visible` is the CUDA_VISIBLE_DEVICES that a local task was given.
    """
    if launcher["kind"] == "local":
        return f"CUDA_VISIBLE_DEVICES={visible}" if visible else ""
    settings = {**launcher, **(launcher.get("additional_parameters") or {})}
    for name, value in settings.items():
        wanted = name.replace("-", "_")
        if wanted.startswith("gpus") and str(value or 0) != "0":
            return f"{name}={value}"
        if wanted.startswith("gres") and "gpu" in str(value):
            return f"{name}={value}"
    return ""


def missing_gpu(launcher: Mapping[str, Any], points: Sequence[Point], visible: str | None) -> str:
    """Return what is wrong if a task asked for a GPU, its points want one, and there is none.

    With `model.device=auto` the points would run on the CPU, for days, and nobody would be told.
    """
    import torch

    asked = asked_gpus(launcher, visible)
    on_cpu = all(point.study.model.device.startswith("cpu") for point in points)
    if not asked or on_cpu or torch.accelerator.is_available():
        return ""
    return (
        f"this task asked for a GPU ({asked}) and torch sees none here; model.device=cpu runs "
        "without, or ask for none"
    )
