"""What a study can find, against studies."""

import subprocess
import sys

import numpy as np
import pytest

from otherview.stats import role_power, role_test, sign_flip_power, sign_flip_test


def roles(test: int, control: int) -> list[str]:
    return ["test"] * test + ["control"] * control


@pytest.mark.parametrize(
    ("test", "control", "units", "ratio", "items"),
    [
        (8, 8, 40, 0.0, 12),
        (5, 5, 1, 1.0, 12),
        (4, 8, 40, 0.0, 12),
        (8, 8, 40, 0.25, 3),
        (8, 8, 1, 1.0, 6),
    ],
)
def test_the_effect_is_found_in_about_80_of_100_studies(
    test: int, control: int, units: int, ratio: float, items: int
) -> None:
    studies, found = 60, 0
    plan = role_power(items, roles(test, control), units, ratio=ratio)
    slope = np.sqrt(ratio * items * (1 / test + 1 / control))
    is_test = np.arange(test + control) < test
    for index in range(studies):
        draws = np.random.default_rng(index)
        responses = (
            draws.normal(size=(1, test + control, units))
            + slope * draws.normal(size=(items, 1, units)) * np.where(is_test, 0.5, -0.5)[:, None]
        )
        responses[:, is_test, 0] += plan.effect
        found += role_test(responses, roles(test, control), flips=500, seed=index).called[0]
    assert 0.6 * studies < found < 0.95 * studies


def test_the_effect_of_sign_flips_is_found_as_often() -> None:
    plan = sign_flip_power(12, 30)
    found = 0
    for index in range(60):
        differences = np.random.default_rng(index).normal(size=(12, 30))
        differences[:, 0] += plan.effect
        found += sign_flip_test(differences, flips=500, seed=index).p_maxt[0] <= plan.alpha
    assert 0.6 * 60 < found < 0.95 * 60


def test_the_smallest_p_is_that_of_the_tests() -> None:
    responses = np.random.default_rng(0).normal(size=(5, 8, 2))
    strata = list("aabb" * 2)
    assert role_power(5, roles(4, 4), 2).smallest_p == role_test(responses, roles(4, 4)).smallest_p
    within = role_power(5, roles(4, 4), 2, strata=strata)
    assert within.smallest_p == role_test(responses, roles(4, 4), strata=strata).smallest_p
    assert sign_flip_power(5, 2).smallest_p == sign_flip_test(responses[:, 0]).smallest_p


def test_a_study_that_can_find_nothing_says_so() -> None:
    for hopeless in (sign_flip_power(5, 48), role_power(30, roles(3, 3), 48)):
        assert not hopeless.can_find
        assert np.isinf(hopeless.effect)
    assert sign_flip_power(6, 48).can_find


def test_more_of_anything_finds_less_and_more_units_need_more() -> None:
    effects = [role_power(30, roles(k, k), 48).effect for k in (4, 6, 8, 12)]
    assert effects == sorted(effects, reverse=True)
    assert role_power(30, roles(8, 8), 720).effect > role_power(30, roles(8, 8), 48).effect
    assert role_power(8, roles(8, 8), 48, ratio=4).effect > effects[2]
    assert sign_flip_power(30, 48).effect < sign_flip_power(12, 48).effect


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, roles(4, 4), 3), "^items is 1"),
        ((5, roles(4, 4), 0), "^units is 0"),
        ((5, roles(1, 1), 3), "^one wording per role"),
    ],
)
def test_bad_input_is_named(arguments: tuple[int, list[str], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        role_power(*arguments)


def test_planning_loads_neither_torch_nor_numba() -> None:
    program = (
        "import sys; from otherview.stats import role_power; "
        "role_power(30, ['test'] * 8 + ['control'] * 8, 720); "
        "assert not {'torch', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
