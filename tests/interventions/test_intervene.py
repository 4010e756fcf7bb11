"""An intervention as a user runs it, and the choice of its heads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.stats import spearmanr

import otherview
from otherview.analysis.analyse import analyse_units
from otherview.causes.choice import choose_heads
from otherview.causes.effects import Effects, Variant
from otherview.causes.single_heads import (
    bounds_by_verdict,
    by_verdict,
    rank_correlations,
    single_table,
    upper_bounds,
)
from otherview.disk.progress import silent
from otherview.models.weights import shipped_or_own
from otherview.passes.denoising import Denoiser, Edit
from otherview.passes.measure import Measurement, measure
from otherview.stats import difference_intervals
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.views.causes_sentences import headline
from otherview.views.numbers import significant
from otherview.views.report.page import write_report
from otherview.views.run_sentences import answer
from otherview.views.tracking.record import intervention_values
from tests.conftest import SHORT, Program

SIX = "creatures.items=[an adult human,a child,a cat,an owl,an ant,a fly]"
EIGHT = "creatures.items=[an adult human,a child,a cat,an owl,a frog,a snake,an ant,a fly]"
STUDY = ("+experiment=kitchen", "model=pocket", "capture=heads", "nulls.splits=1")


CARD = json.loads((shipped_or_own("otherview:pocket/checkpoints/pocket") / "card.json").read_text())


@pytest.fixture(scope="module")
def eight() -> Study:
    return compose_study([*STUDY, EIGHT, SHORT, "intervention=ablate"])


@pytest.fixture(scope="module")
def eight_measured(eight: Study) -> Measurement:
    return measure(eight)


@pytest.mark.usefixtures("unseen_page")
def test_a_run_tells_the_gate_from_the_decoy(program: Program, tmp_path: Path) -> None:
    done = program(
        "run",
        *STUDY,
        SIX,
        "intervention=ablate",
        "intervention.heads=listed",
        f"intervention.addresses=[{CARD['gate']},{CARD['decoy']}]",
        SHORT,
        "intervention.draws=4",
        "intervention.curve_draws=2",
        "intervention.pictures=2",
        "tracking=off",
        "hydra.run.dir=found",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "found"
    found = json.loads((folder / "interventions.json").read_text())
    assert headline(found) in " ".join(done.stdout.split())
    heads = pl.read_parquet(folder / "interventions.parquet")
    assert len(heads) == 48
    gate, decoy = (
        heads.row(by_predicate=pl.col("unit") == a, named=True)
        for a in (CARD["gate"], CARD["decoy"])
    )
    assert (gate["p_test"], gate["matching"]) == (pytest.approx(1 / 24), "stream")
    assert gate["p_control"] > 0.5
    assert gate["reference_test"] == 1
    assert gate["right_control"] == 0
    assert gate["verdict"].endswith("does")
    assert decoy["verdict"].endswith("does nothing")
    bounds = found["bounds"]
    assert gate["change_control"] < gate["bound_control"] <= bounds[gate["verdict"]]["control"]
    told = f"No control effect above {significant(bounds[gate['verdict']]['control'])} (95% con"
    nothing = f"No test or control effect above {max(bounds[decoy['verdict']].values()):.2g} (95%"
    for words in (told, nothing):
        assert words in " ".join(done.stdout.split())
    whole = [row for row in found["sets"] if row["set"] == "selected" and row["role"] == "test"]
    assert {row["measure"] for row in whole} >= {"change", "cosine", "toward", "psnr", "right"}
    change = next(row for row in whole if row["measure"] == "change")
    assert len(change["null"]) == 4
    assert change["value"] == pytest.approx(np.mean(change["items"]))
    assert change["p"] == (sum(v >= change["value"] for v in change["null"]) + 1) / 5
    views, mentions = (
        next(
            row
            for row in found["sets"]
            if (row["set"], row["role"], row["measure"]) == ("selected", role, "change")
        )
        for role in ("test", "control")
    )
    (more,) = (
        row
        for row in found["specificity"]
        if (row["set"], row["measure"]) == ("selected", "change")
    )
    assert more["value"] == pytest.approx(views["value"] - mentions["value"])
    assert more["null"] == pytest.approx(np.subtract(views["null"], mentions["null"]))
    assert found["growth"]["order"][0] == CARD["gate"]
    assert len(found["pictures"]) == 2 * 3 * 2
    intact = [row for row in found["pictures"] if row["set"] == "intact"]
    assert all(row["ssim_to_intact"] == pytest.approx(1) for row in intact)
    with Image.open(folder / "renderings.png") as sheet:
        assert sheet.width > 2 * 128


def test_predicted_heads_are_measured_and_agree(eight: Study, tmp_path: Path) -> None:
    """A tenth of the heads by rank, and those that change otherwise than predicted."""
    study = replace(
        eight,
        attribution=replace(eight.attribution, kind="change", cotangents=4, toward_items=0),
        intervention=replace(
            eight.intervention, heads="listed", addresses=[CARD["gate"]], singles="predicted",
            draws=1, pictures=1,
        ),
    )  # fmt: skip
    result = otherview.run(study, tmp_path / "run")
    singles, found = result.single_heads, result.interventions
    assert singles is not None
    assert found is not None
    failing = result.heads.filter(~pl.col("first_order_holds"))
    assert {"joint.0.text.4", "joint.0.image.0"} <= set(failing["unit"])  # saturated
    assert "below the floor for both roles" not in failing["predicted_verdict"]
    alone = result.summary["results"]["heads"]["predicted_change"]
    assert alone["zeroed_alone"] == len(failing) == failing["measured_change_test"].count()
    failing_alone = alone["first_order_fails_for"]
    assert {"joint.0.text.4", "joint.1.image.3"} <= set(failing_alone)
    assert len(failing_alone) <= 4  # the others of these sites compensate for each other
    assert {CARD["gate"], *failing_alone} <= set(singles["unit"])
    assert len(singles) <= 5 + len(failing_alone) + 1
    agreed = found["agreement"]
    assert agreed["heads"] == len(singles)
    assert agreed["specificity"]["spearman"] > 0.5
    tracked = dict(intervention_values(found))
    key = "interventions/agreement/specificity/spearman"
    assert tracked[key] == agreed["specificity"]["spearman"]
    said = answer(result.summary, None, found)
    assert said[0].startswith("Ablated alone (zero), single.1.2 changes the test role only")
    assert "First order does not hold at joint.0.image" in " ".join(said)
    page = re.sub("<[^>]*>", "", write_report(tmp_path / "run").read_text(encoding="utf-8"))
    for words in (said[0], "needed by one role", f"changes of {len(singles)} heads"):
        assert words in page
    with pytest.raises(StudyError, match="add attribution=change"):
        replace(study, attribution=eight.attribution)


def test_heads_are_chosen_without_the_items_on_which_they_are_measured(
    eight: Study, eight_measured: Measurement
) -> None:
    responses = eight_measured.responses
    strongest = replace(eight, intervention=replace(eight.intervention, heads="strongest", top=5))
    choice = choose_heads(responses, strongest)
    assert choice.disjoint
    assert sorted((*choice.discovery, *choice.measured)) == list(range(8))
    other = responses.energy.copy()
    other[list(choice.measured)] = other[list(choice.measured)][:, ::-1] * 7
    again = choose_heads(replace(responses, energy=other), strongest)
    assert again.heads == choice.heads


def test_a_direction_takes_heads_that_write_more_under_that_role(
    eight: Study, eight_measured: Measurement
) -> None:
    responses = eight_measured.responses

    def chosen(direction: str) -> dict[str, float]:
        settings = replace(eight.intervention, heads="strongest", direction=direction, top=48)
        choice = choose_heads(responses, replace(eight, intervention=settings))
        differences = responses.differences(list(choice.heads))[list(choice.discovery)].mean(axis=0)
        return {unit.address: d for unit, d in zip(choice.heads, differences, strict=True)}

    test, control = chosen("test"), chosen("control")
    assert all(difference > 0 for difference in test.values())
    assert all(difference < 0 for difference in control.values())
    assert {*test, *control} == {*chosen("either")}


def test_specificity_goes_with_the_sign_of_a_difference() -> None:
    strengths = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
    signs = np.array([1, -1, 1, -1, 1, -1])
    table = pl.DataFrame(
        {
            "t": strengths * signs,
            "role_t": 2.0 * strengths * signs,
            "specificity": strengths * signs,
        }
    )
    found = rank_correlations(table)
    assert found["signed_t"] == found["signed_role_t"] == pytest.approx(1)
    assert (
        found["t"] == found["role_t"] == pytest.approx(spearmanr(strengths, strengths * signs)[0])
    )
    assert rank_correlations(table.head(4)) == {}


def test_a_table_of_no_heads_has_its_columns_all_the_same(
    denoiser: Callable[..., Denoiser], eight: Study, eight_measured: Measurement
) -> None:
    effects = Effects(denoiser(), np.arange(8).reshape(2, 1, 4))
    analysis = analyse_units(eight_measured.responses, eight, "heads")
    none = single_table(effects, [], [], [], Variant("zero", Edit((), 0.0)), analysis, 0, silent)
    assert none.is_empty()
    assert {"unit", "t", "change_test", "p_control", "verdict"} <= set(none.columns)
    assert by_verdict(none) == {}
    assert bounds_by_verdict(none) == {}
    assert rank_correlations(none) == {}


def test_bounds_on_the_changes_hold_for_all_heads_and_both_roles_at_once() -> None:
    changes = np.random.default_rng(0).gamma(2, 0.1, size=(12, 2, 9))  # heads, roles, items
    one, few = upper_bounds([*changes], 0.05, 0), upper_bounds([*changes[..., :2]], 0.05, 0)
    together = difference_intervals(changes.reshape(24, 9).T)
    np.testing.assert_array_equal(one, together.high.reshape(12, 2))
    assert (one > changes.mean(axis=2)).all()
    assert (one[0] > upper_bounds([changes[0]], 0.05, 0)[0]).all()  # many heads cost width
    assert np.isinf(few).all()


def test_too_few_items_to_halve_are_said_so(eight: Study, eight_measured: Measurement) -> None:
    prompts = eight_measured.responses.prompts
    few = replace(
        eight_measured.responses,
        prompts=replace(prompts, items=prompts.items[:4]),
        energy=eight_measured.responses.energy[:4],
        tokens=eight_measured.responses.tokens[:4],
    )
    choice = choose_heads(few, eight)
    assert not choice.disjoint
    assert choice.note is not None
    assert "biased" in choice.note


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["intervention.heads=listed"], "listed heads need addresses"),
        (["intervention.at=[1]"], "names a step that does not exist: intervention.steps=1"),
        (["intervention.how=median"], "intervention.how=median: choose one of zero, mean, res"),
        (["intervention.tokens=[all,pad]"], "all excludes other token groups"),
        (["intervention=scale", "intervention.factors=[1.0]"], "the first not 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        compose_study([*STUDY, "intervention=ablate", *settings])


def test_an_unknown_head_is_refused_before_anything_is_loaded(
    program: Program, tmp_path: Path
) -> None:
    listed = "intervention.heads=listed", "intervention.addresses=[single.4.1]"
    done = program("run", *STUDY, "intervention=ablate", *listed, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: intervention.addresses: no head has the address")
    assert "single.0-3.0-5" in done.stderr
    assert "probing" not in done.stdout
