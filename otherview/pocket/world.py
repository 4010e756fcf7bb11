"""A toy kitchen, ray-cast: seeded rooms, the fixed camera, and what each creature sees of them.

The room is a box of 4 by 2.6 by 4.8 metres. Its furniture is a list of axis-aligned boxes; rays
are intersected with boxes by the slab method (Kay and Kajiya 1986).
"""

import math
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
from jaxtyping import Float, Int

from otherview.pocket.creatures import CREATURES, FIXED_CAMERA, Camera, Creature
from otherview.pocket.sprites import draw
from otherview.pocket.vision import Surfaces, faceted

SIDE = 64
"""Pixels of a picture's side."""
UNSEEN = 1_000_000
"""Kitchens of this seed and above are for evaluation, those below for training."""
RAYS = 2 * SIDE
LOW, HIGH = (-2.0, 0.0, -2.6), (2.0, 2.6, 2.2)
TILE = 0.8
DAYLIGHT = (0.0, 1.8, 2.2)

Picture = Float[np.ndarray, "side side 3"]

HEAT = {
    "wall": 0.32, "side wall": 0.28, "ceiling": 0.4, "light tile": 0.2, "dark tile": 0.16,
    "backsplash": 0.3, "window": 0.75, "window frame": 0.5, "cabinet": 0.35, "countertop": 0.45,
    "sink": 0.12, "fridge": 0.1, "freezer": 0.02, "table": 0.42, "kettle": 1.0, "fruit": 0.5,
    "cupboard": 0.38,
}  # fmt: skip
"""Temperature of every material, 0 cold to 1 hot."""
CODE = {name: code for code, name in enumerate(HEAT)}
CONDUCTANCE = {"fridge": 0.8, "freezer": 0.95, "sink": 1.0, "kettle": 1.0, "fruit": 0.4}


@dataclass(frozen=True)
class Box:
    """A piece of furniture: two corners in metres, and what it is made of."""

    material: str
    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True)
class Kitchen:
    """One room: its furniture, its window (x from, x to, y from, y to) and its colours."""

    boxes: tuple[Box, ...]
    window: tuple[float, float, float, float]
    colours: Float[np.ndarray, "materials 3"]


Palette = tuple[tuple[int, int, int], ...]

WALLS: Palette = ((232, 222, 200), (188, 206, 178), (178, 204, 224), (238, 196, 184))
WALLS += ((240, 216, 150), (204, 192, 224), (222, 164, 132), (160, 196, 194))
CABINETS: Palette = ((245, 243, 236), (48, 76, 118), (52, 98, 74), (214, 160, 62), (168, 66, 56))
CABINETS += ((128, 144, 158),)
WOODS = ((186, 132, 80), (140, 88, 50), (214, 174, 120))
FRIDGES = ((238, 240, 242), (150, 158, 166), (198, 48, 48), (132, 206, 184), (44, 48, 58))
TABLES = ((160, 104, 58), (240, 236, 226), (62, 134, 140), (112, 62, 44))
FLOORS = ((208, 198, 184), (150, 160, 168), (176, 112, 86), (112, 124, 116), (226, 214, 196))
KETTLES = ((214, 50, 40), (52, 92, 190), (250, 206, 60), (40, 40, 44), (236, 238, 240))
FRUIT = ((250, 150, 30), (120, 190, 50), (224, 60, 70))
SKIES = ((150, 206, 250), (255, 206, 140), (222, 230, 234))


def kitchen(seed: int) -> Kitchen:
    """The room of `seed`: layout and colours are drawn from it alone."""
    draws = np.random.default_rng(seed)
    side = float(draws.choice([-1.0, 1.0]))
    fridge_width, fridge_height = draws.uniform(0.75, 1.0), draws.uniform(1.6, 2.0)
    fridge_x = side * (1.9 - fridge_width / 2)
    width = draws.uniform(2.0, 2.6)
    counter_x = -side * (1.95 - width / 2)
    window_x = counter_x + draws.uniform(-0.35, 0.35)
    window_half = draws.uniform(0.4, 0.6)
    kettle_x = window_x - side * draws.uniform(0.6, 0.75)
    cupboard_x = -side * 1.6
    table_x, table_z = draws.uniform(-0.8, 0.8), draws.uniform(0.15, 0.45)
    half, table_height = draws.uniform(0.4, 0.65), draws.uniform(0.6, 0.75)
    fruit_x = table_x + draws.uniform(-0.2, 0.2)

    def box(material: str, x: float, rx: float, y0: float, y1: float, z0: float, z1: float) -> Box:
        return Box(material, (x - rx, y0, z0), (x + rx, y1, z1))

    boxes = (
        box("cabinet", counter_x, width / 2, 0.0, 0.84, 1.55, 2.2),
        box("countertop", counter_x, width / 2 + 0.03, 0.84, 0.94, 1.48, 2.2),
        box("sink", window_x, 0.32, 0.94, 0.97, 1.56, 2.0),
        box("sink", window_x, 0.05, 0.97, 1.25, 2.04, 2.12),
        box("fridge", fridge_x, fridge_width / 2, 0.0, fridge_height * 0.66, 1.45, 2.2),
        box("freezer", fridge_x, fridge_width / 2, fridge_height * 0.66, fridge_height, 1.45, 2.2),
        box("table", table_x, half, table_height - 0.1, table_height, table_z, table_z + 0.6),
        box("table", table_x, 0.12, 0.0, table_height, table_z + 0.2, table_z + 0.4),
        box("fruit", fruit_x, 0.15, table_height, table_height + 0.2, table_z + 0.2, table_z + 0.5),
        box("kettle", kettle_x, 0.14, 0.94, 1.26, 1.65, 1.92),
        box("cupboard", cupboard_x, 0.33, 1.5, 2.2, 1.85, 2.2),
    )
    window = (window_x - window_half, window_x + window_half, 1.3, 2.1)
    return Kitchen(boxes, window, draw_colours(draws))


def draw_colours(draws: np.random.Generator) -> Float[np.ndarray, "materials 3"]:
    def pick(palette: Palette) -> Float[np.ndarray, " 3"]:
        tint = np.array(palette[draws.integers(len(palette))]) / 255
        jittered: Float[np.ndarray, " 3"] = np.clip(tint * draws.uniform(0.94, 1.04), 0, 1)
        return jittered

    wall, floor, cabinet, fridge = pick(WALLS), pick(FLOORS), pick(CABINETS), pick(FRIDGES)
    named = {
        "wall": wall,
        "side wall": wall * 0.93,
        "ceiling": 0.75 + 0.25 * wall,
        "light tile": floor,
        "dark tile": floor * 0.8,
        "backsplash": 0.5 + 0.45 * wall,
        "window": pick(SKIES),
        "window frame": np.array([0.97, 0.97, 0.95]),
        "cabinet": cabinet,
        "countertop": pick(WOODS),
        "sink": np.array([0.62, 0.66, 0.7]),
        "fridge": fridge,
        "freezer": fridge * 0.88,
        "table": pick(TABLES),
        "kettle": pick(KETTLES),
        "fruit": pick(FRUIT),
        "cupboard": cabinet * 0.9,
    }
    return np.stack([named[name] for name in HEAT]).astype(np.float32)


@dataclass(frozen=True)
class Rays:
    """A camera's rays and what they meet in the empty room, by axis, one entry a ray."""

    origin: tuple[float, float, float]
    directions: tuple[Float[np.ndarray, " rays"], ...]
    inverse: tuple[Float[np.ndarray, " rays"], ...]
    distance: Float[np.ndarray, " rays"]
    axis: Int[np.ndarray, " rays"]
    material: Int[np.ndarray, " rays"]
    points: tuple[Float[np.ndarray, " rays"], ...]


@cache
def cast_rays(camera: Camera) -> Rays:
    origin = (camera.x, camera.height, camera.z)
    gaze = np.array([0.0, 0.95, 1.6]) - origin
    yaw, pitch = math.atan2(gaze[0], gaze[2]), math.atan2(gaze[1], math.hypot(gaze[0], gaze[2]))
    if camera.pitch is not None:
        yaw, pitch = 0.0, camera.pitch
    reach = math.tan(math.radians(camera.field_of_view) / 2)
    across = ((np.arange(RAYS) + 0.5) / RAYS * 2 - 1) * reach
    right, up = (plane.ravel() for plane in np.meshgrid(across, -across))
    ahead = np.cos(pitch) - up * np.sin(pitch)
    up = up * np.cos(pitch) + np.sin(pitch)
    x, z = right * np.cos(yaw) + ahead * np.sin(yaw), ahead * np.cos(yaw) - right * np.sin(yaw)
    norm = np.sqrt(x * x + up * up + z * z)
    directions = [np.where(abs(d) < 1e-6, 1e-6, d) / norm for d in (x, up, z)]
    inverse = [1 / d for d in directions]
    exits = [
        np.maximum((LOW[a] - origin[a]) * inverse[a], (HIGH[a] - origin[a]) * inverse[a])
        for a in range(3)
    ]
    distance, axis = np.min(exits, 0), np.argmin(exits, 0)
    points = [origin[a] + directions[a] * distance for a in range(3)]
    tile = (np.floor(points[0] / TILE) + np.floor(points[2] / TILE)) % 2
    floor = np.where(tile == 0, CODE["light tile"], CODE["dark tile"])
    level = np.where(directions[1] < 0, floor, CODE["ceiling"])
    back = np.where(points[1] < 1.3, CODE["backsplash"], CODE["wall"])
    back = np.where(points[2] > 0, back, CODE["wall"])
    material = np.select([axis == 0, axis == 1], [CODE["side wall"], level], back)

    def single(arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(array.astype(np.float32) for array in arrays)

    return Rays(
        origin,
        single(directions),
        single(inverse),
        distance.astype(np.float32),
        axis.astype(np.int8),
        material.astype(np.int8),
        single(points),
    )


def trace(room: Kitchen, camera: Camera) -> Surfaces:
    rays = cast_rays(camera)
    distance, axis, material = rays.distance.copy(), rays.axis.copy(), rays.material.copy()
    hang_window(room, rays, material)
    for box in room.boxes:
        sides = [
            [(corner[a] - rays.origin[a]) * rays.inverse[a] for corner in (box.low, box.high)]
            for a in range(3)
        ]
        first = [np.minimum(*side) for side in sides]
        near, far = reduce(np.maximum, first), reduce(np.minimum, [np.maximum(*s) for s in sides])
        hit = np.flatnonzero((near < far) & (near > 0) & (near < distance))
        entry = np.argmax([each[hit] for each in first], axis=0)
        distance[hit], axis[hit], material[hit] = near[hit], entry, CODE[box.material]
    return lit_colours(room, rays, distance, axis, material)


def hang_window(room: Kitchen, rays: Rays, material: Int[np.ndarray, " rays"]) -> None:
    left, right, bottom, top = room.window
    x, y, z = rays.points
    for grow, name in ((0.07, "window frame"), (0.0, "window")):
        inside = (x > left - grow) & (x < right + grow) & (y > bottom - grow) & (y < top + grow)
        material[(z > 2.19) & inside] = CODE[name]


def lit_colours(
    room: Kitchen,
    rays: Rays,
    distance: Float[np.ndarray, " rays"],
    axis: Int[np.ndarray, " rays"],
    material: Int[np.ndarray, " rays"],
) -> Surfaces:
    """Soft daylight: by orientation, and falling off with the distance from the window's wall."""
    by_axis = np.array([0.78, 1.06, 0.92], np.float32)[axis]
    points = [rays.origin[a] + rays.directions[a] * distance for a in range(3)]
    away = sum((points[a] - DAYLIGHT[a]) ** 2 for a in range(3))
    light = by_axis * (0.8 + 0.3 / (1 + away / 6))
    light[material == CODE["window"]] = 1.0
    facing = np.choose(axis, [abs(direction) for direction in rays.directions])
    return Surfaces(
        np.clip(room.colours[material] * light[:, None], 0, 1).astype(np.float32),
        distance,
        facing,
        axis.astype(np.int64),
        np.array(list(HEAT.values()), np.float32)[material],
        np.array([CONDUCTANCE.get(name, 0) for name in HEAT], np.float32)[material],
    )


def to_picture(colours: Float[np.ndarray, "rays 3"]) -> Picture:
    picture: Picture = colours.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3), dtype=np.float32)
    return picture


def reference(room: Kitchen) -> Picture:
    """The empty kitchen from the fixed camera, RGB in [0, 1]."""
    return to_picture(trace(room, FIXED_CAMERA).colours)


def view(room: Kitchen, creature: Creature) -> Picture:
    """The empty kitchen through the creature's own eyes."""
    picture = to_picture(creature.sense(trace(room, creature.camera)))
    return faceted(picture, creature.facet) if creature.facet > 1 else picture


def mention(picture: Picture, creature: Creature) -> Picture:
    """`picture`, which the fixed camera took, with the creature standing in it."""
    sprite = draw(creature.phrase, SIDE)
    alpha = sprite[..., 3:]
    shown: Picture = picture * (1 - alpha) + sprite[..., :3] * alpha
    return shown


def kitchen_pictures(seed: int) -> Float[np.ndarray, "pictures side side 3"]:
    """Return the reference, all views and all mentions of one kitchen: 61 pictures.

    Creatures are in order of rank.
    """
    room = kitchen(seed)
    plain = reference(room)
    views = [view(room, creature) for creature in CREATURES]
    return np.stack([plain, *views, *(mention(plain, creature) for creature in CREATURES)])
