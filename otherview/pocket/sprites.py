"""How each creature looks when it stands in the kitchen: small drawings of ellipses and polygons.

Every drawing has its own place in the fixed camera's picture, so that no two creatures are alike in
shape, colours and place at once.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from otherview.pocket.strokes import (
    BLACK,
    SKIN,
    WHITE,
    Sprite,
    disc,
    eyes,
    hound,
    insect,
    line,
    mirrored,
    person,
    shape,
)

OVERSAMPLE = 8

SPRITES: dict[str, Sprite] = {
    "an adult human": Sprite(
        (34, 40), (15, 38), person((40, 90, 200), (40, 45, 70), (90, 55, 30), 0.2)
    ),
    "a tall person": Sprite(
        (45, 36), (13, 48), person((215, 60, 50), (60, 60, 60), (30, 25, 25), 0.15)
    ),
    "a child": Sprite(
        (24, 45), (13, 29), person((245, 200, 40), (50, 110, 190), (170, 100, 40), 0.28)
    ),
    "a toddler": Sprite(
        (39, 50), (13, 22), person((80, 180, 90), (170, 90, 160), (230, 180, 80), 0.36)
    ),
    "an infant": Sprite(
        (18, 55),
        (19, 14),
        (
            disc((250, 250, 255), 0.4, 0.65, 0.4, 0.34),
            disc((150, 200, 245), 0.34, 0.7, 0.3, 0.26),
            disc(SKIN, 0.76, 0.45, 0.24, 0.36),
            *eyes(0.4, 0.09, 0.04, 0.78),
            disc((230, 90, 100), 0.78, 0.64, 0.07, 0.08),
        ),
    ),
    "a chimpanzee": Sprite(
        (13, 45),
        (19, 27),
        (
            *mirrored(line((60, 40, 30), 0.16, 0.3, 0.4, 0.08, 0.95)),
            disc((60, 40, 30), 0.5, 0.62, 0.3, 0.36),
            disc((60, 40, 30), 0.5, 0.24, 0.27, 0.24),
            *mirrored(disc((205, 150, 110), 0.2, 0.24, 0.1, 0.1)),
            disc((205, 150, 110), 0.5, 0.3, 0.2, 0.17),
            *eyes(0.22, 0.09, 0.04),
        ),
    ),
    "a large dog": Sprite((46, 49), (29, 25), hound((150, 95, 45), (90, 50, 25), (210, 40, 40))),
    "a small dog": Sprite(
        (28, 55), (18, 14), hound((245, 235, 220), (200, 150, 110), (40, 120, 220))
    ),
    "a cat": Sprite(
        (54, 54),
        (15, 18),
        (
            line((240, 140, 40), 0.12, 0.75, 0.9, 1.0, 0.8, 0.95, 0.45),
            disc((240, 140, 40), 0.5, 0.72, 0.32, 0.3),
            *mirrored(shape((240, 140, 40), 0.18, 0.0, 0.5, 0.16, 0.2, 0.4)),
            disc((240, 140, 40), 0.5, 0.32, 0.33, 0.25),
            disc(WHITE, 0.5, 0.8, 0.15, 0.18),
            *eyes(0.3, 0.14, 0.06),
        ),
    ),
    "a horse": Sprite(
        (21, 38),
        (38, 42),
        (
            line((70, 35, 20), 0.08, 0.1, 0.4, 0.02, 0.75),
            *(line((110, 60, 35), 0.08, x, 0.6, x, 1.0) for x in (0.16, 0.26, 0.56, 0.66)),
            disc((130, 70, 40), 0.4, 0.5, 0.33, 0.17),
            shape((130, 70, 40), 0.55, 0.5, 0.7, 0.08, 0.86, 0.15, 0.74, 0.6),
            shape((130, 70, 40), 0.7, 0.06, 1.0, 0.25, 0.94, 0.36, 0.7, 0.25),
            line((50, 25, 15), 0.08, 0.54, 0.45, 0.68, 0.05),
            disc(BLACK, 0.8, 0.15, 0.025, 0.025),
        ),
    ),
    "a rabbit": Sprite(
        (36, 55),
        (13, 17),
        (
            *mirrored(disc((200, 200, 210), 0.34, 0.2, 0.1, 0.24)),
            *mirrored(disc((250, 160, 180), 0.34, 0.2, 0.05, 0.18)),
            disc((200, 200, 210), 0.5, 0.78, 0.38, 0.24),
            disc((200, 200, 210), 0.5, 0.5, 0.3, 0.18),
            *eyes(0.48, 0.13, 0.06),
        ),
    ),
    "an owl": Sprite(
        (56, 13),
        (13, 18),
        (
            disc((120, 85, 55), 0.5, 0.6, 0.4, 0.4),
            *mirrored(shape((120, 85, 55), 0.12, 0.0, 0.5, 0.2, 0.2, 0.4)),
            disc((225, 195, 150), 0.5, 0.75, 0.24, 0.24),
            *mirrored(disc((250, 215, 60), 0.32, 0.34, 0.18, 0.15)),
            *eyes(0.34, 0.18, 0.08),
            shape((240, 140, 30), 0.43, 0.44, 0.57, 0.44, 0.5, 0.58),
        ),
    ),
    "a parrot": Sprite(
        (9, 19),
        (13, 23),
        (
            shape((30, 110, 220), 0.3, 0.6, 0.6, 0.6, 0.3, 1.0, 0.1, 1.0),
            disc((220, 30, 40), 0.5, 0.45, 0.32, 0.3),
            disc((30, 160, 70), 0.3, 0.5, 0.2, 0.25),
            disc((220, 30, 40), 0.55, 0.18, 0.26, 0.17),
            disc(WHITE, 0.62, 0.15, 0.12, 0.08),
            disc(BLACK, 0.62, 0.15, 0.05, 0.04),
            shape((250, 200, 60), 0.76, 0.1, 1.0, 0.2, 0.8, 0.32),
        ),
    ),
    "a frog": Sprite(
        (46, 57),
        (16, 12),
        (
            *mirrored(disc((50, 130, 40), 0.14, 0.8, 0.16, 0.2)),
            disc((90, 190, 60), 0.5, 0.62, 0.4, 0.36),
            *mirrored(disc((90, 190, 60), 0.26, 0.2, 0.15, 0.2)),
            *eyes(0.18, 0.24, 0.08),
            line((30, 80, 30), 0.06, 0.25, 0.62, 0.75, 0.62),
        ),
    ),
    "a goldfish": Sprite(
        (22, 27),
        (16, 12),
        (
            shape((255, 95, 10), 0.0, 0.15, 0.26, 0.5, 0.0, 0.85),
            shape((255, 95, 10), 0.4, 0.3, 0.5, 0.0, 0.66, 0.3),
            disc((255, 130, 20), 0.57, 0.5, 0.4, 0.3),
            disc((255, 190, 80), 0.6, 0.64, 0.3, 0.15),
            disc(BLACK, 0.82, 0.42, 0.05, 0.07),
        ),
    ),
    "a snake": Sprite(
        (31, 60),
        (32, 8),
        (
            line((40, 120, 80), 0.1, 0, 0.8, 0.2, 0.3, 0.4, 0.8, 0.6, 0.3, 0.8, 0.7),
            line((230, 220, 70), 0.03, 0, 0.8, 0.2, 0.3, 0.4, 0.8, 0.6, 0.3, 0.8, 0.7),
            disc((40, 120, 80), 0.88, 0.5, 0.11, 0.4),
            disc((230, 40, 40), 0.93, 0.4, 0.03, 0.12),
        ),
    ),
    "an octopus": Sprite(
        (11, 55),
        (20, 17),
        (
            *(line((190, 60, 150), 0.09, 0.5, 0.5, x, 1.0) for x in (0.02, 0.26, 0.74, 0.98)),
            *(line((150, 40, 120), 0.09, 0.5, 0.6, x, 1.0) for x in (0.4, 0.6)),
            disc((190, 60, 150), 0.5, 0.36, 0.3, 0.36),
            *mirrored(disc(WHITE, 0.38, 0.38, 0.09, 0.11)),
            *eyes(0.4, 0.12, 0.05),
        ),
    ),
    "a spider": Sprite(
        (22, 8),
        (18, 16),
        (
            *(
                line((25, 20, 25), 0.05, 0.5, 0.5, 0.5 + x * 0.55, y - 0.15, 0.5 + x, y)
                for x, y in (
                    *((-0.5, 0.15), (-0.48, 0.5), (-0.46, 0.8), (-0.3, 1.0)),
                    *((0.5, 0.15), (0.48, 0.5), (0.46, 0.8), (0.3, 1.0)),
                )
            ),
            disc((40, 30, 40), 0.5, 0.62, 0.2, 0.24),
            disc((25, 20, 25), 0.5, 0.36, 0.13, 0.14),
            disc((210, 30, 30), 0.5, 0.66, 0.08, 0.1),
        ),
    ),
    "an ant": Sprite(
        (56, 60),
        (15, 9),
        (
            *(line((60, 15, 10), 0.05, 0.5, 0.5, x, 1.0) for x in (0.25, 0.5, 0.72)),
            *(line((60, 15, 10), 0.05, 0.5, 0.5, x, 0.05) for x in (0.3, 0.5, 0.7)),
            disc((120, 30, 15), 0.2, 0.5, 0.2, 0.32),
            disc((120, 30, 15), 0.52, 0.5, 0.13, 0.2),
            disc((120, 30, 15), 0.82, 0.45, 0.16, 0.27),
        ),
    ),
    "a fly": Sprite(
        (40, 20),
        (14, 12),
        (
            *mirrored(disc((190, 215, 235), 0.24, 0.36, 0.24, 0.22)),
            disc((45, 55, 50), 0.5, 0.62, 0.18, 0.34),
            *mirrored(disc((175, 25, 25), 0.36, 0.22, 0.12, 0.16)),
        ),
    ),
    "a dragonfly": Sprite(
        (51, 27),
        (22, 14),
        (
            *mirrored(disc((150, 235, 235), 0.26, 0.3, 0.26, 0.13)),
            *mirrored(disc((150, 235, 235), 0.28, 0.55, 0.24, 0.12)),
            line((20, 90, 170), 0.1, 0.5, 0.15, 0.5, 1.0),
            disc((20, 150, 120), 0.5, 0.14, 0.1, 0.14),
        ),
    ),
    "a moth": Sprite(
        (33, 11), (20, 15), insect((150, 130, 105), (205, 185, 150), (110, 85, 65), 0.25, 0.36)
    ),
    "a bee with ultraviolet vision": Sprite(
        (11, 34), (14, 14), insect((250, 200, 20), (215, 225, 255), (30, 25, 20), 0.2, 0.24)
    ),
    "an echolocating bat": Sprite(
        (44, 8),
        (24, 13),
        (
            *mirrored(
                shape((75, 60, 85), 0.5, 0.4, 0.2, 0.0, 0.0, 0.7, 0.16, 0.55, 0.3, 0.8, 0.5, 0.7)
            ),
            shape((45, 35, 55), 0.36, 0.0, 0.5, 0.3, 0.64, 0.0, 0.6, 0.6, 0.4, 0.6),
            disc((45, 35, 55), 0.5, 0.6, 0.13, 0.36),
            *eyes(0.42, 0.05, 0.03),
        ),
    ),
    "an echolocating dolphin": Sprite(
        (21, 20),
        (30, 15),
        (
            shape((90, 130, 165), 0.0, 0.2, 0.2, 0.5, 0.0, 0.8),
            shape((90, 130, 165), 0.42, 0.3, 0.46, 0.0, 0.62, 0.3),
            disc((110, 155, 190), 0.5, 0.5, 0.36, 0.28),
            disc((110, 155, 190), 0.86, 0.55, 0.14, 0.1),
            disc((225, 235, 240), 0.55, 0.65, 0.26, 0.12),
            disc(BLACK, 0.75, 0.45, 0.025, 0.05),
        ),
    ),
    "a shark with electroreception": Sprite(
        (41, 33),
        (38, 19),
        (
            shape((85, 95, 105), 0.0, 0.0, 0.16, 0.5, 0.0, 1.0, 0.06, 0.5),
            shape((85, 95, 105), 0.4, 0.35, 0.46, 0.0, 0.62, 0.35),
            shape((85, 95, 105), 0.5, 0.65, 0.42, 1.0, 0.68, 0.65),
            disc((105, 115, 125), 0.54, 0.5, 0.44, 0.24),
            disc((240, 240, 240), 0.6, 0.62, 0.32, 0.11),
            line((150, 20, 30), 0.03, 0.8, 0.6, 0.93, 0.58),
            disc(BLACK, 0.83, 0.42, 0.025, 0.05),
        ),
    ),
    "a sea turtle with magnetoreception": Sprite(
        (25, 50),
        (26, 17),
        (
            shape((110, 160, 110), 0.3, 0.4, 0.05, 0.0, 0.0, 0.2, 0.2, 0.6),
            shape((110, 160, 110), 0.65, 0.5, 0.75, 1.0, 0.9, 0.95, 0.75, 0.5),
            shape((110, 160, 110), 0.3, 0.5, 0.15, 1.0, 0.3, 0.95, 0.4, 0.6),
            disc((110, 160, 110), 0.88, 0.4, 0.12, 0.2),
            disc((70, 95, 40), 0.48, 0.48, 0.34, 0.36),
            disc((150, 130, 60), 0.48, 0.44, 0.18, 0.2),
            disc(BLACK, 0.92, 0.36, 0.03, 0.05),
        ),
    ),
    "a creature with thermal-infrared eyes": Sprite(
        (55, 42),
        (15, 27),
        (
            shape((50, 10, 60), 0.1, 1.0, 0.2, 0.3, 0.5, 0.1, 0.8, 0.3, 0.9, 1.0),
            disc((70, 20, 80), 0.5, 0.25, 0.34, 0.25),
            *mirrored(disc((255, 60, 10), 0.32, 0.25, 0.16, 0.13)),
            *mirrored(disc((255, 240, 120), 0.32, 0.25, 0.07, 0.06)),
            shape((255, 140, 20), 0.3, 0.6, 0.7, 0.6, 0.5, 0.85),
        ),
    ),
    "a mole that senses by touch": Sprite(
        (8, 58),
        (15, 11),
        (
            disc((55, 50, 60), 0.45, 0.55, 0.42, 0.44),
            shape((245, 150, 170), 0.78, 0.3, 1.0, 0.45, 0.78, 0.7),
            disc((245, 150, 170), 0.3, 0.9, 0.14, 0.14),
            disc((245, 150, 170), 0.68, 0.9, 0.14, 0.14),
        ),
    ),
    "an alien with non-visual senses": Sprite(
        (33, 37),
        (16, 44),
        (
            *mirrored(line((120, 240, 80), 0.12, 0.42, 0.55, 0.3, 1.0)),
            *mirrored(line((120, 240, 80), 0.1, 0.45, 0.45, 0.05, 0.72)),
            *mirrored(line((120, 240, 80), 0.06, 0.4, 0.15, 0.2, 0.0)),
            disc((90, 210, 60), 0.5, 0.52, 0.18, 0.14),
            disc((120, 240, 80), 0.5, 0.24, 0.42, 0.18),
            disc((90, 40, 160), 0.5, 0.24, 0.2, 0.07),
        ),
    ),
}


@cache
def draw(phrase: str, side: int) -> Float[np.ndarray, "side side 4"]:
    """The creature on a transparent picture, RGBA in [0, 1], RGB not premultiplied.

    Raises KeyError for a creature that has no drawing.
    """
    sprite = SPRITES[phrase]
    scale = side * OVERSAMPLE / 64
    canvas = Image.new("RGBA", (side * OVERSAMPLE,) * 2, (0, 0, 0, 0))
    pencil = ImageDraw.Draw(canvas)
    corner = [sprite.centre[axis] - sprite.size[axis] / 2 for axis in (0, 1)]

    def place(numbers: tuple[float, ...]) -> list[float]:
        return [
            (corner[i % 2] + value * sprite.size[i % 2]) * scale for i, value in enumerate(numbers)
        ]

    for kind, colour, numbers in sprite.strokes:
        if kind == "disc":
            pencil.ellipse(place(numbers), fill=(*colour, 255))
        elif kind == "shape":
            pencil.polygon(place(numbers), fill=(*colour, 255))
        else:
            width = round(numbers[-1] * sprite.size[0] * scale)
            pencil.line(place(numbers[:-1]), fill=(*colour, 255), width=width, joint="curve")
    large = np.asarray(canvas, np.float32) / 255
    blocks = large.reshape(side, OVERSAMPLE, side, OVERSAMPLE, 4)
    alpha = blocks[..., 3:].mean((1, 3))
    ink = (blocks[..., :3] * blocks[..., 3:]).mean((1, 3))
    return np.concatenate([ink / np.maximum(alpha, 1e-6), alpha], -1)
