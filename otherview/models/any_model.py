"""Any pipeline of diffusers: its conditioning side, its transformer, and its passes.

Text encoders and VAE run while the transformer is on the meta device, then they are freed, then the
transformer is loaded: a card needs room for the larger part only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from otherview.disk.progress import Progress
from otherview.models.arguments import as_tensors, from_tensors
from otherview.models.interception import (
    EncoderInput,
    Intercepted,
    denoiser_name,
    intercept,
)
from otherview.models.pipeline_calls import PassInput, PipelineCalls, Probes
from otherview.models.pipeline_inputs import (
    check_noisy,
    noise_level,
    pass_inputs,
    picture_argument,
    timestep_of,
)
from otherview.models.text_tokens import real_tokens, text_positions, token_place, tokenizer_of
from otherview.study import Model
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, TokenPlace

if TYPE_CHECKING:
    from PIL.Image import Image

PROBE_SEED = 1


def another_picture(picture: Image) -> Image:
    """Return a picture of the same size that differs everywhere: upside down, in negative."""
    from PIL import ImageOps

    return ImageOps.flip(ImageOps.invert(picture.convert("RGB")))


def intercept_pass(
    pipeline: Any, model: Model, prompt: Prompt, seed: int, picture: Image | None
) -> tuple[PassInput, TokenPlace | None]:
    """Return what a prompt's pass gives the transformer, and where its item is.

    Raises StudyError for a pipeline whose first step takes its noise for a clean picture, and for a
    prompt that is truncated.
    """
    inputs = pass_inputs(type(pipeline), model, prompt.text, seed, picture)
    found = intercept(pipeline, inputs)
    timestep, level = timestep_of(found.arguments), noise_level(pipeline)
    check_noisy(pipeline, level, timestep)
    if timestep is None:
        raise StudyError(f"{type(pipeline).__name__} gives its transformer no timestep")
    real = {
        each.encoder: real_tokens(each, tokenizer_of(pipeline, each.encoder))
        for each in found.encoders
    }
    place = token_place(pipeline, prompt, found.encoders)
    return PassInput(found.arguments, real, (level, timestep)), place
