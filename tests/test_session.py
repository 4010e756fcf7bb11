"""One loaded model for many studies: nothing is made twice, and no result depends on the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otherview.models import denoiser_loading, weights
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session, reference_name
from otherview.study import Study
from otherview.study.compose import compose_study
from tests.conftest import SHORT, THREE_CREATURES


@pytest.fixture(autouse=True)
def cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for every test."""
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of a model was loaded."""
    counts: Counter[str] = Counter()
    for part in ("load_text_encoder", "load_image_side", "load_tokenizer"):
        place = weights if part == "load_tokenizer" else denoiser_loading
        load = getattr(place, part)

        def counted(*arguments: Any, load: Any = load, part: str = part) -> Any:
            counts[part] += 1
            return load(*arguments)

        monkeypatch.setattr(place, part, counted)
    return counts


def drawn_study(*overrides: str) -> Study:
    """A study whose reference image the pocket model draws."""
    scene = ("scene=kitchen", "scene.steps=1", "scene.guidance_scale=1")
    return compose_study(
        ["+experiment=kitchen", "model=pocket", THREE_CREATURES, *scene, *overrides]
    )


def test_expected_studies_load_every_part_once_and_keep_their_bits(
    small_study: Study, small_measurement: Measurement, loads: Counter[str]
) -> None:
    matched = compose_study(
        [
            "+experiment=kitchen",
            "model=pocket",
            SHORT,
            THREE_CREATURES,
            "templates=matched",
            "seed=1",
        ]
    )
    session = Session(small_study.model)
    session.expect([matched, small_study])
    stages: list[tuple[str, int, int]] = []
    measure(matched, lambda *stage: stages.append(stage), session)
    again = measure(small_study, session=session)
    assert loads == {"load_text_encoder": 1, "load_image_side": 1, "load_tokenizer": 1}
    assert ("encoding prompts", 9, 9) in stages  # three wordings, one of them in both studies
    np.testing.assert_array_equal(again.responses.energy, small_measurement.responses.energy)


def test_an_unexpected_study_is_encoded_when_it_comes(
    small_study: Study, loads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(small_study.model)
    measure(small_study, session=session)
    other = replace(small_study, templates=replace(small_study.templates, test=["as {creature}"]))
    measured = measure(other, session=session)
    assert loads["load_text_encoder"] == 2
    monkeypatch.setenv("OTHERVIEW_CACHE", "off")
    np.testing.assert_array_equal(measured.responses.energy, measure(other).responses.energy)


def test_encodings_beyond_the_limit_are_dropped_and_made_again(
    small_study: Study, small_measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otherview.models.encodings.MAX_BYTES", 0)
    session = Session(small_study.model)
    other = replace(small_study, templates=replace(small_study.templates, test=["as {creature}"]))
    session.expect([other, small_study])
    measure(other, session=session)
    again = measure(small_study, session=session)
    np.testing.assert_array_equal(again.responses.energy, small_measurement.responses.energy)


def test_a_reference_is_drawn_once_a_seed_and_shared_through_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, matched = drawn_study(), drawn_study("templates=matched")
    session = Session(study.model, tmp_path)
    (first,) = session.references(study).values()
    assert next(iter(session.references(matched).values())) is first
    assert next(iter(session.references(drawn_study("seed=1")).values())) is not first
    monkeypatch.setattr(
        "otherview.passes.session.draw_reference",
        lambda *_: pytest.fail("drawn a second time"),
    )
    (shared,) = Session(study.model, tmp_path).references(matched).values()
    (cached,) = Session(study.model).references(matched).values()
    np.testing.assert_array_equal(shared, first)
    np.testing.assert_array_equal(cached, first)


def test_a_session_refuses_a_study_of_another_model(small_study: Study) -> None:
    other = replace(small_study.model, path="otherview:pocket/checkpoints/pocket_random")
    with pytest.raises(ValueError, match="this session is of"):
        measure(replace(small_study, model=other), session=Session(small_study.model))


def test_a_drawn_reference_belongs_to_how_the_weights_are_loaded(small_study: Study) -> None:
    model = small_study.model
    loading = replace(model.loading, offload="group")
    others = [model, replace(model, loading=loading), replace(model, call={"guidance_scale": 2.0})]
    names = {
        reference_name(replace(small_study, model=each), small_study.scenery[0], "revision")
        for each in others
    }
    assert len(names) == 3
