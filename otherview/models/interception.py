"""What a pipeline gives its transformer, taken from the pipeline's own `__call__`.

A forward pre-hook keeps the arguments and stops the pipeline, so the transformer never runs and
needs no weights: `without_weights` gives a pipeline a transformer on the meta device, with which it
makes the same arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from otherview.models.arguments import Arguments, copied
from otherview.models.out_of_memory import is_out_of_memory
from otherview.models.pipeline_folder import DENOISERS
from otherview.study.errors import StudyError


class Stop(BaseException):
    """Ends the call of a pipeline; not an Exception, so that no pipeline swallows it."""


@dataclass(frozen=True)
class EncoderInput:
    """What a text encoder was given for one prompt."""

    encoder: str
    """Name of the part in the pipeline."""
    ids: tuple[int, ...]
    """Token ids, pads included."""
    mask: tuple[bool, ...] | None
    """Which of them the encoder sees; None where the pipeline passes no mask."""


def denoiser_name(pipeline: Any) -> str:
    """Return the name of the part that is called once per step: transformer or unet.

    Raises StudyError for a pipeline without either.
    """
    for name in DENOISERS:
        if isinstance(getattr(pipeline, name, None), nn.Module):
            return name
    raise StudyError(
        f"{type(pipeline).__name__} has no {' and no '.join(DENOISERS)}: nothing to probe"
    )


@torch.no_grad()
def intercept(pipeline: Any, inputs: Mapping[str, Any]) -> tuple[Arguments, list[EncoderInput]]:
    """Return what `pipeline(**inputs)` gives its transformer first, without running it.

    And what it gives its text encoders. Raises StudyError where the pipeline ends before, with its
    reason.
    """
    denoiser = getattr(pipeline, denoiser_name(pipeline))
    parameters = inspect.signature(denoiser.forward)
    seen: list[Arguments] = []
    encoders: dict[str, EncoderInput] = {}

    def keep(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        bound = parameters.bind(*given, **named).arguments
        bound |= bound.pop("kwargs", {})
        seen.append(copied(bound))
        raise Stop

    with ExitStack() as hooks:
        handle = denoiser.register_forward_pre_hook(keep, with_kwargs=True)
        hooks.callback(handle.remove)
        for name, part in pipeline.components.items():
            if name.startswith("text_encoder") and isinstance(part, nn.Module):
                watch_ids(hooks, name, part, encoders)
        try:
            with suppress(Stop):
                pipeline(**inputs)
        except StudyError:
            raise
        except NameError as error:  # diffusers imports some packages only if they are there
            raise StudyError(
                f"{type(pipeline).__name__} needs {error.name}, which is not installed: "
                f"`pip install {error.name}`"
            ) from error
        except Exception as error:  # whatever a pipeline's own checks raise
            if is_out_of_memory(error):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise StudyError(
                f"{type(pipeline).__name__} refuses the study's prompt: {lines[0]}; arguments of "
                "its call can be set in model.call",
                "model.call",
            ) from error
        finally:
            if hasattr(pipeline, "maybe_free_model_hooks"):
                pipeline.maybe_free_model_hooks()
    if not seen:
        raise StudyError(f"{type(pipeline).__name__} did not call its {denoiser_name(pipeline)}")
    return seen[0], list(encoders.values())


def watch_ids(
    hooks: ExitStack, name: str, encoder: nn.Module, kept: dict[str, EncoderInput]
) -> None:
    """Keep the token ids that `encoder` is given first, until `hooks` are closed."""

    def keep(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        bound = inspect.signature(module.forward).bind_partial(*given, **named).arguments
        bound |= bound.pop("kwargs", {})
        ids, mask = bound.get("input_ids"), bound.get("attention_mask")
        if name in kept or not isinstance(ids, Tensor) or ids.ndim != 2:
            return
        visible = None
        if isinstance(mask, Tensor) and mask.shape == ids.shape:
            visible = tuple(mask[0].bool().tolist())
        kept[name] = EncoderInput(name, tuple(ids[0].tolist()), visible)

    # Some pipelines call the model inside of a text encoder instead of the encoder itself.
    for module in (encoder, getattr(encoder, "model", None)):
        if isinstance(module, nn.Module):
            hooks.callback(module.register_forward_pre_hook(keep, with_kwargs=True).remove)


def without_weights(
    denoiser_class: type[Any],
    config: Mapping[str, Any],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> Any:
    """Return a transformer of a class and config on the meta device, in place of a loaded one.

    To its pipeline it is on `device`, in `dtype`.
    """
    stub: Any = type(
        denoiser_class.__name__,
        (denoiser_class,),
        {"device": torch.device(device), "dtype": dtype},
    )
    with torch.device("meta"):
        return stub.from_config(dict(config))
