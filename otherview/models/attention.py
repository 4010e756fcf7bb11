"""The attention implementation of a transformer, by its name in diffusers."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otherview.models.library_messages import quieter
from otherview.models.out_of_memory import is_out_of_memory
from otherview.study.errors import StudyError

WAY_OUT = "use model.attention=native"
NATIVE = "native"
"""torch's own attention, which it has where nothing is set."""


def set_attention(transformer: Any, name: str) -> None:
    """Make `transformer` use the attention that diffusers calls `name`.

    Raises StudyError if the name is unknown, the attention does not run on this machine, or the
    transformer has no choice.
    """
    try:
        with quieter():  # it warns that its interface is experimental
            transformer.set_attention_backend(name)
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        raise StudyError(
            f"model.attention={name} does not run on this machine: {said(error)}; {WAY_OUT}",
            "model.attention",
        ) from error
    processors = (getattr(module, "processor", None) for module in transformer.modules())
    if name != NATIVE and not any(getattr(p, "_attention_backend", None) for p in processors):
        raise StudyError(
            f"model.attention={name} would change nothing: diffusers gives "
            f"{type(transformer).__name__} torch's own attention alone; {WAY_OUT}",
            "model.attention",
        )


def check_attention(name: str, denoiser: Any = None) -> None:
    """Raise StudyError as `set_attention` does, before weights are loaded.

    `denoiser` is the one that is probed, without weights; where it is not known, one that has the
    choice stands for it.
    """
    if name == NATIVE:
        return
    import torch
    from diffusers import Flux2Transformer2DModel

    if denoiser is None:
        with torch.device("meta"):
            denoiser = Flux2Transformer2DModel(
                in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8,
                num_attention_heads=1, joint_attention_dim=8, timestep_guidance_channels=8,
                axes_dims_rope=(2, 2, 2, 2),
            )  # fmt: skip
    set_attention(denoiser, name)


def check_kernel(name: str, device: str, dtype: str, *, backward: bool = False) -> None:
    """Raise StudyError if the attention that diffusers calls `name` does not run as it would.

    That is on `device` and in `dtype`, as in `model.dtype`. With `backward`, its backward pass is
    tried, too; some kernels would drop the gradient without an error.
    """
    if name == NATIVE:
        return
    import torch
    from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

    made = torch.randn(3, 1, 128, 2, 64, device=device, dtype=getattr(torch, dtype))
    inputs = [each.requires_grad_(backward) for each in made]
    try:
        with warnings.catch_warnings():
            # of an operation whose gradient would be dropped
            warnings.simplefilter("error" if backward else "ignore")
            output = dispatch_attention_fn(*inputs, backend=AttentionBackendName(name))
            if backward:
                torch.autograd.grad(output.float().sum(), inputs)
    except (RuntimeError, TypeError, ValueError, ImportError, AssertionError, Warning) as error:
        fault = f"does not run in {dtype} on {device}: {said(error)}"
        lacks = "has no backward pass, which attribution needs"
        raise StudyError(
            f"model.attention={name} {lacks if backward else fault}; {WAY_OUT}", "model.attention"
        ) from error


@contextmanager
def attention_errors(name: str) -> Iterator[None]:
    """Raise StudyError where the attention that diffusers calls `name` refuses a call.

    Several take no mask, which some pipelines give for the pads of their prompts.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        dispatched = any(each.filename.endswith("attention_dispatch.py") for each in frames)
        if name == NATIVE or is_out_of_memory(error) or not dispatched:
            raise
        raise StudyError(
            f"model.attention={name} does not run in this model: {said(error)}; {WAY_OUT}",
            "model.attention",
        ) from error


def said(error: Exception) -> str:
    """Return the message of a library in one line."""
    return " ".join(str(error).split()).rstrip(".")
