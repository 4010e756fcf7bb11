"""The reference image that every pass is conditioned on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.models.weights import shipped_or_own
from otherview.study import Model, Scene
from otherview.study.errors import StudyError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MIN_SIDE = 64
"""Minimal side of a reference image in pixels, for FLUX.2."""
MAX_ASPECT = 8
"""Maximal ratio of the sides of a reference image, for FLUX.2."""


def open_reference(scene: Scene) -> Image:
    """Return the scene's image file as RGB.

    Raises StudyError if it does not exist, is no image, or is under 64 pixels on a side.
    """
    from PIL import Image, UnidentifiedImageError

    assert scene.image is not None
    path: Path = shipped_or_own(scene.image)
    if not path.is_file():
        raise StudyError(f"scene.image={scene.image} does not exist", "scene.image")
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise StudyError(f"scene.image={scene.image} is not an image", "scene.image") from error
    if min(image.size) < MIN_SIDE:
        raise StudyError(
            f"scene.image={scene.image} has {image.width} x {image.height} pixels; "
            f"each side needs at least {MIN_SIDE}",
            "scene.image",
        )
    longest = max(image.size) / min(image.size)
    if longest > MAX_ASPECT:
        raise StudyError(
            f"scene.image={scene.image} has {image.width} x {image.height} pixels; one side may "
            f"be at most {MAX_ASPECT} times the other",
            "scene.image",
        )
    return image


def picture_content(picture: Image) -> list[Any]:
    """Return what decides a picture, as plain JSON."""
    return [picture.mode, picture.size, hashlib.sha256(picture.tobytes()).hexdigest()]


def scene_texts(scene: Scene) -> list[str]:
    """Return the texts from which the reference is drawn: the prompt of the scene and none."""
    return [] if scene.prompt is None else [scene.prompt, ""]


def draw_reference(
    pipeline: Any, scene: Scene, model: Model, seed: int, prompt: Tensor, negative: Tensor
) -> Image:
    """Return an image that the model draws from the scene's prompt.

    `prompt` and `negative` are the encoded scene prompt and empty prompt, `[1, tokens, channels]`.
    """
    import torch

    drawn = pipeline(
        prompt_embeds=prompt.to(pipeline.device),
        negative_prompt_embeds=negative.to(pipeline.device),
        height=model.height,
        width=model.width,
        num_inference_steps=scene.steps,
        guidance_scale=scene.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    image: Image = drawn.images[0]
    return image
