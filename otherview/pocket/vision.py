"""What a creature's sense makes of a traced picture: colour matrices, compound eyes, other senses.

A sense is a function of what the ray-caster knows of every pixel (`Surfaces`): colour, distance,
orientation and material. Visual creatures see a linear map of the human colours; the last
creatures of the graded axis see something that has no colour at all and is shown in false colour.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Colours = Float[np.ndarray, "pixels 3"]


@dataclass(frozen=True)
class Surfaces:
    """What is seen along each ray of a picture."""

    colours: Colours
    """Human colours, RGB in [0, 1]."""
    distance: Float[np.ndarray, " pixels"]
    """Metres from the eye."""
    facing: Float[np.ndarray, " pixels"]
    """Cosine between the ray and the surface's normal, in [0, 1]."""
    axis: Int[np.ndarray, " pixels"]
    """Normal's axis: 0 across the room, 1 up, 2 along the room."""
    heat: Float[np.ndarray, " pixels"]
    """Temperature of the material, 0 cold to 1 hot."""
    conductance: Float[np.ndarray, " pixels"]
    """How strongly the material bends an electric field, in [0, 1]."""


Sense = Callable[[Surfaces], Colours]

# Rows are the seen red, green and blue as mixtures of the human ones.
IDENTITY = np.eye(3, dtype=np.float32)
WARM = np.array([[0.95, 0.2, 0.0], [0.1, 0.75, 0.05], [0.0, 0.1, 0.6]], np.float32)
RED_GREEN_BLIND = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.05, 0.95]], np.float32)
DIM_DICHROMAT = np.array([[0.32, 0.38, 0.0], [0.35, 0.4, 0.0], [0.0, 0.1, 0.9]], np.float32)
BLUE_GREEN = np.array([[0.2, 0.15, 0.1], [0.2, 0.6, 0.1], [0.1, 0.4, 0.6]], np.float32)
NIGHT = np.array([[0.1, 0.2, 0.05], [0.12, 0.3, 0.08], [0.15, 0.4, 0.25]], np.float32)
VIVID = np.array([[1.7, -0.6, -0.1], [-0.4, 1.6, -0.3], [-0.3, -0.4, 1.6]], np.float32)
UNDERWATER = np.array([[0.1, 0.1, 0.0], [0.1, 0.7, 0.1], [0.05, 0.3, 0.5]], np.float32)
GREY = np.array([[0.25, 0.6, 0.15]] * 3, np.float32)
AMBER = np.array([[0.4, 0.7, 0.2], [0.2, 0.45, 0.1], [0.0, 0.05, 0.1]], np.float32)
ULTRAVIOLET = np.array([[0.1, 0.15, 0.75], [0.1, 0.5, 0.1], [0.8, 0.1, 0.1]], np.float32)
VIOLET = np.array([[0.2, 0.2, 0.5], [0.0, 0.15, 0.1], [0.3, 0.4, 0.5]], np.float32)
GREEN_ONLY = np.array([[0.0, 0.1, 0.05], [0.2, 0.8, 0.2], [0.05, 0.2, 0.1]], np.float32)
SWAPPED = np.array([[0.0, 0.1, 0.9], [0.9, 0.05, 0.0], [0.0, 0.9, 0.05]], np.float32)
MAGENTA = np.array([[0.0, 0.9, 0.1], [0.3, 0.0, 0.2], [0.9, 0.0, 0.3]], np.float32)


def colour_departure(matrix: Float[np.ndarray, "3 3"]) -> float:
    """Root-mean-square distance between a colour and what `matrix` makes of it.

    Exact over colours uniform in the RGB cube, whose second moments are 1/3 on the diagonal and
    1/4 off it; before clipping.
    """
    change = (matrix - IDENTITY).astype(np.float64)
    moments = np.full((3, 3), 0.25) + np.eye(3) / 12
    return float(np.sqrt(np.trace(change @ moments @ change.T) / 3))


def graded_matrix(species: Float[np.ndarray, "3 3"], departure: float) -> Float[np.ndarray, "3 3"]:
    """The mixture of human vision and `species` whose `colour_departure` is `departure`.

    The departure is linear in the share of `species`, so the share needs no search.
    """
    if departure == 0:
        return IDENTITY
    share = departure / colour_departure(species)
    return (IDENTITY + share * (species - IDENTITY)).astype(np.float32)


def colour_vision(matrix: Float[np.ndarray, "3 3"]) -> Sense:
    """A sense that maps human colours linearly."""

    def see(surfaces: Surfaces) -> Colours:
        seen: Colours = np.clip(surfaces.colours @ matrix.T, 0, 1)
        return seen

    return see


def ramp(value: Float[np.ndarray, " pixels"], *stops: tuple[float, float, float]) -> Colours:
    places = np.linspace(0, 1, len(stops))
    table = np.array(stops, np.float32)
    return np.stack([np.interp(value, places, table[:, c]) for c in range(3)], -1).astype(
        np.float32
    )


def echoes(surfaces: Surfaces) -> Colours:
    """A bat's: near surfaces that face the ear return the loudest echo."""
    loudness = np.exp(-surfaces.distance / 3.0) * (0.35 + 0.65 * surfaces.facing) * 1.6
    return ramp(np.clip(loudness, 0, 1), (0.02, 0.02, 0.1), (0.1, 0.45, 0.75), (0.9, 1.0, 1.0))


def sonar(surfaces: Surfaces) -> Colours:
    """A dolphin's: distance in green, hard (conducting) things ring bright."""
    nearness = np.exp(-surfaces.distance / 4.0)
    strength = nearness * (0.5 + 0.5 * surfaces.facing) + 0.5 * surfaces.conductance
    return ramp(np.clip(strength, 0, 1), (0.0, 0.08, 0.12), (0.05, 0.6, 0.4), (0.95, 1.0, 0.6))


def electric_field(surfaces: Surfaces) -> Colours:
    """A shark's: conductors glow in a dim blue room."""
    glow = surfaces.conductance * np.exp(-surfaces.distance / 9.0)
    room = 0.3 * np.exp(-surfaces.distance / 3.0)
    return ramp(np.clip(glow + room, 0, 1), (0.02, 0.02, 0.15), (0.25, 0.1, 0.6), (1.0, 0.95, 0.3))


def compass(surfaces: Surfaces) -> Colours:
    """A sea turtle's: surfaces tinted by their bearing to the magnetic axis, over dim sight."""
    tints = np.array([[0.9, 0.2, 0.6], [0.1, 0.3, 0.25], [0.1, 0.75, 0.85]], np.float32)
    grey = surfaces.colours.mean(-1, keepdims=True)
    seen: Colours = np.clip(tints[surfaces.axis] * (0.3 + 0.7 * grey), 0, 1)
    return seen


def thermal(surfaces: Surfaces) -> Colours:
    """Temperature, dark blue to white."""
    return ramp(
        surfaces.heat,
        (0.0, 0.0, 0.2),
        (0.45, 0.0, 0.55),
        (0.9, 0.25, 0.15),
        (1.0, 0.75, 0.1),
        (1.0, 1.0, 0.85),
    )


def touch(surfaces: Surfaces) -> Colours:
    """A mole's: only what is within reach, shaped by how it faces the snout."""
    reach = np.exp(-surfaces.distance / 1.6)
    relief = np.array([0.55, 1.0, 0.8], np.float32)[surfaces.axis]
    return ramp(np.clip(1.3 * reach * relief, 0, 1), (0.08, 0.03, 0.05), (0.95, 0.6, 0.6))


def alien(surfaces: Surfaces) -> Colours:
    """Orientation as hue, inverted light: no sense that we have a word for."""
    hues = np.array([[1.0, 0.55, 0.0], [0.2, 1.0, 0.1], [0.7, 0.1, 1.0]], np.float32)
    inverted = 1 - surfaces.colours.mean(-1, keepdims=True)
    seen: Colours = np.clip(hues[surfaces.axis] * (0.25 + 1.1 * inverted), 0, 1)
    return seen


def faceted(
    picture: Float[np.ndarray, "height width 3"], facet: int
) -> Float[np.ndarray, "height width 3"]:
    """A compound eye: each `facet` by `facet` square of pixels sees one colour."""
    height, width, _ = picture.shape
    cells = picture.reshape(height // facet, facet, width // facet, facet, 3)
    mean = np.broadcast_to(cells.mean((1, 3), keepdims=True), cells.shape)
    return mean.reshape(height, width, 3)
