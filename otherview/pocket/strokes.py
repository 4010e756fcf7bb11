"""What the drawings of creatures are made of: discs, polygons, lines, and shared bodies.

Coordinates are fractions of a drawing's own box, x to the right and y down.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]
Stroke = tuple[str, Colour, tuple[float, ...]]
"""What to draw: "disc" (two corners), "shape" (a polygon) or "line" (points, width last)."""

BLACK, WHITE, SKIN = (20, 20, 25), (250, 250, 245), (240, 190, 150)


@dataclass(frozen=True)
class Sprite:
    """A drawing and where it stands, in pixels of a 64 by 64 picture."""

    centre: tuple[float, float]
    size: tuple[float, float]
    strokes: tuple[Stroke, ...]


def disc(colour: Colour, x: float, y: float, rx: float, ry: float) -> Stroke:
    """An ellipse about a point, with its half axes."""
    return ("disc", colour, (x - rx, y - ry, x + rx, y + ry))


def shape(colour: Colour, *points: float) -> Stroke:
    """A filled polygon; `points` are x and y in turn."""
    return ("shape", colour, points)


def line(colour: Colour, width: float, *points: float) -> Stroke:
    """A line through `points`, x and y in turn; `width` is a fraction of the box's width."""
    return ("line", colour, (*points, width))


def mirrored(stroke: Stroke) -> tuple[Stroke, Stroke]:
    """A disc, polygon or line, and its mirror image about the middle of the box."""
    kind, colour, numbers = stroke
    points, width = (numbers, ()) if kind != "line" else (numbers[:-1], numbers[-1:])
    if kind == "disc":  # corners stay in order
        points = (points[2], points[1], points[0], points[3])
    turned = tuple(number if place % 2 else 1 - number for place, number in enumerate(points))
    return stroke, (kind, colour, (*turned, *width))


def eyes(y: float, apart: float, radius: float, x: float = 0.5) -> tuple[Stroke, ...]:
    """Two black eyes, `apart` to either side of `x`."""
    return tuple(disc(BLACK, x + side * apart, y, radius, radius) for side in (-1, 1))


def person(shirt: Colour, trousers: Colour, hair: Colour, head: float) -> tuple[Stroke, ...]:
    """Someone on two legs; `head` is the head's share of the height."""
    neck, hip = head, head + (1 - head) * 0.48
    return (
        line(trousers, 0.16, 0.36, hip - 0.05, 0.3, 1.0),
        line(trousers, 0.16, 0.64, hip - 0.05, 0.7, 1.0),
        line(SKIN, 0.12, 0.3, neck + 0.08, 0.06, hip),
        line(SKIN, 0.12, 0.7, neck + 0.08, 0.94, hip),
        shape(shirt, 0.22, neck, 0.78, neck, 0.74, hip, 0.26, hip),
        disc(hair, 0.5, head * 0.45, 0.3, head * 0.47),
        disc(SKIN, 0.5, head * 0.58, 0.25, head * 0.42),
        *eyes(head * 0.55, 0.1, 0.045),
    )


def hound(coat: Colour, ear: Colour, collar: Colour) -> tuple[Stroke, ...]:
    """A dog in profile, facing right."""
    return (
        line(coat, 0.1, 0.1, 0.5, 0.0, 0.25),
        line(coat, 0.13, 0.2, 0.6, 0.18, 1.0),
        line(coat, 0.13, 0.6, 0.6, 0.62, 1.0),
        disc(coat, 0.4, 0.55, 0.34, 0.2),
        disc(coat, 0.76, 0.32, 0.2, 0.22),
        disc(coat, 0.92, 0.4, 0.12, 0.1),
        shape(ear, 0.6, 0.12, 0.74, 0.14, 0.66, 0.5, 0.56, 0.4),
        line(collar, 0.08, 0.62, 0.5, 0.72, 0.58),
        disc(BLACK, 0.82, 0.28, 0.045, 0.045),
        disc(BLACK, 1.0, 0.36, 0.05, 0.05),
    )


def insect(
    body: Colour, wing: Colour, stripe: Colour, wing_rx: float, wing_ry: float
) -> tuple[Stroke, ...]:
    """A flying insect from above, head up."""
    return (
        disc(wing, 0.5 - wing_rx, 0.4, wing_rx, wing_ry),
        disc(wing, 0.5 + wing_rx, 0.4, wing_rx, wing_ry),
        disc(body, 0.5, 0.55, 0.17, 0.4),
        line(stripe, 0.08, 0.36, 0.5, 0.64, 0.5),
        line(stripe, 0.08, 0.36, 0.7, 0.64, 0.7),
        disc(stripe, 0.5, 0.16, 0.15, 0.13),
    )
