"""The thirty creatures of the graded axis: where their eyes are and what they sense.

The order is the order of distance from human perception. Camera and colour vision both depart
further from the adult human's at every rank: metres to the human camera, plus one for each 40
degrees of view, strictly increase, and the colour matrices are mixed so that
`vision.colour_departure` is `COLOUR_STEP` times the rank.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from otherview.pocket import vision
from otherview.pocket.vision import Sense

COLOUR_STEP = 0.011
"""Departure of colour vision from human per rank, root mean square in RGB of [0, 1]."""


@dataclass(frozen=True)
class Camera:
    """An eye in the room; it looks at the kitchen's middle unless `pitch` is given."""

    x: float
    """Metres to the right of the room's middle."""
    height: float
    """Metres above the floor."""
    z: float
    """Metres towards the kitchen's back wall; the room spans -2.6 to 2.2."""
    field_of_view: float
    """Degrees, across the picture."""
    pitch: float | None = None
    """Radians above the horizon, looking straight ahead; None looks at the kitchen."""


FIXED_CAMERA = Camera(0.0, 1.5, -2.2, 75, pitch=-0.12)
"""The camera of every reference picture and of every mention."""


@dataclass(frozen=True)
class Creature:
    """A being of the study, named by the phrase that stands in its prompts."""

    phrase: str
    rank: int
    camera: Camera
    sense: Sense
    facet: int
    """Side of a compound eye's facet in pixels of 64; 1 for other eyes."""


Row = tuple[str, tuple[float, float, float, float], Float[np.ndarray, "3 3"] | Sense, int]

# phrase, (x, height, z, field of view), colour matrix at full strength or a sense, facet
TABLE: tuple[Row, ...] = (
    ("an adult human", (1.0, 1.6, -2.1, 60), vision.IDENTITY, 1),
    ("a tall person", (1.28, 1.95, -2.1, 60), vision.WARM, 1),
    ("a child", (1.32, 1.15, -2.09, 62), vision.VIVID, 1),
    ("a toddler", (0.8, 0.8, -2.11, 65), vision.WARM, 1),
    ("an infant", (1.34, 0.45, -2.09, 68), vision.GREY, 1),
    ("a chimpanzee", (0.97, 1.0, -0.89, 66), vision.AMBER, 1),
    ("a large dog", (1.61, 0.75, -1.37, 75), vision.RED_GREEN_BLIND, 1),
    ("a small dog", (0.58, 0.3, -1.69, 75), vision.RED_GREEN_BLIND, 1),
    ("a cat", (0.56, 0.25, -2.4, 80), vision.DIM_DICHROMAT, 1),
    ("a horse", (0.39, 1.9, -1.08, 95), vision.RED_GREEN_BLIND, 1),
    ("a rabbit", (1.32, 0.2, -1.34, 85), vision.BLUE_GREEN, 1),
    ("an owl", (-1.15, 2.2, -2.38, 66), vision.GREY, 1),
    ("a parrot", (1.74, 2.0, -0.71, 95), vision.VIVID, 1),
    ("a frog", (0.12, 0.12, -2.02, 95), vision.BLUE_GREEN, 1),
    ("a goldfish", (-0.4, 0.95, -1.39, 100), vision.UNDERWATER, 1),
    ("a snake", (0.55, 0.08, -0.8, 90), vision.AMBER, 1),
    ("an octopus", (-0.52, 0.5, -2.4, 100), vision.GREY, 1),
    ("a spider", (-0.7, 2.45, -1.14, 95), vision.VIOLET, 1),
    ("an ant", (-0.13, 0.05, -1.25, 100), vision.GREEN_ONLY, 4),
    ("a fly", (-0.91, 1.3, -2.38, 110), vision.MAGENTA, 4),
    ("a dragonfly", (-0.84, 1.8, -1.56, 115), vision.SWAPPED, 2),
    ("a moth", (0.75, 2.2, 0.08, 105), vision.NIGHT, 4),
    ("a bee with ultraviolet vision", (-0.06, 1.1, -0.18, 110), vision.ULTRAVIOLET, 4),
    ("an echolocating bat", (-0.37, 2.4, -0.04, 100), vision.echoes, 1),
    ("an echolocating dolphin", (-1.65, 0.7, -1.7, 95), vision.sonar, 1),
    ("a shark with electroreception", (1.74, 0.4, 0.17, 105), vision.electric_field, 1),
    ("a sea turtle with magnetoreception", (-0.31, 0.2, -0.27, 110), vision.compass, 1),
    ("a creature with thermal-infrared eyes", (1.17, 1.3, 0.75, 105), vision.thermal, 1),
    ("a mole that senses by touch", (-1.18, 0.03, -1.64, 115), vision.touch, 1),
    ("an alien with non-visual senses", (1.73, 2.3, 0.46, 118), vision.alien, 1),
)


def read_row(rank: int, row: Row) -> Creature:
    phrase, (x, height, z, field_of_view), sight, facet = row
    if callable(sight):
        sense: Sense = sight
    else:
        sense = vision.colour_vision(vision.graded_matrix(sight, COLOUR_STEP * rank))
    return Creature(phrase, rank, Camera(x, height, z, field_of_view), sense, facet)


CREATURES: tuple[Creature, ...] = tuple(read_row(rank, row) for rank, row in enumerate(TABLE))
PHRASES: tuple[str, ...] = tuple(creature.phrase for creature in CREATURES)
