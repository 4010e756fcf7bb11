"""A controlled study, end to end on the pocket model, and its figures against the responses."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray

from otherview.passes.session import Session
from otherview.run import run_study
from otherview.study import Controls, Templates
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError

FEW = "creatures.items=[a cat,an owl,an ant,a fly]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = compose_study(
        ["+experiment=kitchen_controlled", "model=pocket", FEW, "nulls.label_shuffle=3"]
    )
    written = tmp_path_factory.mktemp("controlled")
    run_study(study, written, {})
    return written


def test_every_control_leaves_a_result_of_its_own(folder: Path) -> None:
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


def test_token_shares_split_the_change_of_the_mean_square(folder: Path) -> None:
    from otherview.analysis.controls import control_studies
    from otherview.analysis.token_shares import token_shares
    from otherview.models.sites import heads
    from otherview.passes.measure import measure

    study = control_studies(compose_study(["+experiment=kitchen_controlled", "model=pocket", FEW]))[
        "viewpoint"
    ]
    responses = measure(study).responses
    units = heads(responses.sites)
    shares = token_shares(responses, units)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(units)))
    with xarray.open_dataset(folder / "controls/viewpoint/responses.nc") as stored:
        energy = stored["sum_of_squares"].sum("slice").mean("item").values
    change = np.nan_to_num(np.abs(energy[0] - energy[1]))
    assert change[1] > 0, "the pad tokens of the published pair change"
    text_only = next(i for i, unit in enumerate(units) if unit.site.stream == "text")
    assert shares[text_only, 2:].tolist() == [0, 0]


def test_selectivity_is_what_the_contrast_has_over_the_placebos(folder: Path) -> None:
    def size(name: str) -> np.ndarray:
        with xarray.open_dataset(folder / "controls" / name / "responses.nc") as stored:
            heads = stored["head_rms"].sel(head_tokens="all").values.astype(float)
        difference: np.ndarray = np.abs(heads[:, 0] - heads[:, 1])
        return difference

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
    with pytest.raises(StudyError, match=r"'\.\./up' names a folder"):
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
