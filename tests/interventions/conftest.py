"""The pocket model with a few creatures, ready to be edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from otherview.passes.denoising import Denoiser
from otherview.passes.session import Session
from otherview.programs import run_study
from otherview.results.reader import RunResult, read_result
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import PromptSet, study_prompts
from tests.conftest import Once

FOUR_CREATURES = "creatures.items=[an adult human,a cat,an owl,a fly]"


STEERED = (
    "+experiment=kitchen", "model=pocket", "templates=nouns", "capture=heads",
    "model.text_length=32", "nulls.wording_splits=1", "intervention=steer",
    "intervention.heads=listed", "intervention.addresses=[joint.1.image.3,single.1.2]",
    "intervention.singles=matched", "intervention.growth=0", "intervention.draws=4",
    "intervention.curve_draws=4", "intervention.pictures=2", "intervention.doses=[1.0,0.5]",
)  # fmt: skip
KEPT = "capture.keep=[energy,mean]"


def steered_study(*overrides: str) -> Study:
    """Six creatures under four nouns of each role."""
    study = compose_study([*STEERED, KEPT, *overrides])
    few, own = replace(study.creatures, items=study.creatures.items[::5]), study.templates
    templates = replace(own, test=own.test[:4], control=own.control[:4])
    return replace(study, creatures=few, templates=templates)


@pytest.fixture(scope="session")
def steered_run(once: Once) -> RunResult:
    """A run that keeps mean vectors and steers the gate and the head that carries the role."""
    found = read_result(once("steered", lambda folder: run_study(steered_study(), folder, {})))
    assert isinstance(found, RunResult)
    return found


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
