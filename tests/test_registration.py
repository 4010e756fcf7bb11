"""What was registered before measurement, and what a result says of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otherview.results.registration import (
    REGISTRATION,
    first_measured,
    keep_registration,
    read_registration,
    registration_figures,
    write_registration,
)
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.views.registration_sentences import registered_differences, registration_sentence
from tests.conftest import THREE_CREATURES, Program

STUDY = ("+experiment=kitchen", "model=pocket", THREE_CREATURES, "capture=heads", "nulls.flips=20",
         "templates.expected=higher")  # fmt: skip
LATER, EARLIER = "2100-01-01T00:00:00+00:00", "2000-01-01T00:00:00+00:00"


@pytest.fixture
def registered(tmp_path: Path, small_study: Study) -> Path:
    """A folder in which `small_study` was registered."""
    write_registration(tmp_path / "asked.json", small_study, "12345678", {"finds": "little"})
    keep_registration(tmp_path / "asked.json", tmp_path)
    return tmp_path


def said(folder: Path, study: Study, inputs: dict[str, Any], began: str) -> str:
    figures = registration_figures(folder, study, inputs, began)
    return registration_sentence({"registration": figures}) or ""


def inputs_of(folder: Path) -> dict[str, Any]:
    return dict(read_registration(folder / REGISTRATION)["inputs"])


def test_the_registered_study_is_said_to_be_unchanged(registered: Path, small_study: Study) -> None:
    sentence = said(registered, small_study, inputs_of(registered), LATER)
    assert sentence.startswith("Registered before measurement, unchanged (registered 20")


def test_measuring_first_is_said(registered: Path, small_study: Study) -> None:
    sentence = said(registered, small_study, inputs_of(registered), EARLIER)
    assert sentence.startswith("Unchanged, but registered only after measuring had begun on 2000-")


def test_another_study_is_said_to_differ(registered: Path, small_study: Study) -> None:
    other = replace(small_study, seed=3)
    figures = registration_figures(registered, other, inputs_of(registered), LATER)
    assert figures is not None
    assert "it differs in seed." in (registration_sentence({"registration": figures}) or "")
    assert registered_differences({"registration": figures}) == ["seed: registered 0, run 3"]


def test_another_picture_under_the_same_path_is_a_difference(
    registered: Path, small_study: Study
) -> None:
    inputs = inputs_of(registered)
    inputs["scene.image"] = {**inputs["scene.image"], "content": "sha256:other"}
    assert "content of scene.image" in said(registered, small_study, inputs, LATER)


def test_the_same_picture_under_another_path_is_none(registered: Path, small_study: Study) -> None:
    scene = replace(small_study.scenery[0], image="/elsewhere/kitchen.png")
    moved = replace(small_study, scene=scene)
    assert "unchanged" in said(registered, moved, inputs_of(registered), LATER)


def test_a_registration_that_was_edited_is_refused(registered: Path) -> None:
    file = registered / "asked.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(StudyError, match=r"asked\.json was changed after it was written"):
        keep_registration(file, registered)


def test_a_registration_is_written_once(registered: Path, small_study: Study) -> None:
    with pytest.raises(StudyError, match="a registration is written once"):
        write_registration(registered / "asked.json", small_study, "12345678", {})


def test_an_earlier_result_in_the_folder_counts_as_measured(tmp_path: Path) -> None:
    now = first_measured(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    assert first_measured(tmp_path) >= now
    os.utime(tmp_path / "summary.json", (0, 0))
    assert first_measured(tmp_path).startswith("1970-")


def test_a_study_is_registered_by_its_plan_and_compared_by_its_run(
    program: Program, tmp_path: Path
) -> None:
    planned = program("plan", *STUDY, "--register", "asked.json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked["contrasts"][0]["expected"] == "higher"
    assert asked["tests"][0]["alpha"] == 0.05
    assert "3 items give at best p = 0.25" in asked["finds"]
    done = program(
        "run", *STUDY, "registration=asked.json", "tracking=off", "hydra.run.dir=out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Registered before measurement, unchanged" in " ".join(done.stdout.split())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Registered before measurement, unchanged" in page
    wrong = program("run", *STUDY, "registration=no.json", cwd=tmp_path)
    assert "registration=no.json: No such file or directory" in wrong.stderr


def test_a_placebo_has_no_expected_direction() -> None:
    with pytest.raises(StudyError, match="a placebo is expected to do nothing"):
        compose_study([*STUDY, "templates=placebo"])
