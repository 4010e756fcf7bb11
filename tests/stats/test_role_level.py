"""How often the role test calls where nothing is there, and whether it calls what is."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from otherview.stats import sign_flip_test
from otherview.stats.chunks import Running
from otherview.stats.role import randomise
from otherview.stats.role_null import RoleMeans, reach
from otherview.stats.role_p import p_values
from otherview.stats.wordings import wording_design

ALPHA = 0.05
UNITS = 24


@pytest.fixture(scope="module")
def level() -> ModuleType:
    """The benchmark, as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        return importlib.import_module("role_test_level")


@pytest.mark.parametrize(
    ("kind", "test", "control", "items"),
    [
        ("normal", 8, 8, 30),
        ("skewed", 4, 4, 12),
        ("t, 3 df", 4, 8, 12),
        ("skewed", 8, 8, 3),
        ("skewed", 8, 8, 5),
    ],
)
def test_it_keeps_its_level_whatever_varies(
    level: ModuleType, kind: str, test: int, control: int, items: int
) -> None:
    population = level.Population(kind, 0.0, test, control, items)
    sets, called, by_two = 150, np.zeros(6), np.zeros(6)
    for index in range(sets):
        draws = np.random.default_rng([items, index])
        for place, (_, means) in enumerate(level.simulated(population, UNITS, draws)):
            found = randomise(
                RoleMeans(*(part / 50 for part in means)), population.design,
                alpha=ALPHA, flips=199, seed=index, running=Running(1),
            )[2]  # fmt: skip
            called[place] += (found.p_maxt <= ALPHA).any()
            if kind == "normal" and place == 3:
                by_two[place] += level.two_tests(*means[:2], population.design, draws).any()
    assert stats.binom.sf(called.max() - 1, sets, ALPHA) > 1e-4
    assert called[0] >= 1  # at ratio 0 it is a permutation test, which calls at its level
    if kind == "normal":  # the rule of two tests does not keep it: the cell can fail
        assert stats.binom.sf(by_two[3] - 1, sets, ALPHA) < 1e-4


@pytest.mark.parametrize(("kind", "scenes"), [("normal", 6), ("skewed", 3)])
def test_with_few_scenes_it_keeps_its_level(level: ModuleType, kind: str, scenes: int) -> None:
    population = level.Population(kind, 0.0, 8, 8, 30, scenes=scenes)
    sets, called, alone, ignored = 60, np.zeros(6), np.zeros(6), 0
    for index in range(sets):
        draws = np.random.default_rng([scenes, index])
        for place, (_, means) in enumerate(level.simulated(population, UNITS, draws)):
            how: dict[str, Any] = {"alpha": ALPHA, "flips": 199, "seed": index}
            scaled = RoleMeans(*(part / 50 for part in means))
            found = randomise(scaled, population.design, running=Running(1), **how)[2]
            called[place] += (found.p_maxt <= ALPHA).any()
            alone[place] += (found.p <= ALPHA).mean()
            if place == 4:
                averaged = scaled._replace(scenes=scaled.scenes[:0])
                found = randomise(averaged, population.design, running=Running(1), **how)[2]
                ignored += bool((found.p_maxt <= ALPHA).any())
    assert stats.binom.sf(called.max() - 1, sets, ALPHA) > 1e-4
    assert alone.max() / sets < 1.1 * ALPHA
    assert ignored > 0.8 * sets  # averaging over the scenes does not keep it: the cell can fail


def test_it_finds_what_is_there_as_often_as_two_tests_did(level: ModuleType) -> None:
    population = level.Population("normal", 0.0, 8, 8, 30)
    found = np.zeros(2)
    for index in range(80):
        draws = np.random.default_rng([1, index])
        _, means = next(level.simulated(population, UNITS, draws))
        means.items[:, 0] += 2.5
        means.wordings[:8, 0] += 2.5
        p = randomise(
            RoleMeans(*(part / 50 for part in means)), population.design,
            alpha=ALPHA, flips=999, seed=index, running=Running(1),
        )[2]  # fmt: skip
        before = level.two_tests(*means[:2], population.design, draws)
        found += p.p_maxt[0] <= ALPHA, before[0]
    assert found[0] >= found[1] - 0.05 * 80
    assert found[0] > 0.6 * 80


@pytest.mark.parametrize("scenes", [1, 6])
def test_the_benchmark_calls_what_the_test_calls(level: ModuleType, scenes: int) -> None:
    population = level.Population("normal", 0.0, 6, 6, 12, scenes=scenes)
    draws = np.random.default_rng(2)
    data = list(level.simulated(population, level.HEADS, draws))
    for _, means in (data[0], data[3]):
        for part in (means.items, means.scenes, means.wordings[:6]):
            part[:, ::50] += 2
        plan, pilot = (level.kept(population, 3, stream) for stream in (0, 1))
        share, groups, everywhere = level.share_called(means, plan, pilot)
        largest = max(np.abs(part).max(initial=0.0) for part in means)
        units, plan, p = randomise(
            RoleMeans(*(part / largest for part in means)), population.design,
            alpha=ALPHA, flips=level.DRAWS, seed=3, running=Running(1),
        )  # fmt: skip
        assert share == np.mean(p.p <= ALPHA)
        assert everywhere == (p.p_maxt <= ALPHA).any()
        by_group = []
        for start in range(0, level.HEADS, level.GROUP):
            part = slice(start, start + level.GROUP)
            arrays: dict[str, Any] = {
                name: value[..., part]
                for name, value in vars(units).items()
                if isinstance(value, np.ndarray)
            }
            own = replace(units, **arrays)
            found = p_values(own, plan, reach(own, plan, Running(1)), ALPHA)
            by_group.append((np.maximum(found.p_maxt, p.p[part]) <= ALPHA).any())
        assert groups == np.mean(by_group)


def test_relabelling_within_frames_keeps_its_level_where_free_relabelling_does_not() -> None:
    frames = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    is_test = np.array([1, 1, 1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)  # unbalanced over frames
    within, free = wording_design(is_test, frames), wording_design(is_test, None)
    draws = np.random.default_rng(4)
    false, found = np.zeros(2), np.zeros(2)
    sets = 200
    for index in range(sets):
        of_frame = 3 * draws.normal(size=2)[frames] + draws.normal(size=10)
        for place, design in enumerate((within, free)):
            for effect, tally in ((0.0, false), (8.0, found)):
                means = (of_frame + effect * is_test)[:, None] / 100
                none = np.zeros((0, 1))
                p = randomise(
                    RoleMeans(none, means, none), design,
                    alpha=ALPHA, flips="auto", seed=index, running=Running(1),
                )[2].p  # fmt: skip
                tally[place] += p[0] <= ALPHA
    assert stats.binom.sf(false[0] - 1, sets, ALPHA) > 1e-3
    assert stats.binom.sf(false[1] - 1, sets, ALPHA) < 1e-4
    assert found[0] > 0.5 * sets


def test_sign_flips_of_items_alone_are_no_test_of_the_role(level: ModuleType) -> None:
    population = level.Population("normal", 0.0, 6, 6, 20)
    share = 0.0
    for index in range(20):
        _, means = next(level.simulated(population, UNITS, np.random.default_rng([5, index])))
        share += (sign_flip_test(means.items, flips=500).p <= ALPHA).mean() / 20
    assert share > 0.5
