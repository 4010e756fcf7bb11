"""Sheets of the pictures that passes were conditioned on, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from otherview.models.picture_files import open_pictures
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_COLUMNS = 12
SIDE, GAP = 128, 4
"""Of a picture on a sheet and between pictures, in pixels."""


def shown_items(prompts: PromptSet) -> list[int]:
    """Return the items on a sheet: all, or as many as fit, evenly spaced."""
    count = len(prompts.items)
    places = np.linspace(0, count - 1, min(count, MAX_COLUMNS)).round().astype(int)
    return [int(place) for place in np.unique(places)]


def sheet_of_pairs(prompts: PromptSet, seed: int) -> Image | None:
    """Return the pictures of wordings: one row per wording, one column per item; None without any.

    Of several pictures of a wording, the first.
    """
    conditions = range(len(prompts.conditions))
    rows = []
    for condition in conditions:
        if prompts.conditions[condition].pictures:
            places = [item * len(conditions) + condition for item in shown_items(prompts)]
            rows.append([open_pictures(prompts.prompts[place], seed)[0] for place in places])
    return sheet(rows) if rows else None


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Return pictures in rows, each fitted into a square of SIDE pixels."""
    from PIL import Image as Images
    from PIL import ImageOps

    across = max(map(len, rows))
    made = Images.new("RGB", (across * (SIDE + GAP) - GAP, len(rows) * (SIDE + GAP) - GAP), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            # small pictures are enlarged without blur: their pixels are what the model sees
            small = max(picture.size) < SIDE
            how = Images.Resampling.NEAREST if small else Images.Resampling.LANCZOS
            fitted = ImageOps.contain(picture, (SIDE, SIDE), how)
            made.paste(fitted, (left * (SIDE + GAP), top * (SIDE + GAP)))
    return made
