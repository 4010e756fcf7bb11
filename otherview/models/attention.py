"""The attention implementation of a transformer, by its name in diffusers."""

from __future__ import annotations

import warnings
from typing import Any

from otherview.models.library_messages import quieter
from otherview.study.errors import StudyError


def set_attention(transformer: Any, name: str) -> None:
    """Make `transformer` use the attention that diffusers calls `name`.

    Raises StudyError if the name is unknown or the attention does not run on this machine.
    """
    try:
        with quieter():  # it warns that its interface is experimental
            transformer.set_attention_backend(name)
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise StudyError(
            f"model.attention={name} does not run on this machine: {reason}; use "
            "model.attention=native",
            "model.attention",
        ) from error


def check_backward(name: str, device: str) -> None:
    """Raise StudyError if the attention that diffusers calls `name` has no backward pass.

    Some kernels would drop the gradient without an error.
    """
    if name == "native":
        return
    import torch
    from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

    made = torch.randn(3, 1, 16, 2, 64, device=device, dtype=torch.bfloat16)
    inputs = [each.requires_grad_() for each in made]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an operation whose gradient would be dropped
            output = dispatch_attention_fn(*inputs, backend=AttentionBackendName(name))
            torch.autograd.grad(output.float().sum(), inputs)
    except (RuntimeError, TypeError, ValueError, UserWarning) as error:
        raise StudyError(
            f"model.attention={name} has no backward pass, which attribution needs; use "
            "model.attention=native",
            "model.attention",
        ) from error


def check_attention(name: str) -> None:
    """Raise StudyError as `set_attention` does, before weights are loaded."""
    if name == "native":
        return
    import torch
    from diffusers import Flux2Transformer2DModel

    with torch.device("meta"):
        tiny = Flux2Transformer2DModel(
            in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=1, joint_attention_dim=8, timestep_guidance_channels=8,
            axes_dims_rope=(2, 2, 2, 2),
        )  # fmt: skip
    set_attention(tiny, name)
