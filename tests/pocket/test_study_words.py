"""The pocket model was trained on the very words of the study's configuration."""

from __future__ import annotations

import pytest

from otherview.models.cost import image_tokens
from otherview.models.hub import cached_folder
from otherview.models.weights import load_tokenizer
from otherview.pocket import words
from otherview.pocket.creatures import PHRASES
from otherview.study.compose import compose_study
from otherview.study.prompts import study_prompts, token_places


def test_creatures_and_scene_are_those_of_the_study() -> None:
    study = compose_study(["+experiment=kitchen"])
    assert list(PHRASES) == study.creatures.items
    assert study.scenery[0].prompt == words.SCENE


@pytest.mark.parametrize(
    ("templates", "test", "control"),
    [
        ("viewpoint", [words.PUBLISHED["view"]], [words.PUBLISHED["mention"]]),
        ("matched", [words.MATCHED["view"]], [words.MATCHED["mention"]]),
        ("nouns", words.noun_wordings("view"), words.noun_wordings("mention")),
        ("paraphrases", words.PARAPHRASES["view"], words.PARAPHRASES["mention"]),
    ],
)
def test_wordings_are_those_of_the_study(
    templates: str, test: list[str], control: list[str]
) -> None:
    study = compose_study(["+experiment=kitchen", f"templates={templates}"])
    assert study.templates.test == list(test)
    assert study.templates.control == list(control)


@pytest.mark.parametrize(
    ("templates", "placebo", "role"),
    [("placebo_mention", "control", "mention"), ("placebo_viewpoint", "test", "view")],
)
def test_a_placebo_has_two_trained_wordings_of_one_role(
    templates: str, placebo: str, role: words.Role
) -> None:
    found = compose_study(["+experiment=kitchen", f"templates={templates}"]).templates
    assert found.placebo == placebo
    both = {*found.test, *found.control}
    assert len(both) == 2
    assert both <= set(words.wordings(role)) - {words.HELD_OUT_WORDING[role]}


def test_placebo_is_the_placebo_of_mentions() -> None:
    short, whole = (
        compose_study(["+experiment=kitchen", f"templates={name}"]).templates
        for name in ("placebo", "placebo_mention")
    )
    assert short == whole


@pytest.mark.parametrize("templates", ["matched", "nouns", "placebo_mention", "placebo_viewpoint"])
def test_matched_wordings_have_equal_counts_and_the_creature_at_one_place(templates: str) -> None:
    study = compose_study(["+experiment=kitchen", "model=pocket", f"templates={templates}"])
    folder = cached_folder(study.model)
    assert folder is not None
    prompts = study_prompts(study).prompts
    places = token_places(load_tokenizer(folder), prompts, study.model.text_positions)
    by_item = {(prompt.item, place) for prompt, place in zip(prompts, places, strict=True)}
    assert len(by_item) == len(study.creatures.items)


@pytest.mark.parametrize("model", ["pocket", "pocket_random", "pocket_mention_only"])
def test_every_checkpoint_is_a_model_of_the_study(model: str) -> None:
    study = compose_study(["+experiment=kitchen", f"model={model}"])
    assert study.model.name == model
    assert study.scenery[0].name == "pocket_kitchen"
    assert image_tokens(study.model, [(64, 64)]).target == 64
    assert cached_folder(study.model) is not None
