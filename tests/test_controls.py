"""A controlled study, end to end on the pocket model, and its figures against the responses."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray

import otherview
from otherview.analysis.analyse import analyse
from otherview.analysis.controls_summary import token_shares
from otherview.causes.choice import choose_heads
from otherview.models.sites import heads
from otherview.passes.measure import measure
from otherview.passes.session import Session
from otherview.results.reader import RunResult, read_result
from otherview.stats import SignFlipResult
from otherview.study import Controls, Templates
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.prompts import study_prompts
from tests.conftest import SHORT

FEW = "creatures.items=[a cat,an owl,an ant,a fly]"
FEW_EDITS = [f"intervention.{name}" for name in ("heads=strongest", "top=1", "draws=1", "growth=0",
                                             "singles=matched", "pictures=1")]  # fmt: skip
STUDY = ["+experiment=kitchen_controlled", "model=pocket", FEW, SHORT, *FEW_EDITS]
CONTROLLED = compose_study(STUDY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = compose_study([*STUDY, "nulls.label_shuffle=3"])
    written = tmp_path_factory.mktemp("controlled")
    otherview.run(study, written)
    return written


def test_every_control_leaves_tables_of_its_own(folder: Path) -> None:
    controls = json.loads((folder / "controls.json").read_text())
    kinds = {row["name"]: row["kind"] for row in controls["contrasts"]}
    assert kinds == {
        "nouns": "contrast",
        "viewpoint": "contrast",
        "matched": "contrast",
        "placebo_mention": "placebo",
        "placebo_viewpoint": "placebo",
    }
    for row in controls["contrasts"]:
        summary = json.loads((folder / row["folder"] / "summary.json").read_text())
        assert summary["contrast"]["test"] == row["test"]
        assert (
            summary["results"]["heads"]["published_reading"]["counts"][0]["observed"]
            == (row["results"]["heads"]["observed"])
        )
        intervals = summary["results"]["heads"]["difference_intervals"]
        assert row["results"]["heads"].get("margin") == intervals.get("margin")


def test_a_condition_of_several_contrasts_is_measured_once(
    folder: Path,
) -> None:
    session = Session(CONTROLLED.model)
    rows: list[int] = []
    session.pipeline.transformer.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["hidden_states"])), with_kwargs=True
    )
    measurement = measure(CONTROLLED, session=session)
    assert sum(rows) == 19 * 4, "24 wordings are written, of which 19 are distinct"
    with xarray.open_dataset(folder / "responses.nc") as stored:
        assert stored.sizes["condition"] == 19
        roles = stored["contrast_role"].sel(condition="viewpoint.test.0")
        assert dict(zip(stored["contrast"].values, roles.values, strict=True)) == {
            "nouns": "",
            "viewpoint": "test",
            "matched": "test",
            "placebo_mention": "",
            "placebo_viewpoint": "test",
        }
        assert stored["placebo"].values.tolist() == ["", "", "", "control", "test"]
        np.testing.assert_array_equal(stored.sum_of_squares, measurement.responses.energy)
    assert not list(folder.glob("controls/*/responses.nc"))


def test_a_contrast_says_what_it_says_when_it_is_a_study_of_its_own(folder: Path) -> None:
    alone = measure(CONTROLLED.asking("matched"))
    analysis = analyse(alone.responses, CONTROLLED.asking("matched"))["heads"]
    written = pl.read_parquet(folder / "controls" / "matched" / "heads.parquet")
    np.testing.assert_allclose(analysis.of(SignFlipResult).t, written["t"].to_numpy(), rtol=1e-3)
    summary = json.loads((folder / "controls" / "matched" / "summary.json").read_text())
    distances = alone.responses.text_distance.tolist()
    assert summary["text_axis"]["distances"] == pytest.approx(distances)
    result = read_result(folder / "controls" / "matched")
    assert isinstance(result, RunResult)
    np.testing.assert_allclose(result.differences.values, analysis.differences, atol=1e-5)


def test_an_intervention_takes_the_study_s_own_contrast(folder: Path) -> None:
    content = json.loads((folder / "interventions.json").read_text())
    own = measure(CONTROLLED.asking("nouns")).responses
    chosen = choose_heads(own, CONTROLLED).heads
    assert content["selection"]["heads"] == [head.address for head in chosen]
    assert content["specificity"]
    with pytest.raises(ValueError, match="belong to several contrasts"):
        _ = study_prompts(CONTROLLED).roles


def test_a_control_that_is_the_study_s_own_contrast_is_asked_once() -> None:
    study = compose_study([*STUDY, "templates=viewpoint"])
    assert list(study.contrasts) == ["viewpoint", "matched", "placebo_mention", "placebo_viewpoint"]
    own = ["templates=viewpoint", "templates.test=['seen by {creature}']"]
    assert "viewpoint" in compose_study([*STUDY, *own]).contrasts  # the control, next to the own
    with pytest.raises(StudyError, match=r"controls\.contrasts\.viewpoint has the name of the"):
        compose_study([*STUDY, *own, "name=viewpoint"])


def test_token_shares_split_the_change_of_the_mean_square(folder: Path) -> None:
    responses = measure(CONTROLLED.asking("viewpoint")).responses
    units = heads(responses.sites)
    shares = token_shares(responses, units)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(units)))
    with xarray.open_dataset(folder / "responses.nc") as stored:
        energy = stored["sum_of_squares"].sum("slice").mean(("item", "step"))
        pair = (energy.sel(condition=f"viewpoint.{role}.0").values for role in ("test", "control"))
    change = np.nan_to_num(np.abs(np.subtract(*pair)))
    assert change[1] > 0, "the pad tokens of the published pair change"
    text_only = next(i for i, unit in enumerate(units) if unit.site.stream == "text")
    assert shares[text_only, 2:].tolist() == [0, 0]


def test_selectivity_is_what_the_contrast_has_over_the_placebos(folder: Path) -> None:
    def size(name: str) -> np.ndarray:
        with xarray.open_dataset(folder / "responses.nc") as stored:
            rms = stored["head_rms"].sel(head_tokens="all", step=0).astype(float)
            roles = stored["contrast_role"].sel(contrast=name)
            test, control = (rms[:, (roles == role).values] for role in ("test", "control"))
            return np.asarray(np.abs(test.values - control.values)[:, 0])

    wanted = size("viewpoint") - (size("placebo_mention") + size("placebo_viewpoint")) / 2
    table = pl.read_parquet(folder / "controls_heads.parquet")
    selectivity = table["selectivity_viewpoint"].to_numpy()
    assert selectivity == pytest.approx(wanted.mean(0), rel=1e-4, abs=1e-6)
    assert "selectivity_placebo_mention" not in table.columns


def test_shuffled_labels_and_the_measured_axis_stand_in_the_summary(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    found = summary["results"]["heads"]
    assert found["label_shuffle"]["over"] == "wordings"
    assert found["label_shuffle"]["shuffles"] == 3
    assert summary["text_axis"]["distances"][0] == 0
    assert min(summary["text_axis"]["distances"][1:]) > 0
    assert found["text_distance"]["both"] <= found["text_distance"]["familywise"]


def test_the_name_of_a_control_cannot_leave_the_result() -> None:
    templates = Templates("up", ["the view of {creature}"], ["with {creature}"])
    with pytest.raises(StudyError, match=r"'\.\./up' names a file or folder"):
        Controls({"../up": templates})


def test_a_control_without_a_place_for_the_creature_is_refused_by_name() -> None:
    with pytest.raises(StudyError, match=r"controls, matched: templates\.test has no {creature}"):
        compose_study(
            [
                "+experiment=kitchen_controlled",
                "model=pocket",
                "controls.contrasts.matched.test=[Render a cat]",
            ]
        )


def test_wordings_that_are_not_matched_are_refused_before_weights_are_loaded() -> None:
    study = compose_study(["+experiment=kitchen", "model=pocket", "templates.matched=true", FEW])
    with pytest.raises(
        StudyError, match=r"with a cat in it' has 22 tokens and its item at 7, .* has 23 and 10"
    ):
        Session(study.model).check(study)
