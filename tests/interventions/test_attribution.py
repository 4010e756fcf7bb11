"""Predicted changes against finite differences; what they need of memory, disk and attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import xarray

import otherview
from otherview.causes.single_heads import heads_to_edit
from otherview.models.arguments import replaced
from otherview.models.calls import Call, Calls
from otherview.models.cost import attribution_passes
from otherview.models.sites import heads, sites_of
from otherview.passes.editing import patch, record, scale
from otherview.passes.gradients import taps
from otherview.passes.head_attribution import attribute
from otherview.passes.predicted_changes import EDITS, READ_GROUPS, PredictedChanges
from otherview.passes.session import Session
from otherview.passes.toward_points import pairs_of_items, predicted_toward
from otherview.passes.transformer import run
from otherview.passes.unfinished import Unfinished
from otherview.stats import predicted_change_test
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet, study_prompts

SHIFT = 0.005
"""Share of an edit that is made, on both sides, for a finite difference."""
SMALL = 0.02
"""Share of an edit whose effect is nearly in proportion to it."""


@pytest.fixture(scope="module")
def calls(short_study: Study, short_session: Session) -> Calls:
    return short_session.calls(short_study)


def in_double(call: Call) -> Call:
    """Return `call` with numbers in double precision: small steps are lost in single precision."""

    def change(_: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor.clone()

    return Call(replaced(call.arguments, change), call.layout)


@pytest.mark.parametrize("address", ["single.1.2", "joint.1.image.3", "joint.0.text.4"])
def test_products_equal_finite_differences_for_every_edit_and_token_group(
    calls: Calls, address: str
) -> None:
    transformer, rows = deepcopy(calls.transformer).double(), [0, 1]
    call, noise = in_double(calls.first(rows)), calls.noise(rows)
    every = [unit.address for unit in heads(calls.sites)]
    with torch.no_grad(), record(transformer, every) as kept:
        run(transformer, call)
    outputs, site = dict(kept), next(u.site for u in heads(calls.sites) if u.address == address)
    shape, seeded = calls.velocity(run(transformer, call), noise).shape, torch.Generator()
    cotangent = torch.randn(shape, generator=seeded.manual_seed(0))
    with taps(transformer, calls.sites) as reader:
        reader.donors = np.array([1, 0])
        whole = [outputs[u.address] for u in heads(calls.sites) if u.site == site]
        reader.means = {site.module: torch.cat(whole, dim=2).mean(0)}
        velocity = calls.velocity(run(transformer, call, reader), noise)
        products = reader.products(velocity, cotangent)[:, every.index(address)]
    own = outputs[address]
    new = {"zero": torch.zeros_like(own), "mean": own.mean(0, keepdim=True).expand_as(own)}
    new["patch"] = own.flip(0)
    for edit, group in ((e, g) for e in EDITS for g in READ_GROUPS):
        found = products[:, READ_GROUPS.index(group), EDITS.index(edit)]
        if group not in (*site.token_groups, "all"):
            assert np.isnan(found).all()
            continue
        moved = []
        for share in (SHIFT, -SHIFT):
            mixed = {address: own + share * (new[edit] - own)}
            tokens = None if group == "all" else [group]
            with torch.no_grad(), patch(transformer, [address], mixed, tokens) as editing:
                output = calls.velocity(run(transformer, call, editing), noise)
            moved.append((output.double() * cotangent).sum((1, 2)).numpy())
        expected = (moved[0] - moved[1]) / (2 * SHIFT)
        np.testing.assert_allclose(
            found, expected, rtol=0.01, atol=0.01 * np.nanmax(np.abs(products))
        )


def test_cotangents_predict_the_size_of_a_small_edit(
    calls: Calls, short_prompts: PromptSet
) -> None:
    found = attribute(calls, short_prompts, cotangents=40)
    every = [unit.address for unit in heads(calls.sites)]
    prompts = range(len(short_prompts.prompts))
    with torch.no_grad():
        intact = calls.velocity(run(calls.transformer, calls.first(prompts)), calls.noise(prompts))
        for address in ("single.1.2", "joint.1.image.1"):
            with scale(calls.transformer, [address], 1 - SMALL):
                output = run(calls.transformer, calls.first(prompts))
            moved = calls.velocity(output, calls.noise(prompts)) - intact
            change = moved.flatten(1).norm(dim=1) / intact.flatten(1).norm(dim=1) / SMALL
            predicted = found.zeroed()[..., every.index(address)].ravel()
            assert np.median(np.abs(np.log(predicted / change.numpy()))) < 0.2
    assert found.passes == len(short_prompts.prompts) * (1 + 1 + 2 * 40)
    assert not np.isnan(found.change[..., READ_GROUPS.index("all"), :]).any()


def test_two_points_predict_how_far_a_patch_moves_each_role(
    calls: Calls, short_prompts: PromptSet
) -> None:
    pairs = pairs_of_items(short_prompts, calls.groups(), 2)
    assert pairs == [(0, 1), (6, 7)]  # of four creatures, those that are evenly spread
    found = predicted_toward(calls, pairs, batch_size=4)
    with memory_for(calls, rows=0, checkpointed_rows=2):
        saved = predicted_toward(calls, pairs, batch_size=4)
    np.testing.assert_allclose(found, saved, atol=1e-3)
    every = [unit.address for unit in heads(calls.sites)]
    of = {address: found[:, every.index(address)] for address in every}
    assert (of["joint.1.image.3"] > 0.75).all()  # measured: .95 and .80
    assert (of["single.1.2"][::2] > 0.25).all()  # the gate: needed, it does not carry
    assert (np.abs(of["single.1.2"][1::2]) < 0.05).all()
    assert (np.abs(of["joint.1.text.1"]) < 0.01).all()  # the decoy
    apart = [list(range(0, 8, 2)), list(range(1, 8, 2))]
    assert pairs_of_items(short_prompts, apart, 4) == []  # roles of other lengths


@contextmanager
def memory_for(calls: Calls, rows: int, *, checkpointed_rows: int) -> Iterator[list[int]]:
    """Have passes with gradients run out of memory above a number of rows; yield their rows."""
    transformer, seen = calls.transformer, list[int]()

    def limit(module: Any, _: Any, inputs: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        there = len(inputs["hidden_states"])
        if there > (checkpointed_rows if module.is_gradient_checkpointing else rows):
            raise torch.OutOfMemoryError
        seen.append(there)

    handle = transformer.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def test_where_memory_asks_for_it_blocks_are_run_again_and_nothing_counts_twice(
    calls: Calls, short_prompts: PromptSet
) -> None:
    plain = attribute(calls, short_prompts, cotangents=2, batch_size=8)
    with memory_for(calls, rows=0, checkpointed_rows=4) as rows:
        saved = attribute(calls, short_prompts, cotangents=2, batch_size=8)
    assert rows == [4, 4]  # batches are halved only after blocks keep their inputs alone
    np.testing.assert_allclose(saved.change, plain.change, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(saved.site_change, plain.site_change, rtol=2e-3, atol=1e-6)
    assert not calls.transformer.is_gradient_checkpointing
    with memory_for(calls, 0, checkpointed_rows=0), pytest.raises(torch.OutOfMemoryError):
        attribute(calls, short_prompts, cotangents=1)


def test_means_are_of_every_prompt_once_where_a_batch_ran_out_of_memory(
    calls: Calls, short_prompts: PromptSet
) -> None:
    plain = attribute(calls, short_prompts, cotangents=1, batch_size=8)
    sizes: list[int] = []

    def scarce(_: Any, __: Any, given: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            sizes.append(len(given["hidden_states"]))
            if sizes[-1] > 2:
                raise torch.OutOfMemoryError

    last = calls.transformer.single_transformer_blocks[-1]
    handle = last.register_forward_pre_hook(scarce, with_kwargs=True)
    try:
        found = attribute(calls, short_prompts, cotangents=1, batch_size=8)
    finally:
        handle.remove()
    assert set(sizes[sizes.index(2) :]) == {2}
    assert found.passes == plain.passes
    np.testing.assert_allclose(found.change, plain.change, rtol=2e-3, atol=1e-6)


def test_finished_batches_are_not_run_again(
    calls: Calls, short_prompts: PromptSet, tmp_path: Path
) -> None:
    kept = Unfinished(tmp_path, "key")
    first = attribute(calls, short_prompts, cotangents=1, batch_size=2, unfinished=kept)
    with memory_for(calls, rows=0, checkpointed_rows=0):
        again = attribute(calls, short_prompts, cotangents=1, batch_size=2, unfinished=kept)
    np.testing.assert_array_equal(first.change, again.change)
    assert again.passes == 0


def test_a_run_writes_predictions_for_every_head(
    short_study: Study, tmp_path: Path, pocket_pipeline: Any
) -> None:
    asked = replace(short_study.attribution, kind="change", cotangents=2)
    result = otherview.run(replace(short_study, attribution=asked), tmp_path / "run")
    assert result.heads["predicted_verdict"].null_count() == 0
    gate = result.heads.filter(pl.col("unit") == "single.1.2").row(0, named=True)
    assert gate["predicted_change_test"] > 3 * gate["predicted_change_control"] > 0
    assert result.summary["results"]["heads"]["predicted_change"]["rule"] == "family-wise"
    assert isinstance(result.attribution, xarray.Dataset)
    sites, items = sites_of(pocket_pipeline.transformer), len(result.attribution["item"])
    planned = attribution_passes(result.study, sites)
    assert result.attribution.attrs["passes"] == planned.gradients
    assert planned.zeroed == 2 * items * (len(sites) + 1)
    change = result.attribution["predicted_change"]
    assert change.dims == ("item", "condition", "head", "group", "edit")
    means = change.sel(group="all", edit="zero").mean("item").groupby("role").mean("condition")
    np.testing.assert_allclose(
        means.sel(role="test").to_numpy(), result.heads["predicted_change_test"], rtol=1e-6
    )


# torch's compiler still imports its own deprecated torch.jit
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_has_no_gradient_is_refused(short_study: Study, pocket_pipeline: Any) -> None:
    asked = replace(short_study, attribution=replace(short_study.attribution, kind="change"))
    offloaded = replace(short_study.model.loading, offload="group")
    with pytest.raises(StudyError, match="offload=group has moved them away"):
        replace(asked, model=replace(asked.model, loading=offloaded))
    slices = replace(short_study.capture, units=["slices16"])
    with pytest.raises(StudyError, match="use capture=heads or both"):
        replace(asked, capture=slices)

    pocket_pipeline.transformer.compile_repeated_blocks()
    with pytest.raises(StudyError, match="the transformer is compiled"):
        otherview.measure(short_study, pipeline=pocket_pipeline)


@pytest.mark.parametrize("model", ["pocket", "pocket_random", "pocket_mention_only"])
def test_the_gate_is_first_and_no_head_of_a_model_without_the_role_is_called(model: str) -> None:
    """Few items and cotangents: the short form of benchmarks/predicted_nulls.py."""
    study = compose_study(
        ["+experiment=kitchen", f"model={model}", "templates=nouns", "model.text_length=32"]
    )
    few = replace(study.creatures, items=study.creatures.items[::6])
    study = replace(study, creatures=few)
    calls = Session(study.model).calls(study)
    found = attribute(calls, study_prompts(study), cotangents=2, batch_size=8)
    tested = predicted_change_test(found.zeroed(), found.prompts.roles)
    if model != "pocket":
        assert not tested.called.any()
        return
    addresses = [unit.address for unit in heads(calls.sites)]
    gate, decoy = addresses.index("single.1.2"), addresses.index("joint.1.text.1")
    assert not tested.called[decoy]
    assert tested.called.sum() <= 15
    assert tested.difference[gate] >= 3 * np.delete(np.abs(tested.difference), gate).max()


def test_heads_are_ranked_by_what_is_known_of_them(
    calls: Calls, short_prompts: PromptSet, short_study: Study
) -> None:
    """Zeroed: by change, measured where first order does not hold; patched: by the way."""
    units, (items, conditions) = heads(calls.sites), (len(short_prompts.items), 2)
    change = np.full((items, conditions, len(units), len(READ_GROUPS), len(EDITS)), 0.01)
    change[:, :, 30] = 0.5  # both roles alike: unspecific, and it changes much
    site_change = np.full((items, conditions, len(calls.sites)), 0.1)
    exact_sites = site_change * np.where(np.arange(len(calls.sites)) == 1, 5, 1)  # heads 6 to 11
    exact_heads = np.full((items, conditions, len(units)), np.nan)
    exact_heads[0, :, 6:12] = 0.012
    exact_heads[0, 1, 9] = 0.7  # saturated
    toward = np.zeros((items, conditions, len(units)))
    toward[:, :, 40] = 0.9
    found = PredictedChanges(
        short_prompts, tuple(calls.sites), change, site_change, 1, 1, exact_sites, exact_heads,
        toward,
    )  # fmt: skip
    assert np.flatnonzero(found.unpredicted(0.05)).tolist() == [9]
    unchecked = replace(found, exact_head_change=None)
    assert np.flatnonzero(unchecked.unpredicted(0.05)).tolist() == [6, 7, 8, 9, 10, 11]

    def edited(predicted: PredictedChanges, **settings: Any) -> list[int]:
        asked = replace(short_study.intervention, singles="predicted", exact_share=0.04, **settings)
        return [units.index(u) for u in heads_to_edit([], units, asked, 0.05, predicted, 0.05)]

    assert edited(found, kind="ablate") == [9, 30]
    assert edited(found, kind="patch", donors=["role"])[-1] == 40
    assert edited(found, kind="patch", donors=["item"]) == [9, 30]
    assert set(edited(unchecked, kind="ablate")) >= {6, 7, 8, 9, 10, 11, 30}
    asked = replace(short_study.attribution, kind="change", toward_items=0)
    patched = replace(short_study.intervention, kind="patch", singles="predicted")
    with pytest.raises(StudyError, match="toward_items=0 does not predict"):
        replace(short_study, attribution=asked, intervention=patched)
