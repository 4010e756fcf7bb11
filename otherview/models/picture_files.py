"""The pictures that wordings bring: opened, changed as asked, and compared between roles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from otherview.models.image_file import has_transparent_parts, open_picture
from otherview.models.input_files import Input, as_input
from otherview.models.scene import open_reference
from otherview.study import ROLES, Study
from otherview.study.contrast import Picture
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, PromptSet, study_prompts

if TYPE_CHECKING:
    from PIL.Image import Image

LUMA = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601)."""
SETTING = "templates"


def open_pictures(prompt: Prompt, seed: int) -> list[Image]:
    """Return the pictures of a prompt as RGB, changed as it says; none where it has none.

    Raises StudyError for a file that is no picture, or too small.
    """
    return [opened(picture, seed) for picture in prompt.pictures]


@lru_cache(maxsize=512)
def opened(picture: Picture, seed: int) -> Image:
    """Return one picture. Noise is normal, of the RMS difference of the pair, clipped to 0-255."""
    from PIL import Image as Images
    from PIL import ImageOps

    image = open_picture(picture.path, SETTING)
    if picture.noise is not None:
        own = np.asarray(image, dtype=np.float64)
        other = open_picture(picture.noise, SETTING)
        if other.size != image.size:
            raise StudyError(
                f"{SETTING}: {picture.path} has {size_text(image)} and {picture.noise}, from which "
                f"its noise has its size, {size_text(other)}",
                SETTING,
            )
        scale = float(np.sqrt(np.mean((own - np.asarray(other, dtype=np.float64)) ** 2)))
        noise = np.random.default_rng(seed).normal(scale=scale, size=own.shape)
        image = Images.fromarray(np.clip(np.rint(own + noise), 0, 255).astype(np.uint8))
    return ImageOps.mirror(image) if picture.mirrored else image


def check_pictures(prompts: PromptSet, seed: int) -> None:
    """Open every picture. Raises StudyError where an item's differ in size between wordings."""
    for contrast in prompts.contrasts:
        first: dict[int, tuple[Prompt, list[Image]]] = {}
        for index in prompts.places(contrast):
            prompt = prompts.prompts[index]
            images = open_pictures(prompt, seed)
            other, known = first.setdefault(prompt.item, (prompt, images))
            sizes = [image.size for image in images]
            if prompts.conditions[prompt.condition].pictures and other.pictures:
                wanted = [image.size for image in known]
                if sizes != wanted:
                    raise StudyError(
                        f"pictures of {prompts.items[prompt.item]!r} differ in size between "
                        f"wordings: {shown(other, known)} and {shown(prompt, images)}; the number "
                        "of tokens would differ with the role. Give both one size",
                        SETTING,
                    )


def shown(prompt: Prompt, images: Sequence[Image]) -> str:
    pairs = zip(prompt.pictures, images, strict=True)
    return ", ".join(f"{picture.path} with {size_text(image)}" for picture, image in pairs)


def size_text(image: Image) -> str:
    return f"{image.width} x {image.height} pixels"


def picture_figures(prompts: PromptSet, seed: int) -> dict[str, Any] | None:
    """Return brightness, contrast and mean colour of the pictures of each role; None without any.

    Of the first contrast, means over items and wordings, on the scale 0 to 255: differences of
    roles in them are confounds, as token counts are. `rms_difference` is that of the two roles'
    pictures, over pixels and items.
    """
    if not any(condition.pictures for condition in prompts.conditions):
        return None
    roles = prompts.roles
    by_role: dict[str, list[list[float]]] = {role: [] for role in ROLES}
    mean_pictures: dict[tuple[int, str], list[Any]] = {}
    for prompt in prompts.prompts:
        role = roles[prompt.condition]
        for image in open_pictures(prompt, seed):
            pixels = np.asarray(image, dtype=np.float64)
            luma = pixels @ np.array(LUMA)
            by_role[role].append([luma.mean(), luma.std(), *pixels.mean(axis=(0, 1))])
            mean_pictures.setdefault((prompt.item, role), []).append(pixels)
    figures: dict[str, Any] = {}
    for name, rows in by_role.items():
        if rows:
            brightness, contrast, *colour = np.mean(rows, axis=0).tolist()
            figures[name] = {"brightness": brightness, "contrast": contrast, "colour": colour}
    squares = [
        float(np.mean((np.mean(test, axis=0) - np.mean(control, axis=0)) ** 2))
        for item in range(len(prompts.items))
        if (test := mean_pictures.get((item, "test")))
        and (control := mean_pictures.get((item, "control")))
        and {each.shape for each in test} == {each.shape for each in control}
    ]
    if squares:
        figures["rms_difference"] = float(np.sqrt(np.mean(squares)))
    return figures


def check_images(study: Study, prompts: PromptSet) -> None:
    """Open the image files of a study: of its scenes, and of its wordings.

    Raises StudyError for the first that cannot be used, as `check_pictures` does.
    """
    for scene in study.scenery:
        if scene.image is not None:
            open_reference(scene)
    check_pictures(prompts, study.seed)


def reference_sizes(study: Study, prompts: Sequence[Prompt]) -> list[list[tuple[int, int]]]:
    """Return the sizes of the pictures that each prompt is conditioned on: height, width."""
    scenes = {
        scene.name: study.model.size if scene.image is None else open_reference(scene).size[::-1]
        for scene in study.scenery
        if scene.image is not None or scene.prompt is not None
    }
    conditions = study_prompts(study).conditions
    sizes = []
    for prompt in prompts:
        own = [image.size[::-1] for image in open_pictures(prompt, study.seed)]
        of_scene = scenes.get(conditions[prompt.condition].scene)
        sizes.append(own or ([] if of_scene is None else [of_scene]))
    return sizes


def image_paths(study: Study) -> dict[str, str]:
    """Return the paths of the image files of a study, by setting or place."""
    named = {
        f"scenes.{scene.name}.image" if study.scenes else "scene.image": scene.image
        for scene in study.scenery
        if scene.image is not None
    }
    for prompt in study_prompts(study).prompts:
        for picture in prompt.pictures:
            named |= {f"picture {path}": path for path in picture.paths}
    return named


def image_inputs(study: Study) -> dict[str, Input]:
    """Return the image files that decide the result of a study, as they are now."""
    return {setting: as_input(path) for setting, path in image_paths(study).items()}


def transparency_remarks(study: Study) -> list[str]:
    """Return a sentence on pictures with transparent parts, if there are any."""
    paths = [path for path in image_paths(study).values() if has_transparent_parts(path)]
    if not paths:
        return []
    names = f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]
    return [f"Transparent parts of {names} are white for the model."]
