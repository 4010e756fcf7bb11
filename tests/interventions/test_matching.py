"""Random sets: what they share with the given one, and the p that they give."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otherview.causes.matching_sets import (
    closest_level,
    matching_group,
    permutation_p,
    random_sets,
)
from otherview.causes.verdicts import SENTENCES, VERDICTS, change_verdict, toward_verdict
from otherview.models.sites import Unit, heads, hook_sites

POCKET = heads(
    hook_sites(
        {
            "_class_name": "Flux2Transformer2DModel",
            "num_layers": 2,
            "num_single_layers": 4,
            "num_attention_heads": 6,
            "attention_head_dim": 16,
            "mlp_ratio": 3.0,
        }
    )
)


def units(*addresses: str) -> list[Unit]:
    return [next(unit for unit in POCKET if unit.address == address) for address in addresses]


def test_few_matching_sets_are_all_taken() -> None:
    chosen = units("single.1.2", "single.1.4", "joint.0.image.3")
    found = random_sets(chosen, POCKET, draws=1000, alpha=0.05, seed=0)
    expected = {
        frozenset((f"single.1.{one}", f"single.1.{two}", f"joint.0.image.{three}"))
        for one, two in itertools.combinations(range(6), 2)
        for three in range(6)
    } - {frozenset(unit.address for unit in chosen)}
    assert found.exact
    assert found.level == "site"
    assert {frozenset(drawn) for drawn in found.sets} == expected
    assert len(found.sets) == len(expected)


@given(st.sets(st.sampled_from(range(len(POCKET))), min_size=1, max_size=8), st.integers(0, 99))
def test_drawn_sets_take_as_many_heads_of_every_group(places: set[int], seed: int) -> None:
    chosen = [POCKET[place] for place in sorted(places)]
    found = random_sets(chosen, POCKET, draws=5, alpha=0.05, seed=seed)

    def groups(addresses: tuple[str, ...]) -> Counter[str]:
        return Counter(matching_group(unit, found.level) for unit in units(*addresses))

    wanted = groups(tuple(unit.address for unit in chosen))
    assert all(groups(drawn) == wanted for drawn in found.sets)
    assert all(len(set(drawn)) == len(chosen) for drawn in found.sets)


@pytest.mark.parametrize(
    ("chosen", "level"),
    [
        (["single.1.2"], "stream"),  # a site of six heads allows no p of 0.05
        (["joint.1.image.2"], "path"),
        (["single.1.0", "single.1.1", "single.1.2"], "site"),
        (["single.1.0", "single.1.1", "single.1.2", "single.1.3"], "stream"),  # shares most
    ],
)
def test_the_match_is_as_close_as_a_fair_null_allows(chosen: list[str], level: str) -> None:
    assert closest_level(units(*chosen), POCKET, alpha=0.05) == level


def test_p_counts_the_observed_value_among_the_random_ones() -> None:
    assert permutation_p(0.5, [0.1, 0.2, 0.5, 0.9]) == 3 / 5
    assert permutation_p(0.5, [0.1, 0.2, 0.5, 0.9], larger=False) == 4 / 5


@pytest.mark.parametrize(
    ("differs", "change", "words"),
    [
        (True, (0.8, 0.1), "differs and does"),
        (True, (0.8, 0.6), "differs and does for both roles"),
        (False, (0.2, 0.6), "does not differ, yet does for the other role"),
        (True, (0.04, 0.03), "differs, does nothing"),
        (None, (0.8, 0.1), "does"),
    ],
)
def test_an_ablation_is_judged_by_change_and_specificity(
    differs: bool | None, change: tuple[float, float], words: str
) -> None:
    found = change_verdict(differs, change)
    assert found.key == words
    assert VERDICTS[words] == found
    assert found.positive == (words == "differs and does")


@pytest.mark.parametrize(
    ("toward", "words", "positive"),
    [
        ((0.95, 0.81), "differs and carries the role both ways", True),  # joint.1.image.3
        ((0.73, 0.007), "differs and is needed, does not carry the role", True),  # the gate
        ((0.1, 0.8), "differs and carries the role one way", True),
        ((0.1, -0.1), "differs, does not carry the role", False),
    ],
)
def test_a_patch_is_judged_by_the_way_to_the_other_role(
    toward: tuple[float, float], words: str, *, positive: bool
) -> None:
    found = toward_verdict(True, toward)
    assert (found.key, found.positive) == (words, positive)
    assert found.effect in SENTENCES
