"""The combined result of a sweep, from outside: against direct computation, and with damage."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xarray
from numpy.testing import assert_allclose, assert_array_equal
from omegaconf import OmegaConf
from polars.testing import assert_frame_equal
from rich.console import Console

from otherview.analysis.analyse import analyse
from otherview.passes.measure import measure
from otherview.results.status import write_status
from otherview.results.writing import write_analyses, write_measurement
from otherview.stats import role_test, sign_flip_test, variance_components
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.sweep.combine import combine
from otherview.views.console import print_summary
from otherview.views.sweep_tables import print_combined
from tests.conftest import SHORT
from tests.damages import DAMAGES, WHOLE, cut

ITEMS = ["a cat", "an owl", "an ant", "a fly"]
FOUR = f"creatures.items=[{','.join(ITEMS)}]"
POINTS = [
    ("pocket", "viewpoint", 0),
    ("pocket", "viewpoint", 1),
    ("pocket", "nouns", 0),
    ("pocket", "nouns", 1),
    ("pocket", "placebo", 0),
    ("pocket_random", "viewpoint", 0),
]


def write_point(folder: Path, overrides: list[str]) -> None:
    """Measure and write a finished point of the kitchen study."""
    study = compose_study(["+experiment=kitchen", SHORT, "nulls.splits=2", *overrides])
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.structured(study), folder / ".hydra" / "config.yaml")
    measurement = measure(study)
    write_measurement(folder, study, measurement)
    write_analyses(folder, study, measurement, analyse(measurement.responses, study))
    write_status(folder, "finished")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six finished points of pocket with four creatures."""
    directory = tmp_path_factory.mktemp("sweep")
    for number, (model, templates, seed) in enumerate(POINTS):
        write_point(
            directory / f"{model}-{templates}-seed{seed}-{number:08x}",
            [f"model={model}", f"templates={templates}", f"seed={seed}", FOUR],
        )
    return directory


@pytest.fixture(scope="module")
def combined(sweep: Path) -> dict[str, Any]:
    return combine(sweep)


def pocket(combined: dict[str, Any]) -> dict[str, Any]:
    """The group of the model that is no null model."""
    (group,) = (group for group in combined["groups"] if group["model"] == "pocket")
    return dict(group)


def responses(sweep: Path, templates: str, seed: int) -> xarray.DataArray:
    """Head responses of a point of pocket, `[item, condition, head]`."""
    (folder,) = sweep.glob(f"pocket-{templates}-seed{seed}-*")
    with xarray.open_dataset(folder / "responses.nc") as dataset:
        rms: xarray.DataArray = dataset.head_rms.sel(head_tokens="all", step=0).astype(float).load()
        return rms


def differences(sweep: Path, templates: str, seed: int) -> np.ndarray:
    rms = responses(sweep, templates, seed)
    return np.asarray(
        rms.sel(condition=rms.role == "test").mean("condition")
        - rms.sel(condition=rms.role == "control").mean("condition")
    )


def to_rounding(content: object) -> object:
    """The same with every number to twelve digits: sums are taken in another order."""
    return json.loads(json.dumps(content), parse_float=lambda text: f"{float(text):.12g}")


def rows(sweep: Path, combined: dict[str, Any], **of: str) -> pl.DataFrame:
    table = pl.read_parquet(sweep / "combined_heads.parquet")
    return table.filter(group=pocket(combined)["id"], **of)


def test_items_are_the_blocks_and_seeds_add_none(sweep: Path, combined: dict[str, Any]) -> None:
    found = rows(sweep, combined, kind="contrast", templates="viewpoint")
    both = np.concatenate([differences(sweep, "viewpoint", seed) for seed in (0, 1)])
    direct = sign_flip_test(both, blocks=np.tile(ITEMS, 2))
    assert_allclose(found["t"], direct.t, rtol=1e-3)
    assert_array_equal(found["p"], direct.p)
    assert_array_equal(found["p_stepdown"], direct.p_stepdown)
    test = pocket(combined)["results"]["heads"]["contrasts"][1]
    assert (test["templates"], test["seeds"], test["pairs"], test["blocks"]) == (
        "viewpoint", 2, 8, 4,
    )  # fmt: skip
    assert test["smallest_p"] == 1 / 8
    assert_allclose(
        np.array(found["difference_by_item"].to_list()), direct_mean(both, 2).T, rtol=1e-3
    )


def direct_mean(stacked: np.ndarray, seeds: int) -> np.ndarray:
    return np.asarray(stacked.reshape(seeds, len(ITEMS), -1).mean(axis=0))


def test_the_pooled_test_and_the_conjunction(sweep: Path, combined: dict[str, Any]) -> None:
    pooled = rows(sweep, combined, kind="pooled")
    cells = [differences(sweep, name, seed) for name in ("nouns", "viewpoint") for seed in (0, 1)]
    assert_allclose(pooled["t"], sign_flip_test(np.mean(cells, axis=0)).t, rtol=1e-3)
    each = [
        rows(sweep, combined, kind="contrast", templates=name) for name in ("nouns", "viewpoint")
    ]
    same = np.sign(each[0]["t"].to_numpy()) == np.sign(each[1]["t"].to_numpy())
    largest = np.maximum(*(table["p_stepdown"].to_numpy() for table in each))
    assert_array_equal(pooled["p_in_every_template"].fill_null(9.0), np.where(same, largest, 9.0))
    assert 0 < same.sum() < len(same)


def test_the_variance_split_is_that_of_the_cells(sweep: Path, combined: dict[str, Any]) -> None:
    pooled = rows(sweep, combined, kind="pooled")
    cells = np.stack(
        [
            np.stack([differences(sweep, name, seed) for seed in (0, 1)], axis=1)
            for name in ("nouns", "viewpoint")
        ],
        axis=1,
    )
    direct = variance_components(cells, ("item", "template", "seed"))
    for effect, component in direct.components.items():
        found = pooled[f"variance_{effect.replace(':', '_')}"].to_numpy()
        assert_allclose(found, component, rtol=1e-2, atol=1e-5 * cells.var())
    variance = pocket(combined)["results"]["heads"]["variance"]
    assert variance["levels"] == {"item": 4, "template": 2, "seed": 2}
    assert set(variance["shares"]) == {effect.replace(":", "_") for effect in direct.components}


def test_maps_agree_as_their_correlations_say(sweep: Path, combined: dict[str, Any]) -> None:
    agreement = pocket(combined)["results"]["heads"]["agreement"]
    table = pl.read_parquet(sweep / "sweep.parquet").filter(unit_set="heads", templates="viewpoint")
    maps = [
        table.filter(seed=seed, group=pocket(combined)["id"])["t"].to_numpy() for seed in (0, 1)
    ]
    (found,) = (row for row in agreement["between_seeds"] if row["templates"] == "viewpoint")
    assert found["pairs"] == 1
    assert found["pearson"]["mean"] == pytest.approx(np.corrcoef(maps)[0, 1])
    pairs = {(row["one"], row["other"]): row for row in agreement["between_templates"]}
    t = [
        rows(sweep, combined, templates=name)["t"].to_numpy()
        for name in ("viewpoint", "placebo_mention")
    ]
    row = pairs["viewpoint", "placebo_mention"]
    assert row["placebo"]
    assert row["pearson"] == pytest.approx(np.corrcoef(t)[0, 1])


def test_the_role_test_takes_the_wordings_of_all_contrasts_and_relabels_within_each(
    sweep: Path, combined: dict[str, Any]
) -> None:
    of_sweep = [
        xarray.concat([responses(sweep, name, seed) for seed in (0, 1)], "seed").mean("seed")
        for name in ("nouns", "viewpoint")
    ]
    values = np.concatenate([np.asarray(each) for each in of_sweep], axis=1)
    roles = np.concatenate([each.role.values for each in of_sweep])
    strata = ["nouns"] * 16 + ["viewpoint"] * 2
    direct = role_test(values, roles, strata=strata)
    pooled = rows(sweep, combined, kind="pooled")
    assert_allclose(pooled["role_t"], direct.t, rtol=1e-3)
    free = role_test(values, roles)
    assert np.abs(pooled["role_t"].to_numpy() / free.t - 1).max() > 0.05
    # Other randomisations are drawn where wordings come in another order.
    monte_carlo = 4 * np.sqrt(0.25 / direct.n_randomisations)
    assert_allclose(pooled["role_p_maxt"], direct.p_maxt, atol=monte_carlo)
    found = pocket(combined)["results"]["heads"]["role_test"]
    assert found["wordings"] == {"test": 9, "control": 9}
    assert len(found["written"]["test"]) == 9
    assert found["relabellings"] == 2 * 12_870
    assert found["strata"] == [
        {"templates": "nouns", "test": 8, "control": 8},
        {"templates": "viewpoint", "test": 1, "control": 1},
    ]
    assert (
        "within each template and frame (2 strata)"
        in pocket(combined)["generalises"][1]["sentence"]
    )
    answers = {row["over"]: row["answer"] for row in pocket(combined)["generalises"]}
    assert answers == {
        "items": "not tested", "wordings": "tested", "seeds": "described",
        "scenes": "not tested", "models": "not tested",
    }  # fmt: skip
    assert "4 items give at best p = 0.125" in pocket(combined)["generalises"][0]["sentence"]


def test_selectivity_is_an_item_s_contrast_beyond_its_placebo(
    sweep: Path, combined: dict[str, Any]
) -> None:
    found = rows(sweep, combined, kind="contrast", templates="viewpoint")
    contrast, placebo = (np.abs(differences(sweep, name, 0)) for name in ("viewpoint", "placebo"))
    by_item = np.array(found["selectivity_by_item"].to_list()).T
    assert_allclose(by_item, contrast - placebo, rtol=1e-3, atol=1e-4 * contrast.max())
    assert_allclose(found["selectivity"], by_item.mean(axis=0))
    (row,) = (
        row
        for row in pocket(combined)["results"]["heads"]["selectivity"]
        if row["templates"] == "viewpoint"
    )
    assert (row["placebos"], row["seeds"]) == (["placebo_mention"], 1)
    assert row["above_placebo"] == (by_item.mean(axis=0) > 0).sum()


def test_the_sweep_s_table_holds_every_point_s_own(sweep: Path, combined: dict[str, Any]) -> None:
    table = pl.read_parquet(sweep / "sweep.parquet")
    assert set(table["point"]) == {point["point"] for point in combined["points"]}
    for point in combined["points"]:
        for unit_set in ("heads", "slices16"):
            own = pl.read_parquet(sweep / point["point"] / f"{unit_set}.parquet")
            found = table.filter(point=point["point"], unit_set=unit_set)
            for column in ("unit", "t", "p_stepdown", "g"):
                assert found[column].to_list() == own[column].to_list()
    assert table.filter(templates="nouns")["role_t"].null_count() == 0
    assert (
        table.filter(templates="viewpoint")["role_t"].null_count()
        == table.filter(templates="viewpoint").height
    )


def test_null_models_stand_beside_the_model_and_are_not_averaged_with_it(
    combined: dict[str, Any],
) -> None:
    assert len(combined["groups"]) == 2
    heads = [entry for entry in combined["models"] if entry["unit_set"] == "heads"]
    (compared,) = heads
    assert compared["templates"] == "viewpoint"
    assert [(row["model"], row.get("null_of")) for row in compared["rows"]] == [
        ("pocket", None),
        ("pocket_random", "pocket"),
    ]
    (alone,) = (group for group in combined["groups"] if group["model"] == "pocket_random")
    assert "variance" not in alone["results"]["heads"]
    assert (
        "No role test: the contrasts have 1 test and 1 control"
        in (alone["results"]["heads"]["role_note"])
    )


def test_a_point_alone_says_what_it_said_itself(sweep: Path, combined: dict[str, Any]) -> None:
    (group,) = (group for group in combined["groups"] if group["model"] == "pocket_random")
    table = pl.read_parquet(sweep / "combined_heads.parquet").filter(group=group["id"])
    own = pl.read_parquet(next(sweep.glob("pocket_random-*")) / "heads.parquet")
    for kind in ("contrast", "pooled"):
        found = table.filter(kind=kind)
        assert_allclose(found["t"], own["t"])
        assert found["p_stepdown"].to_list() == own["p_stepdown"].to_list()


def test_damaged_points_are_named_and_change_nothing(
    sweep: Path, combined: dict[str, Any], tmp_path: Path
) -> None:
    for point in sweep.glob("pocket*"):
        shutil.copytree(point, tmp_path / point.name)
    for name, (damage, reason) in DAMAGES.items():
        # "a-..." sorts before the whole point, which must then not be left out as a repeat.
        copy = tmp_path / f"{'zz' if reason == WHOLE else 'a'}-{name}"
        shutil.copytree(next(sweep.glob("pocket-viewpoint-seed0-*")), copy)
        damage(copy)
    (tmp_path / "notes").mkdir()
    again = combine(tmp_path)
    reasons = {row["point"].partition("-")[2]: row["reason"] for row in again["left_out"]}
    assert set(reasons) == set(DAMAGES)
    for name, (_, reason) in DAMAGES.items():
        assert reasons[name].startswith(reason), (name, reasons[name])
    assert again["groups"] == combined["groups"]
    assert again["points"] == combined["points"]
    for name in ("sweep.parquet", "combined_heads.parquet", "combined_slices16.parquet"):
        assert pl.read_parquet(tmp_path / name).equals(pl.read_parquet(sweep / name))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_points_that_are_asked_for_are_taken_and_missing_ones_named(
    sweep: Path, tmp_path: Path
) -> None:
    for name in ("viewpoint-seed0", "viewpoint-seed1"):
        (point,) = sweep.glob(f"pocket-{name}-*")
        shutil.copytree(point, tmp_path / point.name)
    wanted = [tmp_path / "pocket-viewpoint-seed1-00000001", tmp_path / "planned"]
    found = combine(tmp_path, wanted)
    assert [point["seed"] for point in found["points"]] == [1]
    assert found["points"][0]["identity"] == "00000001"
    assert found["left_out"] == [{"point": "planned", "reason": "missing: there is no such folder"}]


def test_seeds_that_a_contrast_lacks_are_left_out_of_what_is_over_contrasts(
    sweep: Path, tmp_path: Path
) -> None:
    for name in ("viewpoint-seed0", "viewpoint-seed1", "nouns-seed1"):
        (point,) = sweep.glob(f"pocket-{name}-*")
        shutil.copytree(point, tmp_path / point.name)
    found = combine(tmp_path)
    (group,) = found["groups"]
    assert group["balanced"]["seeds"] == [1]
    assert group["balanced"]["unused"] == ["pocket-viewpoint-seed0-00000000"]
    assert "1 of 3 points have a seed that not every contrast has" in found["notes"][-1]
    heads = group["results"]["heads"]
    assert [test["seeds"] for test in heads["contrasts"]] == [1, 2]
    assert heads["pooled"]["seeds"] == 1
    assert heads["variance"]["levels"] == {"item": 4, "template": 2}
    pooled = pl.read_parquet(tmp_path / "combined_heads.parquet").filter(kind="pooled")
    mean = (differences(sweep, "viewpoint", 1) + differences(sweep, "nouns", 1)) / 2
    assert_allclose(pooled["mean_difference"], mean.mean(axis=0), rtol=1e-3, atol=1e-6)
    assert pooled["variance_seed"].null_count() == pooled.height


def test_more_units_than_fit_are_read_in_several_passes(
    sweep: Path, combined: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sweep, tmp_path / "sweep")
    monkeypatch.setattr("otherview.sweep.combine.point_responses.MAX_BYTES", 8 * 5 * len(ITEMS) * 7)
    again = combine(tmp_path / "sweep")
    assert to_rounding(again["groups"]) == to_rounding(combined["groups"])
    tables = [
        pl.read_parquet(folder / "combined_slices16.parquet")
        for folder in (sweep, tmp_path / "sweep")
    ]
    assert_frame_equal(*tables, rel_tol=1e-9)


def test_nothing_to_combine_is_said_and_the_earlier_result_stays(
    sweep: Path, combined: dict[str, Any], tmp_path: Path
) -> None:
    point = next(sweep.glob("pocket-viewpoint-seed0-*"))
    shutil.copytree(point, tmp_path / point.name)
    (tmp_path / "combined.json").write_text(json.dumps(combined))
    cut(tmp_path / point.name / "responses.nc")
    with pytest.raises(StudyError, match=f"no point that can be used, of 1; .*{point.name}"):
        combine(tmp_path)
    assert (tmp_path / "combined.json").exists()
    with pytest.raises(StudyError, match="holds no point of a sweep"):
        combine(tmp_path, [])
    with pytest.raises(StudyError, match="is no folder of a sweep"):
        combine(tmp_path / "nowhere")


def test_a_placebo_says_that_it_is_one(sweep: Path) -> None:
    folder = next(sweep.glob("pocket-placebo-seed0-*"))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["contrast"]["placebo"] == "control"
    printed = StringIO()
    print_summary(summary, Console(width=300, file=printed, markup=False))
    assert "This is a placebo: both lists hold wordings of the control role." in printed.getvalue()


def test_the_printed_result_leads_with_the_answer(sweep: Path, combined: dict[str, Any]) -> None:
    printed = StringIO()
    print_combined(combined, sweep, Console(width=300, file=printed, markup=False))
    text = printed.getvalue()
    called = combined["groups"][0]["results"]["heads"]["role_test"]["called"]
    verb = "follows" if called == 1 else "follow"
    follow = f"{called or None} of 48 heads of pocket {verb} the role over 9 test and 9 control wor"
    assert follow in text
    for wanted in (
        "placebo: control", "item × template", "pocket_random (null model of pocket)",
        "pocket_random, a null model, has up to", "scenes: not tested", str(sweep),
    ):  # fmt: skip
        assert wanted in text
