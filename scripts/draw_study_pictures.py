"""Draw the pictures of the studies that ship: kitchens before and after something fell.

    python scripts/draw_study_pictures.py

Writes `otherview/pocket/pictures`. No kitchen was ever trained on. What fell lies on the floor in
front of the table in the second picture; nothing else differs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import otherview
from otherview.pocket.world import UNSEEN, Box, Kitchen, Picture, kitchen, reference

FOLDER = Path(otherview.__file__).parent / "pocket" / "pictures"
FIRST_SEED = UNSEEN + 700_000
FALLS = ("fruit", "kettle") * 4
"""What falls in each kitchen."""
SCENES = 2
"""Further kitchens, for a study on several scenes."""
FLOOR_Z = -0.35
"""Where the fallen thing lies, in metres: between the table and the camera."""


def fallen(room: Kitchen, material: str) -> Kitchen:
    """Return the room with the thing of a material on the floor instead of in its place."""
    table = next(box for box in room.boxes if box.material == "table")
    middle = (table.low[0] + table.high[0]) / 2

    def moved(box: Box) -> Box:
        if box.material != material:
            return box
        wide, high, deep = (b - a for a, b in zip(box.low, box.high, strict=True))
        low = (middle - wide / 2, 0.0, FLOOR_Z)
        return Box(material, low, (low[0] + wide, high, FLOOR_Z + deep))

    return replace(room, boxes=tuple(moved(box) for box in room.boxes))


def pictures() -> dict[str, Picture]:
    """Return every picture by the name of its file, RGB in [0, 1]."""
    drawn = {}
    for number, material in enumerate(FALLS, 1):
        room = kitchen(FIRST_SEED + number)
        drawn[f"fall{number}_before"] = reference(room)
        drawn[f"fall{number}_after"] = reference(fallen(room, material))
    for number in range(1, SCENES + 1):
        drawn[f"kitchen{number}"] = reference(kitchen(FIRST_SEED + 100 + number))
    return drawn


def as_image(picture: Picture) -> Image.Image:
    """Return a picture in 8 bits."""
    return Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        as_image(picture).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
