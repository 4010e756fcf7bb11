"""renderings.png: intact and edited images side by side, and their similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from otherview.causes.effects import ROLES
from otherview.disk.atomic import replacing

Pictures = Float[np.ndarray, "items height width 3"]

LABEL_WIDTH = 150
LABEL_HEIGHT = 34
MIN_SIDE = 128
"""Smaller images are enlarged without interpolation."""
MAX_SIDE = 384


def draw_sheet(
    path: Path,
    reference: Image.Image,
    items: Sequence[str],
    rendered: Mapping[str, Mapping[str, Pictures]],
) -> list[dict[str, Any]]:
    """Write the sheet and return one row per image, as docs/interventions.md says.

    `rendered` holds the images of `items`, in [0, 1], by role and then by set (intact, selected,
    random), in the order of the rows.
    """
    rows = [(role, name) for role in ROLES for name in rendered[role]]
    first = next(iter(rendered[ROLES[0]].values()))[0]
    width, height = shown_size(first.shape[1], first.shape[0])
    sheet = Image.new(
        "RGB",
        (LABEL_WIDTH + width * len(items), height * (len(rows) + 1) + LABEL_HEIGHT),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    sheet.paste(reference.resize((width, height), Image.Resampling.NEAREST), (LABEL_WIDTH, 0))
    write(draw, (4, height // 2), "reference", LABEL_WIDTH)
    for column, item in enumerate(items):
        write(draw, (LABEL_WIDTH + column * width + 4, height + 2), item, width)
    listed = []
    for row, (role, name) in enumerate(rows):
        top = height * (row + 1) + LABEL_HEIGHT
        write(draw, (4, top + height // 2), f"{role}: {name}", LABEL_WIDTH)
        for column, picture in enumerate(rendered[role][name]):
            pixels = Image.fromarray((picture * 255).round().astype(np.uint8))
            shown = pixels.resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(shown, (LABEL_WIDTH + column * width, top))
            entry: dict[str, Any] = {"item": items[column], "role": role, "set": name}
            entry |= {"row": row, "column": column}
            intact = rendered[role]["intact"][column]
            listed.append(entry | similarities(picture, intact, reference))
    with replacing(path) as temporary:
        sheet.save(temporary)
    return listed


def similarities(
    picture: Float[np.ndarray, "height width 3"],
    intact: Float[np.ndarray, "height width 3"],
    reference: Image.Image,
) -> dict[str, float]:
    """Return structural similarity (Wang et al. 2004) to the intact rendering and to the reference.

    1 means identical. Empty if scikit-image is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return {}
    size = picture.shape[1], picture.shape[0]
    shown = np.asarray(reference.convert("RGB").resize(size), dtype=np.float32) / 255
    others = {"ssim_to_intact": intact, "ssim_to_reference": shown}
    return {
        name: float(structural_similarity(picture, other, channel_axis=2, data_range=1.0))
        for name, other in others.items()
    }


def shown_size(width: int, height: int) -> tuple[int, int]:
    scale = max(1, -(-MIN_SIDE // min(width, height)))
    shrink = max(1.0, max(width, height) * scale / MAX_SIDE)
    return round(width * scale / shrink), round(height * scale / shrink)


def write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """Draw text in lines of at most `width` pixels."""
    font = ImageFont.load_default(size=11)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and draw.textlength(longer, font) > width - 6:
            lines.append(word)
        else:
            lines[-1] = longer
    draw.multiline_text(place, "\n".join(lines), fill="black", font=font, spacing=1)
