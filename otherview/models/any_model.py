"""What any pipeline of diffusers draws, and gives its transformer in the passes of a study.

Text encoders and VAE run while the transformer is on the meta device, then they are freed, then the
transformer is loaded: a card needs room for the larger part only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image as Images
from PIL.Image import Image
from torch import Tensor

from otherview.models import denoiser_loading
from otherview.models.arguments import Arguments, as_tensors, from_tensors
from otherview.models.interception import intercept
from otherview.models.library_messages import quieter
from otherview.models.loaded import LoadedModel
from otherview.models.pipeline_folder import DENOISERS
from otherview.models.pipeline_inputs import (
    CANVAS,
    accepted,
    check_noisy,
    needs_picture,
    noise_level,
    pass_inputs,
    picture_inputs,
    timestep_of,
)
from otherview.models.scene import picture_content
from otherview.models.text_tokens import real_tokens, token_place, tokenizer_of
from otherview.study import Model, Scene
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, TokenPlace


@dataclass(frozen=True)
class PassInput:
    """What is known of one prompt's pass before the transformer is loaded."""

    arguments: Arguments
    """Of one row, on the host."""
    real: Mapping[str, Bool[np.ndarray, " positions"]]
    """By text encoder, which of its ids are tokens and not pads."""
    start: tuple[float | None, float]
    """Noise level and timestep."""
    place: TokenPlace | None
    """Token count and item position; None where the tokenizer does not tell."""


def draw(loaded: LoadedModel, model: Model, scene: Scene, seed: int) -> Image:
    """Return the picture that the pipeline draws from the scene's prompt.

    A pipeline that only edits pictures draws on an empty grey one.
    """
    kind = loaded.pipeline_class
    names = accepted(kind)
    inputs = pass_inputs(kind, model, scene.prompt or "", seed, [])
    inputs["num_inference_steps"] = scene.steps
    for name in ("guidance_scale", "true_cfg_scale"):
        if name in names:
            inputs[name] = scene.guidance_scale
    if "negative_prompt" in names and "true_cfg_scale" in names:
        inputs["negative_prompt"] = " "  # without one, Qwen's true guidance stays off
    if needs_picture(kind):
        height, width = model.size
        empty = Images.new("RGB", (width, height), CANVAS)
        inputs |= picture_inputs(kind, [empty])
    with torch.no_grad(), quieter():
        drawn = loaded.side(denoiser_loading.load_whole)(**inputs)[0]
    return first_picture(drawn)


def pass_input(
    loaded: LoadedModel, model: Model, prompt: Prompt, seed: int, pictures: Sequence[Image]
) -> PassInput:
    """Return what a prompt's pass gives the transformer, from the cache if it was ever made.

    `model` has the settings of the study, which differ from those of the weights at most in
    size, text length and call. Raises StudyError as `prepare` does.
    """

    def make() -> dict[str, Tensor]:
        conditioning = loaded.side(denoiser_loading.load_conditioning)
        with quieter():
            made = prepare(conditioning, model, prompt, seed, pictures)
        place = made.place and [made.place.count, made.place.item_position]
        return as_tensors(
            {
                "arguments": made.arguments,
                "real": {k: torch.from_numpy(v) for k, v in made.real.items()},
                "start": list(made.start),
                "place": place,
            }
        )

    content = {
        "pipeline": loaded.pipeline_class.__name__,
        "prompt": [prompt.text, prompt.item_start],
        "seed": seed,
        "size": [model.height, model.width, model.text_length],
        "call": model.call,
        "denoiser": loaded.transformer_config(model),
        "pictures": [picture_content(picture) for picture in pictures],
    }
    parts = [name for name in loaded.parts if not name.startswith(DENOISERS)]
    kept = from_tensors(loaded.cached("transformer call", parts, make, **content))
    real = {name: np.asarray(mask.numpy()) for name, mask in kept["real"].items()}
    level, timestep = kept["start"]
    place = kept["place"] and TokenPlace(*kept["place"])
    return PassInput(kept["arguments"], real, (level, timestep), place)


def prepare(
    pipeline: Any, model: Model, prompt: Prompt, seed: int, pictures: Sequence[Image]
) -> PassInput:
    """Return what a prompt's pass gives the transformer, and where its item is.

    Raises StudyError for a pipeline whose first step takes its noise for a clean picture, and for a
    prompt that is truncated.
    """
    inputs = pass_inputs(type(pipeline), model, prompt.text, seed, pictures)
    arguments, encoders = intercept(pipeline, inputs)
    timestep, level = timestep_of(arguments), noise_level(pipeline)
    if timestep is None:
        raise StudyError(f"{type(pipeline).__name__} gives its transformer no timestep")
    check_noisy(pipeline, level, timestep)
    real = {
        each.encoder: real_tokens(each, tokenizer_of(pipeline, each.encoder)) for each in encoders
    }
    place = token_place(pipeline, prompt, encoders)
    return PassInput(arguments, real, (level, timestep), place)


def first_picture(drawn: Any) -> Image:
    """Return the first picture of a pipeline's output: of pictures, or of films of one frame."""
    first = drawn[0]
    if isinstance(first, list | tuple):
        first = first[0]
    if isinstance(first, Images.Image):
        return first.convert("RGB")
    pixels = np.asarray(first, dtype=np.float64)
    pixels = pixels.reshape(-1, *pixels.shape[-3:])[0]
    return Images.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))
