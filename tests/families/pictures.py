"""Reference pictures, and the pipelines that enlarge them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

from tests.families.family import HEIGHT, WIDTH

ENLARGING = (
    "qwenimage.pipeline_qwenimage_edit",
    "qwenimage.pipeline_qwenimage_edit_plus",
    "longcat_image.pipeline_longcat_image_edit",
)
"""Pipelines that make every reference picture one megapixel."""


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def mask() -> Image.Image:
    """Return a mask of which the right half is to be drawn."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[:, WIDTH // 2 :] = 255
    return Image.fromarray(pixels)


MENDING = ("prx.pipeline_prx", "wan.pipeline_wan_i2v")
"""Pipelines that do not run without ftfy, which leaves the prompts of these tests as they are."""

SIZES: dict[str, dict[str, Any]] = {
    "HiDreamImagePipeline": {"default_sample_size": 1.001 * (HEIGHT * WIDTH) ** 0.5 / 8},
    "Kandinsky5T2IPipeline": {"resolutions": [(WIDTH, HEIGHT)]},
}
"""Attributes of pipelines that draw at the published sizes, whatever height and width say."""


@contextmanager
def small_pictures() -> Iterator[None]:
    """Have the pipelines that enlarge their pictures keep them at HEIGHT x WIDTH pixels of area."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ENLARGING:
            module = importlib.import_module(f"diffusers.pipelines.{name}")
            patch.setattr(module, "calculate_dimensions", kept_small(module.calculate_dimensions))
        for name, sizes in SIZES.items():
            pipeline = getattr(diffusers, name)
            patch.setattr(pipeline, "__init__", then_set(pipeline.__init__, sizes))
        for name in MENDING if importlib.util.find_spec("ftfy") is None else ():
            module = importlib.import_module(f"diffusers.pipelines.{name}")
            patch.setattr(module, "ftfy", SimpleNamespace(fix_text=str), raising=False)
        yield


def then_set(init: Any, attributes: dict[str, Any]) -> Any:
    @functools.wraps(init)
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        for name, value in attributes.items():
            setattr(self, name, value)

    return initialise


def kept_small(dimensions: Any) -> Any:
    return lambda area, ratio: dimensions(min(area, HEIGHT * WIDTH), ratio)
