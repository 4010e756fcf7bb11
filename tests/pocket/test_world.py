import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from otherview.pocket import vision, world
from otherview.pocket.creatures import COLOUR_STEP, CREATURES, Camera
from otherview.pocket.sprites import SPRITES


def departure(camera: Camera, human: Camera) -> float:
    """Metres, plus one for each 40 degrees of view."""
    metres = math.dist((camera.x, camera.height, camera.z), (human.x, human.height, human.z))
    return metres + abs(camera.field_of_view - human.field_of_view) / 40


def test_cameras_depart_further_from_human_at_every_rank() -> None:
    human = CREATURES[0].camera
    departures = [departure(creature.camera, human) for creature in CREATURES]
    assert departures[0] == 0
    assert (np.diff(departures) > 0).all()


def test_graded_matrix_departs_by_what_was_asked() -> None:
    for rank in range(23):
        matrix = vision.graded_matrix(vision.GREY, COLOUR_STEP * rank)
        assert vision.colour_departure(matrix) == pytest.approx(COLOUR_STEP * rank, abs=1e-6)


def test_colour_departure_is_the_mean_over_random_colours() -> None:
    colours = np.random.default_rng(0).random((200_000, 3))
    change = colours @ vision.NIGHT.T - colours
    assert vision.colour_departure(vision.NIGHT) == pytest.approx(
        np.sqrt((change**2).mean()), rel=0.01
    )


def test_views_differ_more_from_the_human_view_along_the_axis() -> None:
    distances = []
    for seed in range(3):
        views = world.kitchen_pictures(seed)[1:31]
        distances.append(np.sqrt(((views - views[0]) ** 2).mean((1, 2, 3))))
    correlation = spearmanr(np.mean(distances, 0), np.arange(len(CREATURES))).statistic
    assert correlation > 0.85


def test_a_kitchen_is_its_seed() -> None:
    one, same, other = (world.reference(world.kitchen(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 0.02


def test_pictures_are_rgb_in_the_unit_interval() -> None:
    pictures = world.kitchen_pictures(0)
    assert pictures.shape == (61, world.SIDE, world.SIDE, 3)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_no_two_creatures_see_or_look_alike() -> None:
    _, *creatures = world.kitchen_pictures(1)
    for pictures in np.split(np.stack(creatures), 2):  # views, then mentions
        flat = pictures.reshape(len(pictures), -1)
        apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(-1))
        assert apart[~np.eye(len(flat), dtype=bool)].min() > 0.02


def test_every_creature_has_a_drawing_inside_the_picture() -> None:
    assert set(SPRITES) == {creature.phrase for creature in CREATURES}
    for sprite in SPRITES.values():
        for axis in (0, 1):
            assert sprite.centre[axis] - sprite.size[axis] / 2 >= 0
            assert sprite.centre[axis] + sprite.size[axis] / 2 <= 65
