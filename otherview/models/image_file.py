"""A user's image file as RGB, whatever its orientation, depth, colours and transparency."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otherview.models.weights import shipped_or_own
from otherview.study.errors import StudyError

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_SIDE = 64
"""Minimal side of a picture in pixels, for FLUX.2."""
MAX_ASPECT = 8
"""Maximal ratio of the sides of a picture, for FLUX.2."""
MAX_PIXELS = 64 << 20
"""Pixels of the largest file that is decoded; models scale pictures down to about a million."""
BACKGROUND = (255, 255, 255)
"""Colour under transparent parts."""


def open_picture(path: str, setting: str) -> Image:
    """Return an image file as RGB, turned as its EXIF orientation says.

    16-bit grey is scaled to 8 bits, and transparent parts are put on white. Raises StudyError,
    which names `setting`, if the file does not exist, is no image, is under 64 pixels on a side, is
    very long, or has more than 64 megapixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    file: Path = shipped_or_own(path)
    named = f"{setting}={path}" if setting.endswith("image") else f"{setting}: {path}"
    if file.is_dir():
        raise StudyError(f"{named} is a folder: name an image file in it", setting)
    if not file.is_file():
        raise StudyError(f"{named} does not exist", setting)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file)
        with opened:
            check_size(opened.size, named, setting)
            return rgb(ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError as error:
        raise StudyError(f"{named} is too large: {error}", setting) from error
    except UnidentifiedImageError as error:
        raise StudyError(f"{named} is not an image", setting) from error
    except (OSError, SyntaxError) as error:
        raise StudyError(f"{named} is a damaged image: {error}", setting) from error


def check_size(size: tuple[int, int], named: str, setting: str) -> None:
    """Raise StudyError for a picture that models cannot take."""
    said = f"{named} has {size[0]} x {size[1]} pixels"
    if min(size) < MIN_SIDE:
        raise StudyError(f"{said}; each side needs at least {MIN_SIDE}", setting)
    if max(size) > MAX_ASPECT * min(size):
        raise StudyError(f"{said}; one side may be at most {MAX_ASPECT} times the other", setting)
    if size[0] * size[1] > MAX_PIXELS:
        raise StudyError(f"{said}; scale it down, models take about a million", setting)


def rgb(image: Image) -> Image:
    """Return a picture of any mode as RGB, its transparent parts on white."""
    from PIL import Image as Images

    if image.mode.startswith("I"):  # Pillow would clip 16 bits instead of scaling them
        scaled = np.asarray(image, dtype=np.float64) / 257
        return Images.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Images.new("RGBA", layer.size, (*BACKGROUND, 255))
    return Images.alpha_composite(ground, layer).convert("RGB")


@lru_cache(maxsize=512)
def has_transparent_parts(path: str) -> bool:
    """Return whether a pixel of an image file is not opaque."""
    from PIL import Image

    with Image.open(shipped_or_own(path)) as opened:
        if not opened.has_transparency_data:
            return False
        opacity = np.asarray(opened.convert("RGBA"))[..., 3]
    return bool(opacity.min() < 255)
