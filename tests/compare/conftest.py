"""Results of made-up models, and the comparison of two of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otherview.analysis.analyse import analyse
from otherview.models.sites import heads
from otherview.passes.measure import Measurement
from otherview.results.compare import Comparison, compare
from otherview.results.reader import RunResult, read_result
from otherview.results.writing import write_analyses, write_measurement
from otherview.study import Study
from otherview.views.comparison_sentences import mismatch_sentences
from tests.test_analysis import kitchen, made_up

SIX = "creatures.items=[a cat,an owl,an ant,a fly,a moth,a bee]"
PLANTED = "joint.0.text.1"
"""Head whose role effect is made larger in one model."""


def small(*overrides: str) -> Study:
    return kitchen("capture=both", SIX, *overrides)


def scaled(measured: Measurement, head: str, factor: float) -> Measurement:
    """Return the measurement with the responses of a head to test wordings times `factor`."""
    responses = measured.responses
    (unit,) = (each for each in heads(responses.sites) if each.address == head)
    tests = list(responses.prompts.contrasts[0].test)
    energy = responses.energy.copy()
    own = slice(unit.first_slice, unit.last_slice)
    energy[:, tests, :, own] *= factor**2
    return replace(measured, responses=replace(responses, energy=energy))


def written(folder: Path, study: Study, measured: Measurement) -> RunResult:
    """Write a result that was made up, and read it."""
    folder.mkdir()
    write_measurement(folder, study, measured)
    own = measured.of()
    write_analyses(folder, study, own, analyse(measured.responses, study))
    result = read_result(folder)
    assert isinstance(result, RunResult)
    return result


def model(study: Study, **changed: Any) -> Study:
    return replace(study, model=replace(study.model, **changed))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    study = small()
    return written(tmp_path_factory.mktemp("base") / "base", study, made_up(study))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The same responses, but for one head that responds three times as much to the test role."""
    study = model(small(), name="tuned")
    measured = scaled(made_up(study), PLANTED, 3.0)
    return written(tmp_path_factory.mktemp("tuned") / "tuned", study, measured)


@pytest.fixture(scope="module")
def compared(tuned: RunResult, base: RunResult) -> Comparison:
    return compare(tuned, base)


def kinds(comparison: Comparison) -> set[str]:
    return {row["kind"] for row in comparison.content["mismatches"]}


def said(comparison: Comparison) -> str:
    return "\n".join(mismatch_sentences(comparison.content))
