"""Steering along axes that were found on other items and wordings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from otherview.causes.steering import Axes, steering_axes
from otherview.causes.verdicts import Effect, toward_verdict
from otherview.models.calls import Calls
from otherview.models.sites import heads
from otherview.passes.editing import add, record
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.passes.transformer import run
from otherview.results.reader import RunResult
from otherview.study import TOKEN_GROUPS, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from tests.interventions.conftest import KEPT, STEERED, steered_study

GATE = "single.1.2"


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(steered_study())


def axes_of(measured: Measurement, *overrides: str) -> Axes:
    responses, settings = measured.of().responses, steered_study(*overrides).intervention
    return steering_axes(responses, heads(responses.sites), [0, 2, 3], settings)


def test_views_lose_the_viewpoint_and_mentions_gain_it(steered_run: RunResult) -> None:
    found = steered_run.interventions
    assert found is not None
    main = ("selected", found["variants"][0])
    sets = (row for row in found["sets"] if (row["set"], row["variant"]) == main)
    rows = {(row["role"], row["measure"]): row for row in sets}
    for role in ("test", "control"):
        toward = rows[role, "toward"]
        assert toward["value"] > 0.5
        assert toward["value"] > max(toward["null"])
        assert toward["matching"] == "random axes"
        assert toward["p"] == 1 / 5
        assert rows[role, "right"]["value"] == 1.0
        assert rows[role, "other"]["value"] > rows[role, "other"]["null_mean"]
        assert rows[role, "other_role"]["value"] >= max(0.7, rows[role, "other"]["value"])
    table = pl.read_parquet(steered_run.folder / "interventions.parquet")
    gate = table.filter(pl.col("unit") == GATE).row(0, named=True)
    assert gate["reference_test"] >= 0.8  # views without the gate's axis become the reference
    assert gate["other_control"] == 0.0
    assert "its axis steers the test role" in gate["verdict"]


def test_items_and_wordings_are_divided_and_the_result_says_how(steered_run: RunResult) -> None:
    found = steered_run.interventions
    assert found is not None
    axes, selection = found["axes"], found["selection"]
    assert selection["disjoint"]
    assert not {*axes["items"]} & {*selection["measured_items"]}
    assert len(axes["items"]) + len(selection["measured_items"]) == 6
    for role in ("test", "control"):
        assert not {*axes["wordings"][role]} & {*axes["measured_wordings"][role]}
        assert (len(axes["wordings"][role]), len(axes["measured_wordings"][role])) == (3, 1)
    assert axes["lengths"][GATE].keys() == {"target", "reference"}
    page = (steered_run.folder / "report.html").read_text()
    said = "The axes were found on 3 items and 3 + 3 wordings, and measured on 3 other items"
    assert said in page
    assert "random axes of the same length at these heads, placebo axes of the same" in page
    listed = json.loads((steered_run.folder / "interventions.json").read_text())["pictures"]
    assert {row["set"] for row in listed} == {"intact", "selected", "random", "placebo"}


def test_axes_do_not_see_what_is_measured(measured: Measurement) -> None:
    responses = measured.responses
    assert responses.means is not None
    other = responses.means.copy()
    noise = np.random.default_rng(0).normal(0, 100, other.shape).astype(np.float32)
    other[[1, 4]] += noise[[1, 4]]  # items that measure
    other[:, [0, 4]] += noise[:, [0, 4]]  # the first wording of each role
    changed = replace(measured, responses=replace(responses, means=other))
    one, two = axes_of(measured), axes_of(changed)
    assert one.held_out
    for address, axis in one.vectors.items():
        np.testing.assert_array_equal(axis, two.vectors[address])
    seen = axes_of(changed, "intervention.wordings=4")  # nothing is left out
    assert not seen.held_out
    assert np.abs(seen.vectors[GATE] - one.vectors[GATE]).max() > 1


def test_other_axes_have_the_same_length_at_every_group(measured: Measurement) -> None:
    axes = axes_of(measured, "intervention.tokens=[all]")
    assert axes.placebos
    for other in (axes.random(0, 0), axes.random(1, 0), *axes.placebos):
        for address, axis in axes.vectors.items():
            lengths = np.linalg.norm(axis, axis=1)
            found = np.linalg.norm(other[address], axis=1)
            np.testing.assert_allclose(found, lengths, rtol=1e-9)
            assert (np.abs((other[address] * axis).sum(1)) < lengths**2 + 1e-12).all()
    for placebo in axes.placebos:
        across = (placebo[GATE] * axes.vectors[GATE]).sum(axis=1)
        np.testing.assert_allclose(across, 0, atol=1e-6 * np.square(axes.vectors[GATE]).sum())
    assert not np.allclose(axes.random(0, 0)[GATE], axes.random(1, 0)[GATE])
    target = axes_of(measured).vectors[GATE]
    assert [bool(vector.any()) for vector in target] == [
        group in ("target", "reference") for group in TOKEN_GROUPS
    ]


def test_vectors_are_added_at_the_tokens_of_their_group(
    short_study: Study, short_session: Session
) -> None:
    calls: Calls = short_session.calls(short_study)
    transformer, call = calls.transformer, calls.first([0, 1])
    given = torch.randn(2, len(TOKEN_GROUPS), 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with record(transformer, [GATE]) as kept:
            intact = run(transformer, call)
        before = kept[GATE].clone()
        with (
            add(transformer, [GATE], {GATE: given}) as editing,
            record(transformer, [GATE]) as kept,
        ):
            moved = run(transformer, call, editing)
        with add(transformer, [GATE], {GATE: 0 * given}) as editing:
            assert torch.equal(run(transformer, call, editing), intact)
    masks = torch.from_numpy(call.layout.masks["all"]).float()
    expected = before + torch.einsum("rgp,rgw->rpw", masks, given)
    torch.testing.assert_close(kept[GATE], expected)
    assert not torch.equal(moved, intact)


def test_steering_without_vectors_or_without_a_dose_is_refused() -> None:
    with pytest.raises(StudyError, match=r"add capture\.keep=\[energy,mean\]"):
        compose_study(list(STEERED))
    with pytest.raises(StudyError, match="finite doses other than 0"):
        compose_study([*STEERED[:-1], KEPT, "intervention.doses=[0.0]"])


def test_a_verdict_says_which_role_moves() -> None:
    assert toward_verdict(True, (0.5, 0.3), steered=True).effect is Effect.STEERS_BOTH
    assert toward_verdict(True, (0.1, 0.3), steered=True).effect is Effect.STEERS_CONTROL
    assert (
        toward_verdict(True, (0.5, 0.1), steered=True).key
        == "differs and its axis steers the test role"
    )
    assert (
        toward_verdict(False, (0.1, 0.1), steered=True).key
        == "does not differ, its axis does not steer"
    )
    assert not toward_verdict(False, (0.5, 0.3), steered=True).positive
