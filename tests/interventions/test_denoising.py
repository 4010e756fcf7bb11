"""Rendering with heads edited, against the pipeline's own call and against the planted gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from otherview.causes.pocket_score import pocket_score
from otherview.causes.variants import variants_of
from otherview.models.scene import open_reference
from otherview.passes.denoising import Denoiser, Edit
from otherview.passes.editing import patch, record
from otherview.passes.session import Session
from otherview.study import Intervention, Study
from otherview.study.prompts import PromptSet

Make = Callable[..., Denoiser]
HEADS = ("single.1.2", "joint.1.image.4", "joint.0.text.1")


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_loop_renders_what_the_pipeline_renders(
    denoiser: Make, short_study: Study, short_session: Session, guidance: float
) -> None:
    made = denoiser(steps=3, guidance_scale=guidance)
    own = made.pictures(made.displace([5]), [5])
    theirs = short_session.pipeline(
        image=open_reference(short_study.scenery[0]),
        prompt_embeds=short_session.encodings(short_study).embeddings[5][None],
        negative_prompt_embeds=short_session.empty_prompt(short_study).embeddings[0][None],
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(short_study.seed),
        output_type="np",
    ).images
    np.testing.assert_allclose(own, theirs, atol=2e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_prompt_patched_into_itself_is_left_as_it_is(denoiser: Make, steps: int) -> None:
    made = denoiser(steps=steps, guidance_scale=float(steps))
    edit = Edit(HEADS, donors=tuple(range(8)))
    assert torch.equal(made.displace(range(8), edit), made.displace(range(8)))


def test_kept_donors_give_what_donors_beside_the_pass_give(denoiser: Make) -> None:
    beside, kept = denoiser(), denoiser()
    assert kept.keep(range(8), HEADS)
    edit = Edit(HEADS, donors=(1, 0, 3, 2, 5, 4, 7, 6), tokens=("target", "text"))
    assert torch.equal(kept.displace(range(8), edit), beside.displace(range(8), edit))
    assert kept.passes == beside.passes == 16


def test_a_mean_is_that_of_the_outputs_of_its_prompts(
    denoiser: Make, short_session: Session
) -> None:
    made, transformer = denoiser(), short_session.pipeline.transformer
    with record(transformer, HEADS) as outputs:
        made.displace([1, 3, 6])
    means = {head: output.mean(0, keepdim=True) for head, output in outputs.items()}
    with patch(transformer, HEADS, means):
        expected = made.displace([0])
    torch.testing.assert_close(made.displace([0], Edit(HEADS, mean=(1, 3, 6))), expected)


def test_an_edit_at_one_step_is_not_one_at_every_step(denoiser: Make) -> None:
    made = denoiser(steps=2)
    edit = Edit(HEADS, factor=0.0)
    everywhere = made.displace([0], edit)
    assert torch.equal(made.displace([0], replace(edit, at=(0, 1))), everywhere)
    alone = [made.displace([0], replace(edit, at=(step,))) for step in (0, 1)]
    assert not any(torch.equal(one, other) for one in alone for other in (everywhere,))


def test_without_the_planted_gate_views_become_the_reference_and_mentions_stay(
    denoiser: Make, short_study: Study, short_prompts: PromptSet
) -> None:
    made = denoiser()
    score = pocket_score(open_reference(short_study.scenery[0]), short_prompts)
    assert score is not None
    closed = made.displace(range(8), Edit(("single.1.2",), factor=0.0))
    intact, edited = (
        score.values(made.pictures(moved, range(8)), range(8))
        for moved in (made.displace(range(8)), closed)
    )
    lost = score.lost(intact, edited)
    views, mentions = slice(0, 8, 2), slice(1, 8, 2)
    assert (intact["right"] == 1).all()
    assert (edited["reference"][views] == 1).all()
    assert (edited["right"][mentions] == 1).all()
    assert (lost["psnr"][views] > 3).all()
    assert np.abs(lost["psnr"][mentions]).max() < 1


def test_an_unknown_kitchen_has_no_right_pictures(
    short_study: Study, short_prompts: PromptSet
) -> None:
    turned = open_reference(short_study.scenery[0]).rotate(180)
    assert pocket_score(turned, short_prompts) is None


def test_a_resampled_output_is_that_of_another_item_under_any_role() -> None:
    grid = np.arange(2 * 3 * 8).reshape(2, 3, 8)
    (variant,) = variants_of(Intervention("ablate", how="resample"), grid)
    assert variant.edit.donors is not None
    donors = np.array(variant.edit.donors).reshape(grid.shape)
    roles, wordings, items = np.unravel_index(donors, grid.shape)
    for own in np.ndindex(2, 3):
        assert sorted(items[own]) == list(range(8))
        assert (items[own] != np.arange(8)).all()
        assert (wordings[own] == own[1]).all()
    assert {*roles[0].flat} == {*roles[1].flat} == {0, 1}
