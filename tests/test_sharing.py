"""What was registered before measurement, and what is published of a result."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi
from PIL import Image

from otherview.results.reader import ResultError, RunResult, SweepResult, read_result
from otherview.results.registration import (
    REGISTRATION,
    first_measured,
    keep_registration,
    read_registration,
    registration_figures,
    write_registration,
)
from otherview.results.state import Kind, state_of
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.differing_settings import differing_settings, flat
from otherview.study.errors import StudyError
from otherview.views.publishing import publish
from otherview.views.run_sentences import registered_differences, registration_sentence
from tests.conftest import THREE_CREATURES, Program
from tests.models.loopback_hub import Hub, folder_files, serving

STUDY = ("+experiment=kitchen", "model=pocket", THREE_CREATURES, "capture=heads", "nulls.flips=20",
         "scene.image=mine.png", "scene.prompt=null", "templates.expected=higher")  # fmt: skip
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


@pytest.fixture(scope="module")
def own_run(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study with a picture of its own was planned, registered and run."""
    cwd = tmp_path_factory.mktemp("sharing")
    Image.new("RGB", (64, 64), "white").save(cwd / "mine.png")
    planned = program("plan", *STUDY, "--register", "asked.json", cwd=cwd)
    assert planned.returncode == 0, planned.stderr
    end = ("registration=asked.json", "tracking=off", f"hydra.run.dir={cwd / 'out'}")
    done = program("run", *STUDY, *end, cwd=cwd)
    assert done.returncode == 0, done.stderr
    (cwd / "printed.txt").write_text(done.stdout)
    return cwd


def test_a_study_is_registered_by_its_plan_and_compared_by_its_run(own_run: Path) -> None:
    asked = json.loads((own_run / "asked.json").read_text())
    assert asked["contrasts"][0]["expected"] == "higher"
    assert asked["tests"][0]["alpha"] == 0.05
    assert "3 items give at best p = 0.25" in asked["finds"]
    said = "Registered before measurement, unchanged"
    assert said in " ".join((own_run / "printed.txt").read_text().split())
    assert said in (own_run / "out" / "report.html").read_text()


def test_a_registration_that_is_not_there_is_said(program: Program, tmp_path: Path) -> None:
    wrong = program("run", *STUDY[:3], "registration=no.json", cwd=tmp_path)
    assert "registration=no.json: No such file or directory" in wrong.stderr


def test_a_card_says_what_the_page_says_and_names_no_place_on_this_machine(
    program: Program, own_run: Path
) -> None:
    done = program("publish", str(own_run / "out"), "--license", "cc-by-4.0", cwd=own_run)
    assert done.returncode == 0, done.stderr
    published = own_run / "out" / "published"
    text = (published / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert {"config_name": "heads", "data_files": "heads.parquet"} in front["configs"]
    assert "**Registered before measurement, unchanged" in text
    assert "This study cannot show that any of 48 heads" in text
    assert "12,091" not in text  # of another study than this one of three creatures
    assert "It needs mine.png, whose hashes are in `summary.json`." in text
    for file in filter(Path.is_file, published.rglob("*")):
        assert str(own_run).encode() not in file.read_bytes(), file.name
    state = state_of(published)
    assert state.kind is Kind.WHOLE, state


def test_what_is_published_can_be_run_again(program: Program, own_run: Path) -> None:
    result = read_result(own_run / "out")
    assert isinstance(result, RunResult)
    publish(result, own_run / "again")
    words = ("--config-dir", "again", "+experiment=as_run", "--register", "again.json")
    done = program("plan", *words, cwd=own_run)
    assert done.returncode == 0, done.stderr
    settings = json.loads((own_run / "again.json").read_text())["settings"]
    found = [flat(each) for each in (settings, json.loads(json.dumps(result.settings)))]
    assert differing_settings(found) == []


def test_nothing_is_uploaded_unless_asked_and_everything_if_asked(
    program: Program, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Hub({})) as hub:
        monkeypatch.setattr("huggingface_hub.HfApi", partial(HfApi, hub.url, token="hf_test"))
        words = ("publish", str(own_run / "out"), "--out", "card")
        assert program(*words, cwd=own_run).returncode == 0
        assert not hub.created
        done = program(*words, "--push", "me/kitchen", cwd=own_run)
        assert f"uploaded  {hub.url}/datasets/me/kitchen" in done.stdout, done.stderr
        assert hub.created.get("visibility") == "private" or hub.created.get("private")
        assert set(hub.received) == set(folder_files(own_run / "card"))
        hub.refusal = (403, "")
        done = program(*words, "--push", "me/kitchen", cwd=own_run)
        assert "log in with a token that may write" in done.stderr
    done = program(*words, "--push", "me/kitchen", cwd=own_run)  # the server is gone
    assert f"me/kitchen was not uploaded to {hub.url}" in done.stderr
    done = program(*words, "--push", "kitchen", cwd=own_run)
    assert "--push kitchen: write USER/NAME" in done.stderr
    done = program(*words, "--public", cwd=own_run)
    assert "--public is for what is uploaded: add --push" in done.stderr


def test_a_notebook_shows_the_answer_and_figures(own_run: Path) -> None:
    result = read_result(own_run / "out")
    shown = result._repr_html_()
    assert "This study cannot show that any of 48 heads" in shown
    drawn = result.plot("head-map", "column")
    assert drawn.png.startswith(b"\x89PNG")
    assert "Each column is a block" in drawn._repr_html_()
    with pytest.raises(ResultError, match="no figure is called head_map"):
        result.plot("head_map")


def test_a_folder_with_other_files_is_not_overwritten(program: Program, own_run: Path) -> None:
    (own_run / "mine").mkdir()
    (own_run / "mine" / "README.md").write_text("my notes")
    done = program("publish", str(own_run / "out"), "--out", "mine", cwd=own_run)
    assert "mine holds other files: name another folder with --out" in done.stderr
    assert (own_run / "mine" / "README.md").read_text() == "my notes"


def test_a_combined_sweep_has_a_card(sweep_folder: Path, tmp_path: Path) -> None:
    result = read_result(sweep_folder)
    assert isinstance(result, SweepResult)
    assert publish(result, tmp_path / "card") == []
    text = (tmp_path / "card" / "README.md").read_text()
    assert "# Does the model hold an operation" in text
    assert "pocket\\_mention\\_only" in text or "pocket\\_random" in text


def test_a_placebo_has_no_expected_direction() -> None:
    with pytest.raises(StudyError, match="a placebo is expected to do nothing"):
        compose_study([*STUDY, "templates=placebo"])
