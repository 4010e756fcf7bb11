"""Shuffled labels and held-out wordings, on data whose truth is known."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from otherview.stats import label_shuffle, wording_split

ROLES = ["test"] * 8 + ["control"] * 8
IS_TEST = np.array([role == "test" for role in ROLES])


def responses(seed: int, *, items: int = 16, units: int = 6, role_effect: float = 0) -> np.ndarray:
    """Every wording has its own effect on every unit, and unit 0 may follow the role."""
    draws = np.random.default_rng(seed)
    wordings = draws.normal(size=(1, 16, units))
    values = wordings + draws.normal(0, 0.3, size=(items, 16, units))
    values[:, :, 0] += role_effect * IS_TEST
    return values


def test_shuffled_wordings_are_called_at_the_nominal_rate_though_the_published_reading_calls() -> (
    None
):
    shuffled = label_shuffle(responses(1), ROLES, 200, seed=2)
    assert shuffled.over == "wordings"
    low, high = shuffled.interval
    assert low <= 0.05
    assert shuffled.rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert high < 0.15
    assert shuffled.published.mean() > 0.5 * shuffled.units


def test_one_pair_of_wordings_is_shuffled_within_its_pairs() -> None:
    values = responses(3)[:, [0, 8]]
    shuffled = label_shuffle(values, ["test", "control"], 100, seed=4)
    assert shuffled.over == "pairs"
    assert shuffled.rate <= 0.12
    assert shuffled.published.mean() < 0.1 * shuffled.units


def test_a_shuffle_that_calls_nothing_has_an_interval_from_zero() -> None:
    shuffled = label_shuffle(responses(1, units=1), ROLES, 5, alpha=0.001, seed=2)
    assert shuffled.called_any == 0
    assert shuffled.interval[0] == 0


def test_only_the_unit_that_follows_the_role_survives_on_held_out_wordings() -> None:
    values = responses(5, role_effect=6)
    found = wording_split(values, ROLES, 10, seed=6)
    assert found.discovered[:, 0].mean() >= 0.8
    assert found.confirmed[:, 0].mean() >= 0.7
    assert found.confirmed[:, 1:].mean() < 0.05
    assert found.survival is not None
    assert found.survival > 0.8


def test_the_halves_share_no_creature_and_no_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    values = responses(7, role_effect=6)
    seen: list[set[float]] = []

    module = import_module("otherview.stats.wording_split")
    plain = module.role_means

    def spy(part: np.ndarray, *arguments: Any) -> Any:
        seen.append(set(part[..., 0].ravel().tolist()))
        return plain(part, *arguments)

    monkeypatch.setattr(module, "role_means", spy)
    wording_split(values, ROLES, 1, seed=8)
    first, second = seen
    assert len(first) == 8 * 8
    assert not first & second


def test_scenes_are_a_sample_in_shuffles_and_halves() -> None:
    values = np.repeat(responses(5, role_effect=6)[:, :, None], 6, axis=2)
    values[..., 1:] += np.random.default_rng(6).normal(size=(6, values.shape[3] - 1))
    found = wording_split(values, ROLES, 4, seed=6)
    assert found.confirmed[:, 0].all()
    assert not found.confirmed[:, 1:].any()
    values[:, :8] += 20 * np.linspace(-1, 1, 6)[:, None]  # the role, on some scenes the other way
    assert not wording_split(values, ROLES, 2, seed=6).discovered.any()
    assert label_shuffle(values, ROLES, 5, seed=6).over == "wordings"


def test_too_few_wordings_to_halve_are_refused() -> None:
    few = [0, 1, 2, 3, 8, 9, 10, 11]
    with pytest.raises(ValueError, match=r"4 \+ 4 wordings; halves need 12 items and 8 wordings"):
        wording_split(responses(9)[:, few], ["test"] * 4 + ["control"] * 4)


def test_nothing_discovered_has_no_survival() -> None:
    assert wording_split(responses(10), ROLES, 1, seed=1).survival is None


def test_frames_are_kept_together_in_shuffles_and_halves() -> None:
    frames = np.repeat(np.arange(8), 2)
    is_test = np.tile([True, False], 8)
    draws = np.random.default_rng(11)
    values = 20 * draws.normal(size=(1, 8, 1)).repeat(2, axis=1) + 0.3 * draws.normal(
        size=(16, 16, 1)
    )
    values[:, is_test] += 3  # far below what frames differ by
    named = np.where(is_test, "test", "control")
    with pytest.raises(ValueError, match="halves need"):
        wording_split(values, named, 4, strata=frames, seed=1)
    found = wording_split(values, named, 4, strata=frames, alpha=0.15, seed=1)
    assert found.confirmed.all()  # halves of four frames: p is at best 2 / 2^4
    shuffled = label_shuffle(values, named, 40, strata=frames, seed=2)
    assert shuffled.over == "wordings"
    assert shuffled.rate < 0.2
