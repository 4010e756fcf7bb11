"""Any pipeline of diffusers: its conditioning side, its transformer, and the calls of its passes.

Text encoders and VAE run while the transformer is on the meta device, then they are freed, then the
transformer is loaded: a card needs room for the larger part only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image as Images
from PIL.Image import Image
from torch import Tensor

from otherview.models import denoiser_loading
from otherview.models.arguments import Arguments, as_tensors, from_tensors
from otherview.models.interception import denoiser_name, intercept
from otherview.models.library_messages import quieter
from otherview.models.loaded import LoadedModel, free_memory
from otherview.models.pipeline_folder import DENOISERS, parts_of
from otherview.models.pipeline_inputs import (
    CANVAS,
    accepted,
    check_noisy,
    needs_picture,
    noise_level,
    pass_inputs,
    picture_argument,
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


class AnyModel:
    """Makes the calls of a pipeline's first step.

    `given` is a loaded pipeline to use; otherwise a side of it is loaded when it is needed, in
    place of the one before: the conditioning side, the transformer, or all of it to draw a scene.
    """

    def __init__(self, model: Model, loaded: LoadedModel, given: Any = None) -> None:
        self._model, self._loaded, self._given = model, loaded, given
        self._side: Any = None
        self._loaded_side: Any = None

    @cached_property
    def pipeline_class(self) -> type[Any]:
        """The class of the pipeline."""
        if self._given is not None:
            return type(self._given)
        found: type[Any] = denoiser_loading.pipeline_class(self._loaded.folder)
        return found

    @cached_property
    def _conditioning_parts(self) -> tuple[str, ...]:
        """Parts of the pipeline whose weights decide the calls: all but the transformer."""
        return tuple(
            name for name in parts_of(self._loaded.folder) if not name.startswith(DENOISERS)
        )

    @property
    def takes_picture(self) -> bool:
        """Whether the pipeline can be conditioned on a reference picture."""
        return picture_argument(self.pipeline_class) is not None

    @property
    def needs_picture(self) -> bool:
        """Whether it makes nothing without one."""
        return needs_picture(self.pipeline_class)

    @property
    def has_guider(self) -> bool:
        """Whether guidance is a part of the pipeline, and no argument of its call."""
        if self._given is not None:
            return getattr(self._given, "guider", None) is not None
        return "guider" in parts_of(self._loaded.folder)

    @property
    def conditioning(self) -> Any:
        """The pipeline without the weights of its transformer."""
        return self._given or self._resident(denoiser_loading.load_conditioning)

    @property
    def denoiser(self) -> Any:
        """The transformer."""
        if self._given is not None:
            return getattr(self._given, denoiser_name(self._given))
        return self._resident(denoiser_loading.load_denoiser)

    @property
    def whole(self) -> Any:
        """The whole pipeline, to draw with."""
        return self._given or self._resident(denoiser_loading.load_whole)

    def _resident(self, load: Callable[[Path, Model, str], Any]) -> Any:
        """Return the side of the pipeline that `load` loads; loading one frees the one before."""
        if self._side is not load:
            if self._side is not None:
                self._side = self._loaded_side = None
                free_memory()
            loaded = self._loaded
            self._loaded_side = load(loaded.weights(), self._model, loaded.device)
            self._side = load
        return self._loaded_side

    def draw(self, model: Model, scene: Scene, seed: int) -> Image:
        """Return the picture that the pipeline draws from the scene's prompt.

        A pipeline that only edits pictures draws on an empty grey one.
        """
        names = accepted(self.pipeline_class)
        inputs = pass_inputs(self.pipeline_class, model, scene.prompt or "", seed, [])
        inputs["num_inference_steps"] = scene.steps
        for name in ("guidance_scale", "true_cfg_scale"):
            if name in names:
                inputs[name] = scene.guidance_scale
        if "negative_prompt" in names and "true_cfg_scale" in names:
            inputs["negative_prompt"] = " "  # without one, Qwen's true guidance stays off
        if self.needs_picture:
            height, width = model.size
            empty = Images.new("RGB", (width, height), CANVAS)
            inputs |= picture_inputs(self.pipeline_class, [empty])
        with torch.inference_mode(), quieter():
            drawn = self.whole(**inputs)[0]
        return first_picture(drawn)

    def pass_input(
        self, model: Model, prompt: Prompt, seed: int, pictures: Sequence[Image]
    ) -> PassInput:
        """Return what a prompt's pass gives the transformer, from the cache if it was ever made.

        `model` has the settings of the study, which differ from those of the weights at most in
        size, text length and call. Raises StudyError as `prepare` does.
        """

        def make() -> dict[str, Tensor]:
            conditioning = self.conditioning
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
            "pipeline": self.pipeline_class.__name__,
            "prompt": [prompt.text, prompt.item_start],
            "seed": seed,
            "size": [model.height, model.width, model.text_length],
            "call": model.call,
            "denoiser": self._loaded.transformer_config(self._model),
            "pictures": [picture_content(picture) for picture in pictures],
        }
        parts = () if self._given is not None else self._conditioning_parts
        kept = from_tensors(self._loaded.cached("transformer call", parts, make, **content))
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
    found = intercept(pipeline, pass_inputs(type(pipeline), model, prompt.text, seed, pictures))
    timestep, level = timestep_of(found.arguments), noise_level(pipeline)
    if timestep is None:
        raise StudyError(f"{type(pipeline).__name__} gives its transformer no timestep")
    check_noisy(pipeline, level, timestep)
    real = {
        each.encoder: real_tokens(each, tokenizer_of(pipeline, each.encoder))
        for each in found.encoders
    }
    place = token_place(pipeline, prompt, found.encoders)
    return PassInput(found.arguments, real, (level, timestep), place)


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
