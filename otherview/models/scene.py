"""The reference image that every pass is conditioned on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from otherview.models.image_file import open_picture
from otherview.study import Model, Scene, Study

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def open_reference(scene: Scene) -> Image:
    """Return the scene's image file as RGB. Raises StudyError as `open_picture` does."""
    assert scene.image is not None
    return open_picture(scene.image, "scene.image")


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
