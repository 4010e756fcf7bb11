"""`import otherview` from a notebook: studies run, measured and read without the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra.errors import ConfigCompositionException

import otherview
from otherview.passes.measure import Measurement
from otherview.stats import SignFlipResult
from otherview.study.errors import StudyError


@pytest.fixture(scope="module")
def loaded() -> Any:
    from otherview.pocket.rendering import load

    return load("pocket")


def test_the_api_is_lazy_whole_and_described() -> None:
    for name in otherview.__all__:
        assert getattr(otherview, name).__doc__ or name == "__version__"
    assert dir(otherview) == sorted(otherview.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        attrgetter("runn")(otherview)


def test_a_study_is_composed_within_an_app_of_hydra(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("lr: 3\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        study = otherview.compose_study(["+experiment=kitchen", "model=pocket"])
        with pytest.raises(ConfigCompositionException):
            otherview.compose_study(["+experiment=kitchen", "sed=1"])
        assert hydra.compose("theirs") == {"lr": 3}
    assert study == otherview.compose_study(["+experiment=kitchen", "model=pocket"])


def test_the_function_run_is_never_replaced_by_the_program_of_its_name() -> None:
    with pytest.raises(ImportError, match="from otherview import run"):
        __import__("otherview.run")
    assert callable(otherview.run)


def test_a_run_of_a_loaded_pipeline_gives_the_numbers_of_its_weights_and_no_revision(
    small_study: otherview.Study, small_measurement: Measurement, loaded: Any, tmp_path: Path
) -> None:
    result = otherview.run(small_study, tmp_path / "result", pipeline=loaded)
    revision = result.summary["provenance"]["model_revision"]
    assert revision == "unknown: a Flux2KleinPipeline that was passed in"
    assert result.study == small_study
    assert json.loads((tmp_path / "result" / "status.json").read_text())["state"] == "finished"
    analyses = otherview.analyse(small_measurement.responses, small_study)
    assert analyses.keys() == result.units.keys() == {"heads", "slices16"}
    t = analyses["heads"].of(SignFlipResult).t
    np.testing.assert_allclose(result.heads["t"].to_numpy(), t, rtol=1e-2)


def test_a_pipeline_of_another_precision_is_refused(
    small_study: otherview.Study, loaded: Any
) -> None:
    other = replace(small_study, model=replace(small_study.model, dtype="bfloat16"))
    with pytest.raises(StudyError, match="passed in has float32: use"):
        otherview.measure(other, pipeline=loaded)


def test_autocast_is_refused_and_caches_nothing_of_its_precision(
    small_study: otherview.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path))
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(StudyError, match=r"torch\.autocast changes .* outside of its block"),
    ):
        otherview.measure(small_study)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_loaded_pipeline_is_taken_for_that_of_another(
    small_study: otherview.Study, loaded: Any
) -> None:
    from otherview.passes.session import Session

    one, other = (Session(small_study.model, pipeline=loaded) for _ in range(2))
    assert one.content() != other.content()
