"""Pictures and noise as the tokens of FLUX.2 Klein."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REFERENCE_PIXELS = 1024 * 1024

Latents = Float[Tensor, "rows tokens channels"]


@dataclass(frozen=True)
class ImageLatents:
    """Tokens of an image and their position ids; one row may stand for all rows of a call."""

    latents: Latents
    ids: Int[Tensor, "1 tokens 4"]


@torch.no_grad()
def encode_references(
    pipeline: Any, references: Sequence[Image], size: tuple[int, int] | None = None
) -> ImageLatents:
    """Return the tokens of the reference images of a pass, as a call of the pipeline makes them.

    With `size` (height, width) pictures are scaled and cropped to it, as the pipeline crops
    pictures to whole tokens.
    """
    processor, multiple = pipeline.image_processor, pipeline.vae_scale_factor * 2
    pixels = []
    for reference in references:
        processor.check_image_input(reference)
        if reference.width * reference.height > MAX_REFERENCE_PIXELS:
            reference = processor._resize_to_target_area(reference, MAX_REFERENCE_PIXELS)
        sides = size or (reference.height, reference.width)
        height, width = (side // multiple * multiple for side in sides)
        pixels.append(
            processor.preprocess(reference, height=height, width=width, resize_mode="crop")
        )
    latents, ids = pipeline.prepare_image_latents(
        images=pixels,
        batch_size=1,
        generator=None,
        device=pipeline._execution_device,
        dtype=pipeline.vae.dtype,
    )
    return ImageLatents(latents.to(pipeline.transformer.dtype), ids)


def noised_to(level: float, clean: Latents, noise: Latents) -> Latents:
    """Return latents of flow matching between a picture (0) and noise (1), in the noise's dtype.

    x = (1 - level) * clean + level * noise (rectified flow, Liu et al. 2023, eq. 1), in float32.
    """
    return ((1 - level) * clean.float() + level * noise.float()).to(noise.dtype)


def draw_noise(pipeline: Any, height: int, width: int, seed: int) -> ImageLatents:
    """Return starting noise, drawn on the CPU so that it is the same on every device."""
    latents, ids = pipeline.prepare_latents(
        batch_size=1,
        num_latents_channels=pipeline.transformer.config.in_channels // 4,
        height=height,
        width=width,
        dtype=pipeline.transformer.dtype,
        device=pipeline._execution_device,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return ImageLatents(latents, ids)


@torch.no_grad()
def decode(
    pipeline: Any, latents: Latents, ids: Int[Tensor, "1 tokens 4"], height: int, width: int
) -> Float[np.ndarray, "rows height width 3"]:
    """Return the images of latents, in [0, 1]."""
    vae, scale = pipeline.vae, pipeline.vae_scale_factor * 2
    latents = latents.to(pipeline._execution_device, vae.dtype)
    ids = ids.expand(len(latents), -1, -1)
    grid = pipeline._unpack_latents_with_ids(latents, ids, height // scale, width // scale)
    deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    grid = grid * deviation[:, None, None].to(grid) + vae.bn.running_mean[:, None, None].to(grid)
    image = vae.decode(pipeline._unpatchify_latents(grid), return_dict=False)[0]
    return np.asarray(pipeline.image_processor.postprocess(image, output_type="np"))
