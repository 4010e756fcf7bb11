"""renderings.png: intact and edited images side by side, and their similarity."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from otherview.causes.picture_similarity import similarities
from otherview.disk.atomic import replacing
from otherview.study import ROLES

Pictures = Float[np.ndarray, "items height width 3"]

LABEL_WIDTH = 150
LABEL_HEIGHT = 34
MIN_SIDE = 128
"""Smaller images are enlarged without interpolation."""
MAX_SIDE = 384
FONT = ImageFont.load_default(size=11)
LETTER_WIDTH = 6
"""Approximate width of a letter in pixels."""


def draw_sheet(
    path: Path,
    reference: Image.Image,
    items: Sequence[str],
    rendered: Mapping[str, Mapping[str, Pictures]],
) -> list[dict[str, Any]]:
    """Write the sheet and return one row per image, as docs/causes.md says.

    `rendered` holds the images of `items`, in [0, 1], by role and then by set (intact, selected,
    random), in the order of the rows.
    """
    rows = [(role, name) for role in ROLES for name in rendered[role]]
    width, height = shown_size(*rendered[ROLES[0]]["intact"].shape[2:0:-1])
    size = LABEL_WIDTH + width * len(items), height * (len(rows) + 1) + LABEL_HEIGHT
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)

    def put(image: Image.Image, left: int, top: int) -> None:
        sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), (left, top))

    def write(text: str, left: int, top: int, across: int) -> None:
        lines = textwrap.fill(text, across // LETTER_WIDTH)
        draw.multiline_text((left + 4, top), lines, fill="black", font=FONT, spacing=1)

    lefts = [LABEL_WIDTH + column * width for column in range(len(items))]
    put(reference, LABEL_WIDTH, 0)
    write("reference", 0, height // 2, LABEL_WIDTH)
    for item, left in zip(items, lefts, strict=True):
        write(item, left, height + 2, width)
    listed: list[dict[str, Any]] = []
    for row, (role, name) in enumerate(rows):
        top = height * (row + 1) + LABEL_HEIGHT
        write(f"{role}: {name}", 0, top + height // 2, LABEL_WIDTH)
        for column, picture in enumerate(rendered[role][name]):
            put(Image.fromarray((picture * 255).round().astype(np.uint8)), lefts[column], top)
            entry = {"item": items[column], "role": role, "set": name, "row": row, "column": column}
            alike = similarities(picture, rendered[role]["intact"][column], reference)
            listed.append(entry | alike)
    with replacing(path) as temporary:
        sheet.save(temporary)
    return listed


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of an image on the sheet: enlarged to MIN_SIDE, reduced to MAX_SIDE."""
    scale = max(1, -(-MIN_SIDE // min(width, height)))
    shrink = max(1.0, max(width, height) * scale / MAX_SIDE)
    return round(width * scale / shrink), round(height * scale / shrink)
