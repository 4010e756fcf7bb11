"""The pocket model with a few creatures, ready to be edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from otherview.models.scene import open_reference
from otherview.passes.denoising import Denoiser, Rendering
from otherview.passes.session import Session
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import PromptSet, study_prompts

FOUR_CREATURES = "creatures.items=[an adult human,a cat,an owl,a fly]"


@pytest.fixture(scope="session")
def short_study() -> Study:
    """Four creatures under the published pair of wordings, with as little padding as trained."""
    return compose_study(
        ["+experiment=kitchen", "model=pocket", "model.text_length=32", FOUR_CREATURES]
    )


@pytest.fixture(scope="session")
def short_prompts(short_study: Study) -> PromptSet:
    return study_prompts(short_study)


@pytest.fixture(scope="session")
def short_session(short_study: Study) -> Session:
    session = Session(short_study.model)
    session.encodings(short_study)
    session.empty_prompt(short_study)
    return session


@pytest.fixture
def denoiser(
    short_study: Study, short_session: Session, short_prompts: PromptSet
) -> Callable[..., Denoiser]:
    """Makes a denoiser of the short study: `denoiser(steps=2, guidance_scale=4.0)`."""

    def make(**settings: Any) -> Denoiser:
        assert short_study.scene.image is not None
        return Denoiser(
            short_session.pipeline,
            short_session.encodings(short_study),
            [prompt.item for prompt in short_prompts.prompts],
            open_reference(short_study.scene),
            Rendering(64, 64, 3, 0, "same", **settings),
            short_session.empty_prompt(short_study),
        )

    return make
