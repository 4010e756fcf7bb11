"""The arguments of a pipeline's own call for one measured pass: no guidance, one picture."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image as Images
from PIL.Image import Image

from otherview.models.arguments import Arguments, tensors
from otherview.study import Model
from otherview.study.errors import StudyError

GUIDANCE = ("guidance_scale", "true_cfg_scale")
"""Arguments that turn on a second pass without the prompt, or tell a distilled model its scale."""
NO_GUIDANCE = 1.0
OTHER_NO_GUIDANCE = {"ZImagePipeline": 0.0, "Krea2Pipeline": 0.0}
"""Pipelines in which anything above 0 is guidance."""
PICTURES = ("image", "control_image")
"""Arguments that take a reference picture."""
TIMES = ("timestep", "timesteps", "t")
"""Arguments of a transformer that hold the timestep."""
MIN_NOISE = 0.5
"""Below this share of noise, the latents of a first step do not count as noise."""
TEXT_LENGTH = "max_sequence_length"
"""Argument of a pipeline that sets its number of text positions."""
CANVAS = (127, 127, 127)
"""Grey of the empty picture from which models that only edit draw a scene."""


def accepted(pipeline_class: type[Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the call of a pipeline."""
    return inspect.signature(pipeline_class.__call__).parameters


def picture_argument(pipeline_class: type[Any]) -> str | None:
    """Return the argument that takes a reference picture; None in text-to-image pipelines."""
    names = accepted(pipeline_class)
    return next((name for name in PICTURES if name in names), None)


def needs_picture(pipeline_class: type[Any]) -> bool:
    """Return whether a pipeline edits or animates a picture, and draws nothing without one."""
    name = picture_argument(pipeline_class)
    words = ("Edit", "ImageToVideo", "Img2Img", "Fill", "Inpaint", "Control")
    return name is not None and any(word in pipeline_class.__name__ for word in words)


def pass_inputs(
    pipeline_class: type[Any], model: Model, prompt: str, seed: int, pictures: Sequence[Image]
) -> dict[str, Any]:
    """Return the arguments of the call whose first step is measured.

    Guidance is off, films have one frame, and everything else has the pipeline's own default but
    for what `model` sets. Raises StudyError for a name in `model.call` that the pipeline lacks.
    """
    names = accepted(pipeline_class)
    off = OTHER_NO_GUIDANCE.get(pipeline_class.__name__, NO_GUIDANCE)
    offered: dict[str, Any] = {
        **dict.fromkeys(GUIDANCE, off),
        "num_frames": 1,
        "enable_prompt_rewrite": False,
        "height": model.height,
        "width": model.width,
        TEXT_LENGTH: model.text_length,
    }
    inputs = {k: v for k, v in offered.items() if k in names and v is not None}
    for name, value in model.call.items():
        if name not in names:
            plain = [each for each in names if each not in ("self", "args", "kwargs")]
            raise StudyError(
                f"model.call.{name}: {pipeline_class.__name__} has no such argument; it has "
                f"{', '.join(plain)}",
                f"model.call.{name}",
            )
        inputs[name] = value
    inputs |= {"prompt": prompt, "generator": torch.Generator("cpu").manual_seed(seed)}
    if pictures:
        inputs |= picture_inputs(pipeline_class, pictures)
    return inputs


def picture_inputs(pipeline_class: type[Any], pictures: Sequence[Image]) -> dict[str, Any]:
    """Return the arguments that give a pipeline its reference pictures, all to be painted."""
    names, own = accepted(pipeline_class), picture_argument(pipeline_class)
    if own is None:
        return {}
    inputs: dict[str, Any] = {own: pictures[0] if len(pictures) == 1 else list(pictures)}
    if "mask_image" in names:
        inputs["mask_image"] = Images.new("L", pictures[0].size, 255)
    return inputs


def timestep_of(arguments: Arguments) -> float | None:
    """Return the timestep of a call, as the transformer takes it."""
    for name in TIMES:
        found = tensors({name: arguments.get(name)})
        if found:
            return float(
                next(iter(found.values())).flatten()[-1]
            )  # that of the last token, if of each
        if isinstance(arguments.get(name), int | float):
            return float(arguments[name])
    return None


def noise_level(pipeline: Any) -> float | None:
    """Return the share of noise in the latents of the first step, as its scheduler was set.

    1 is pure noise: sigma of flow matching, else sqrt(1 - alpha_bar) of DDPM (Ho et al. 2020,
    eq. 4). None for a scheduler of neither kind.
    """
    scheduler = pipeline.scheduler
    settings: Mapping[str, Any] = scheduler.config
    flow = (
        "Flow" in type(scheduler).__name__
        or settings.get("use_flow_sigmas")
        or settings.get("prediction_type") == "flow_prediction"
    )
    if flow:
        sigmas = scheduler.sigmas.flatten()
        return float(sigmas[0])
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is not None and len(scheduler.timesteps):
        place = min(int(scheduler.timesteps[0]), len(alphas) - 1)
        return float((1 - alphas[place]) ** 0.5)
    return None


def check_noisy(pipeline: Any, level: float | None, timestep: float) -> None:
    """Raise StudyError if the first step takes its latents for a clean picture, or for nothing."""
    if not math.isfinite(timestep):
        raise StudyError(
            f"{type(pipeline).__name__} begins at timestep {timestep}: its schedule needs more "
            "steps; set +model.call.num_inference_steps=2 or more",
            "model.call",
        )
    if level is not None and level < MIN_NOISE:
        raise StudyError(
            f"{type(pipeline).__name__} begins at timestep {timestep:g}, where its latents count "
            f"as clean (share of noise {level:.2f}), but they are noise: set more steps with "
            "+model.call.num_inference_steps, or another scheduler in the model's folder",
            "model.call",
        )
