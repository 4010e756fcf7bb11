from typing import Any

import pytest

from otherview.pocket.creatures import PHRASES
from otherview.pocket.words import (
    HELD_OUT_WORDING,
    MATCHED,
    NOUNS,
    ROLES,
    noun_wordings,
    prompts,
    wordings,
)
from pocket_training import networks


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return networks.tokenizer()


def test_each_noun_is_one_token(tokenizer: Any) -> None:
    for noun in (*NOUNS["view"], *NOUNS["mention"], "viewpoint", "addition"):
        assert len(tokenizer(f" {noun}").input_ids) == 1, noun


def test_matched_wordings_differ_in_words_not_in_counts(tokenizer: Any) -> None:
    for pair in (
        (MATCHED["view"], MATCHED["mention"]),
        *zip(*map(noun_wordings, ROLES), strict=True),
    ):
        counts = {
            tuple(len(tokenizer(part).input_ids) for part in wording.split("{creature}"))
            for wording in pair
        }
        assert len(counts) == 1, pair


def test_every_wording_names_the_creature_once_and_ends_without_a_full_stop() -> None:
    for role in ROLES:
        assert len(set(wordings(role))) == len(wordings(role))
        for wording in wordings(role):
            assert wording.count("{creature}") == 1
            assert not wording.endswith(".")


def test_a_tenth_of_the_combinations_and_one_wording_of_each_role_are_never_trained() -> None:
    every = list(prompts())
    for role in ROLES:
        held = wordings(role).index(HELD_OUT_WORDING[role])
        rest = [p for p in every if p.role == role and p.wording != held]
        assert not any(p.trained for p in every if p.role == role and p.wording == held)
        assert 0.08 < sum(not p.trained for p in rest) / len(rest) < 0.12
        for creature in range(len(PHRASES)):
            assert sum(p.trained for p in rest if p.creature == creature) > 10
