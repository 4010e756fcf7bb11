"""The pocket model with a few creatures, ready to be edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from otherview.passes.denoising import Denoiser
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
def denoiser(short_study: Study, short_session: Session) -> Callable[..., Denoiser]:
    """Makes a denoiser of the short study: `denoiser(steps=2, guidance_scale=4.0)`."""

    def make(**settings: Any) -> Denoiser:
        calls = short_session.calls(short_study, guided=True)
        return Denoiser(calls, batch_size=3, **settings)

    return make
