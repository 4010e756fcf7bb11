"""Contrasts of pictures, several scenes, and the studies that ship for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import draw_study_pictures
import otherview
from otherview.models.picture_files import opened
from otherview.models.sites import heads
from otherview.passes.measure import measure
from otherview.passes.pipeline_session import PipelineSession
from otherview.study import Study, Templates
from otherview.study.compose import compose_study
from otherview.study.contrast import Picture
from otherview.study.errors import StudyError
from otherview.views.report.page import write_report
from tests.conftest import SHORT

PICTURES = Path(otherview.__file__).parent / "pocket" / "pictures"
FALL = "otherview:pocket/pictures/fall1_{}.png"


def study(name: str, items: int = 6, *overrides: str) -> Study:
    made = compose_study([f"+experiment=kitchen_{name}", "model=pocket", SHORT, *overrides])
    return replace(made, creatures=replace(made.creatures, items=made.creatures.items[:items]))


@pytest.mark.parametrize("images", [["{before}"], ["{before}", "{after}"]])
def test_calls_with_pictures_are_those_of_the_pipeline(images: list[str]) -> None:
    again = "Render this kitchen again"
    templates = Templates(
        "order", [{"prompt": again, "image": images[::-1]}], [{"prompt": "Again", "image": images}]
    )
    falls = replace(study("falls", 2), templates=templates, controls=None)
    own = measure(falls).responses
    taken = measure(falls, session=PipelineSession(falls.model)).responses
    np.testing.assert_array_equal(own.tokens, taken.tokens)
    assert set(own.tokens[..., 3].flat) == {64 * len(images)}
    np.testing.assert_allclose(own.energy, taken.energy, rtol=2e-4)


NAMES = ("before", "after")


def test_placebos_of_a_picture() -> None:
    before, after = (np.asarray(opened(Picture(FALL.format(n)), 0), float) for n in NAMES)
    mirrored = opened(Picture(FALL.format("before"), mirrored=True), 0)
    assert mirrored == ImageOps.mirror(opened(Picture(FALL.format("before")), 0))
    noisy = Picture(FALL.format("before"), noise=FALL.format("after"))
    added = np.asarray(opened(noisy, 0), float) - before
    wanted = np.sqrt(np.mean((after - before) ** 2))
    assert np.sqrt(np.mean(added**2)) == pytest.approx(wanted, rel=0.1)  # some are clipped
    assert opened(noisy, 0) != opened(noisy, 1)


def test_pictures_of_another_size_or_none_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (64, 96)).save(tmp_path / "tall.png")
    falls = study("falls")
    other = {"prompt": "Render this kitchen again", "image": str(tmp_path / "tall.png")}
    tall = {"prompt": "Render {name} again", "image": str(tmp_path / "tall.png")}
    templates = replace(falls.templates, test=[tall])
    with pytest.raises(StudyError, match=r"differ in size between wordings: .*64 x 96 pixels"):
        measure(replace(falls, templates=templates))
    with pytest.raises(StudyError, match=r"templates.test has no \{name\}"):
        replace(falls, templates=replace(falls.templates, test=[other]))
    missing = {"prompt": "Render {name} again", "image": str(tmp_path / "none.png")}
    with pytest.raises(StudyError, match=r"none.png does not exist"):
        measure(replace(falls, templates=replace(falls.templates, test=[missing])))


def test_a_study_of_pictures_runs_and_shows_its_pairs(tmp_path: Path) -> None:
    made = study("falls")
    result = otherview.run(made, tmp_path)
    assert result.summary["pictures"]["test"]["brightness"] == pytest.approx(170, abs=5)
    assert "One picture per item" in result.summary["role_note"]
    assert len(result.summary["provenance"]["inputs"]) >= 12
    with Image.open(tmp_path / "pictures.png") as sheet:
        assert sheet.size == (6 * 132 - 4, 2 * 132 - 4)
    assert not (tmp_path / "reference.png").exists()
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "one row per wording" in page
    assert result.controls is not None
    placebos = {contrast["name"] for contrast in result.controls["contrasts"][1:]}
    assert placebos == {"mirrored", "noise"}


def test_a_study_with_two_attributes_reports_its_groups(tmp_path: Path) -> None:
    made = study("company", 8)
    made = replace(made, creatures=replace(made.creatures, items=made.creatures.items[1:7]))
    result = otherview.run(made, tmp_path)
    found = result.summary["results"]["heads"]
    assert found["strata"]["strata"] == {"eyes": 3, "compound eyes": 3}
    assert found["strata"]["permutations"] == 20
    assert "By group of items" in write_report(tmp_path).read_text(encoding="utf-8")


def test_each_scene_is_measured_as_it_is_alone() -> None:
    made = study("scenes", 2, "templates=viewpoint")
    alone = [measure(replace(made, scene=scene, scenes={})).responses for scene in made.scenery]
    together = measure(made).responses
    assert together.prompts.scenes == ("beige", "cream", "teal")
    for place, responses in enumerate(alone):
        np.testing.assert_allclose(together.energy[:, place::3], responses.energy, rtol=1e-4)
    every = heads(together.sites)
    mean = np.mean([each.differences(every) for each in alone], axis=0)
    np.testing.assert_allclose(together.differences(every), mean, rtol=1e-3, atol=1e-6)
    by_scene = together.prompts.by_scene(together.read(every))
    np.testing.assert_array_equal(by_scene[:, 1, 2], together.read(every)[:, 5])


def test_scenes_are_a_sample_of_the_role_test(tmp_path: Path) -> None:
    made = study("scenes")
    result = otherview.run(made, tmp_path / "sample")
    role = result.summary["results"]["heads"]["role_test"]
    assert role["scenes"] == 3
    assert result.summary["scenes"] == {"names": ["beige", "cream", "teal"], "are": "sample"}
    with Image.open(tmp_path / "sample" / "scenes.png") as sheet:
        assert sheet.size == (3 * 132 - 4, 128)
    page = write_report(tmp_path / "sample").read_text(encoding="utf-8")
    assert "holds over scenes like these" in page
    strata = otherview.run(replace(made, scenes_are="strata"), tmp_path / "strata")
    assert "scenes" not in strata.summary["results"]["heads"]["role_test"]


def test_shipped_pictures_are_those_that_the_script_draws() -> None:
    drawn = draw_study_pictures.pictures()
    assert {file.stem for file in PICTURES.glob("*.png")} == set(drawn)
    for name, picture in drawn.items():
        with Image.open(PICTURES / f"{name}.png") as shipped:
            difference = np.abs(
                np.asarray(shipped, int) - np.asarray(draw_study_pictures.as_image(picture), int)
            )
        assert difference.max() <= 1, name  # another processor may round otherwise
