"""Interrupted training on disk: weights, averages and optimisers in one safetensors file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

Weights = dict[str, torch.Tensor]


def save(
    path: Path,
    step: int,
    schedule: Mapping[str, Any],
    weights: Weights,
    average: Weights,
    optimisers: Sequence[torch.optim.Optimizer],
) -> None:
    """Write everything that going on needs; the file is replaced whole or not at all."""
    tensors = {f"weights.{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for place, optimiser in enumerate(optimisers):
        for row, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{place}.{row}.{key}": state[key] for key in state}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    unfinished = path.with_suffix(".partial")
    meta = {"step": str(step), "schedule": json.dumps(dict(schedule))}
    save_file(tensors, unfinished, metadata=meta)
    unfinished.replace(path)


def restore(
    path: Path,
    schedule: Mapping[str, Any],
    module: torch.nn.Module,
    average: Weights,
    optimisers: Sequence[torch.optim.Optimizer],
) -> int:
    """Put the state of `path` into its owners and return its step.

    Raises ValueError if it was written under another schedule.
    """
    step, stored = progress(path)
    if stored != json.loads(json.dumps(dict(schedule))):
        raise ValueError(
            f"{path} was written under another schedule, {stored}. Delete it or use that one."
        )
    tensors = load_file(path)
    module.load_state_dict(under(tensors, "weights."))
    for name, tensor in under(tensors, "average.").items():
        average[name].copy_(tensor)
    for place, optimiser in enumerate(optimisers):
        states: dict[int, Weights] = {}
        for name, tensor in under(tensors, f"optimiser.{place}.").items():
            row, key = name.split(".", 1)
            states.setdefault(int(row), {})[key] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})
    return step


def progress(path: Path) -> tuple[int, dict[str, Any]]:
    """The step and the schedule of a checkpoint."""
    with safe_open(path, "pt") as stored:
        meta = stored.metadata()
    return int(meta["step"]), json.loads(meta["schedule"])


def finished(path: Path) -> bool:
    """Whether the checkpoint exists and stands at the end of its schedule."""
    if not path.exists():
        return False
    step, schedule = progress(path)
    return bool(step >= schedule["steps"])


def read_average(path: Path) -> Weights:
    """The averaged weights of a checkpoint: what ships."""
    return under(load_file(path), "average.")


def under(tensors: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
