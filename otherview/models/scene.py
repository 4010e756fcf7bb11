"""The reference image that every pass is conditioned on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.models.weights import shipped_or_own
from otherview.study import Model, Scene, Study
from otherview.study.errors import StudyError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MIN_SIDE = 64
"""Minimal side of a reference image in pixels, for FLUX.2."""
MAX_ASPECT = 8
"""Maximal ratio of the sides of a reference image, for FLUX.2."""


def open_reference(scene: Scene) -> Image:
    """Return the scene's image file as RGB. Raises StudyError as `open_picture` does."""
    assert scene.image is not None
    return open_picture(scene.image, "scene.image")


def open_picture(path: str, setting: str) -> Image:
    """Return an image file as RGB.

    Raises StudyError, which names `setting`, if it does not exist, is no image, is under 64 pixels
    on a side or is very long.
    """
    from PIL import Image, UnidentifiedImageError

    file: Path = shipped_or_own(path)
    named = f"{setting}={path}" if setting.endswith("image") else f"{setting}: {path}"
    if not file.is_file():
        raise StudyError(f"{named} does not exist", setting)
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise StudyError(f"{named} is not an image", setting) from error
    if min(image.size) < MIN_SIDE:
        raise StudyError(
            f"{named} has {image.width} x {image.height} pixels; each side needs at least "
            f"{MIN_SIDE}",
            setting,
        )
    longest = max(image.size) / min(image.size)
    if longest > MAX_ASPECT:
        raise StudyError(
            f"{named} has {image.width} x {image.height} pixels; one side may be at most "
            f"{MAX_ASPECT} times the other",
            setting,
        )
    return image


def picture_content(picture: Image) -> list[Any]:
    """Return what decides a picture, as plain JSON."""
    return [picture.mode, picture.size, hashlib.sha256(picture.tobytes()).hexdigest()]


def scene_texts(study: Study) -> list[str]:
    """Return the texts from which the references of a study are drawn."""
    return [text for scene in study.scenery for text in drawing_texts(scene)]


def drawing_texts(scene: Scene) -> list[str]:
    """Return the texts from which a scene is drawn: its prompt and none."""
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
