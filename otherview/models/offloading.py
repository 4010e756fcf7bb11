"""Where the weights of a part stay, and where it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

RUNS_ON = "otherview_runs_on"
"""Attribute of an offloaded module: its parameters do not tell where it runs."""
WHOLE = ("HunyuanDiTAttentionPool", "MultiheadAttention")
"""Classes that read the weights of layers without calling them, so that no hook fetches these."""


def placed(module: Any, device: str, offload: str) -> Any:
    """Return a module on `device`, or in host memory so that it runs there.

    `offload` is that of `model.loading`; a single part under `model` is on the device.
    """
    target = torch.device(device)
    if offload not in ("group", "cpu"):
        return module.to(target)
    if offload == "group":
        from diffusers.hooks import apply_group_offloading

        host = torch.device("cpu")
        whole = [(name, m) for name, m in module.named_modules() if type(m).__name__ in WHOLE]
        for name, _ in whole:  # small, so they stay on the device
            module.set_submodule(name, nn.Identity())
        apply_group_offloading(
            module, onload_device=target, offload_device=host, offload_type="leaf_level"
        )
        for name, child in whole:
            module.set_submodule(name, child.to(target))
    else:
        from accelerate import cpu_offload

        cpu_offload(module, execution_device=target, preload_module_classes=list(WHOLE))
    setattr(module, RUNS_ON, target)
    return module


def place_in_turn(modules: list[nn.Module], device: str) -> None:
    """Have each module go to `device` when it is called, and the one before it leave."""
    from accelerate import cpu_offload_with_hook

    hook = None
    for module in modules:
        _, hook = cpu_offload_with_hook(module, torch.device(device), prev_module_hook=hook)


def runs_on(module: Any) -> torch.device:
    """Return the device on which a module that was `placed` runs, wherever its weights are."""
    device: torch.device = getattr(module, RUNS_ON, module.device)
    return device


def pin_device(pipeline: Any, device: str) -> Any:
    """Return a pipeline that runs on `device`, which it would else guess from its first part.

    Offloaded parts, and parts without weights, mislead that guess.
    """
    kind, target = type(pipeline), torch.device(device)
    pinned = property(lambda _: target)
    members = {"device": pinned, "_execution_device": pinned, "__module__": kind.__module__}
    pipeline.__class__ = type(kind.__name__, (kind,), members)
    return pipeline
