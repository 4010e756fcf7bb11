"""Reference pictures, and the pipelines that enlarge them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def small_pictures() -> Iterator[None]:
    """Have the pipelines that enlarge their pictures keep them at HEIGHT x WIDTH pixels of area."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ENLARGING:
            module = importlib.import_module(f"diffusers.pipelines.{name}")
            patch.setattr(module, "calculate_dimensions", kept_small(module.calculate_dimensions))
        yield


def kept_small(dimensions: Any) -> Any:
    return lambda area, ratio: dimensions(min(area, HEIGHT * WIDTH), ratio)
