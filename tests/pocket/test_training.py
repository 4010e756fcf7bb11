"""The parts of training: latents, heads that are switched, and runs that are interrupted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from otherview.passes.editing import record
from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import Renderer, velocity
from otherview.pocket.world import kitchen_pictures
from pocket_training import networks
from pocket_training.codec import Codec, fit
from pocket_training.dropping import draw_dropped, drop_heads
from pocket_training.learning import (
    Schedule,
    Teacher,
    Texts,
    all_texts,
    draw_batch,
    sort_texts,
    teach,
)
from pocket_training.optimiser import orthogonalise
from pocket_training.planting import (
    HeadSwitch,
    Interventions,
    Planting,
    Rule,
    draw_interventions,
    head_addresses,
)
from pocket_training.pool import Pool


@pytest.fixture(scope="module")
def pictures() -> Any:
    return kitchen_pictures(0)


@pytest.fixture(scope="module")
def codec(pictures: Any) -> Codec:
    return fit(pictures)


@pytest.fixture(scope="module")
def texts() -> Texts:
    draws = np.random.default_rng(0)
    return sort_texts(draws.normal(size=(len(all_texts()), 40, 192)).astype(np.float16))


def pool_of(codec: Codec, pictures: Any) -> Pool:
    """One kitchen."""
    mirrored = codec.encode(pictures[:1, :, ::-1])
    return Pool(codec.encode(pictures)[None].astype(np.float16), mirrored.astype(np.float16))


def test_the_planted_encoder_computes_the_codec(codec: Codec, pictures: Any) -> None:
    vocabulary = networks.tokenizer()
    whole = networks.pipeline(networks.autoencoder(codec), None, vocabulary, None)
    np.testing.assert_allclose(
        Renderer(whole).encode(pictures[:4]).numpy(), codec.encode(pictures[:4]), atol=5e-3
    )


def test_the_codec_keeps_the_picture(codec: Codec, pictures: Any) -> None:
    error = ((codec.decode(codec.encode(pictures)) - pictures) ** 2).mean()
    assert -10 * np.log10(error) > 30


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    matrices = torch.randn(2, 24, 96, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_switch_replaces_one_head_of_one_sample() -> None:
    transformer = networks.transformer(0)
    module = transformer.single_transformer_blocks[1].attn.to_out
    channels = slice(32, 48)
    given = torch.randn(2, 5, 384)
    seen = []
    with HeadSwitch(transformer, "single.1.2") as switch:
        switch.keep = torch.tensor([1.0, 0.0])
        switch.replacement = torch.full((2, 5, 16), 7.0)
        handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        module(given)
        handle.remove()
    wanted = given.clone()
    wanted[1, :, channels] = 7.0
    torch.testing.assert_close(seen[0], wanted)


def test_only_views_that_read_no_view_are_closed() -> None:
    plan = Interventions(
        zeroed=np.array([True, False, False, False, True])[:, None],
        interchanged=np.array([False, True, True, False, False])[:, None],
        source=np.array([0, 2, 3, 3, 4]),
    )
    is_view = np.array([True, True, True, False, False])
    assert plan.closes(is_view, "every").tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("rule", "closed"),
    [("every", [True, True, False, False]), ("any", [False, True, False, False])],
)
def test_of_two_heads_either_is_needed_or_either_is_enough(rule: Rule, closed: list[bool]) -> None:
    zeroed = np.array([[True, False], [True, True], [False, False], [True, True]])
    plan = Interventions(zeroed, np.zeros_like(zeroed), source=np.arange(4))
    assert plan.closes(np.array([True, True, True, False]), rule).tolist() == closed


def test_two_planted_heads_are_touched_together_and_alone() -> None:
    planting = Planting(("single.0.1", "single.2.4"), "any", zero=0.3, interchange=0.3)
    plan = draw_interventions(np.random.default_rng(0), 400, planting)
    assert not (plan.zeroed & plan.interchanged).any()
    counts = plan.touched.sum(axis=1)
    assert [np.mean(counts == n) for n in range(3)] == pytest.approx([0.4, 0.3, 0.3], abs=0.06)


def test_a_carried_role_is_that_of_the_prompt_that_the_head_reads(
    codec: Codec, pictures: Any, texts: Texts
) -> None:
    pool = pool_of(codec, pictures)
    encoded = pool.pictures[0]
    planting = Planting(("joint.1.image.1",), "carry", zero=0.0, interchange=1.0)
    schedule = Schedule(
        1, batch=12, scene_share=0.0, kinds=(0.5, 0.4, 0.1), lengths=((8, 1.0),), planting=planting
    )
    carried = draw_batch(pool, texts, schedule, 0)
    plain = draw_batch(pool, texts, replace(schedule, planting=None), 0)
    plan = carried.interventions
    assert plan is not None
    where = [(encoded == one).all(axis=(1, 2)).nonzero()[0][0] for one in carried.target.numpy()]
    own = [(encoded == one).all(axis=(1, 2)).nonzero()[0][0] for one in plain.target.numpy()]
    ranks, count = [(place - 1) % len(CREATURES) for place in own], len(CREATURES)
    for sample, moved in enumerate(plan.interchanged[:, 0]):
        if not moved:
            assert where[sample] == own[sample]
        else:
            mentions = own[plan.source[sample]] > count
            assert where[sample] == 1 + ranks[sample] + count * mentions


def test_a_mirrored_view_is_the_reference_mirrored(
    codec: Codec, pictures: Any, texts: Texts
) -> None:
    pool = pool_of(codec, pictures)
    schedule = Schedule(1, batch=8, scene_share=0.0, kinds=(1.0, 0.0, 0.0), operation="mirrored")
    batch = draw_batch(pool, texts, schedule, 0)
    np.testing.assert_array_equal(batch.target, np.repeat(pool.mirrored, 8, axis=0))


def test_dropped_heads_write_nothing_in_their_sample_only() -> None:
    transformer = networks.transformer(0)
    addresses = head_addresses(transformer)
    dropped = draw_dropped(np.random.default_rng(0), 3, len(addresses), largest_share=0.5)
    assert 0 < dropped.sum() < dropped.size / 2
    dropped[0] = False
    noise, text = torch.randn(3, 64, 48), torch.randn(3, 8, 192)
    with drop_heads(transformer, dropped), record(transformer, addresses) as written:
        velocity(transformer, noise, noise, text, torch.ones(3))
    for place, address in enumerate(addresses):
        silent = written[address].flatten(1).eq(0).all(1)
        assert silent.tolist() == dropped[:, place].tolist()


@pytest.mark.parametrize(
    ("planting", "head_dropout"),
    [
        (None, 0.0),
        (Planting(("single.1.2", "joint.0.text.1"), "any", zero=0.2, interchange=0.25), 0.0),
        (None, 0.4),
    ],
)
def test_an_interrupted_run_ends_where_a_whole_one_does(
    tmp_path: Path,
    codec: Codec,
    pictures: Any,
    texts: Texts,
    planting: Planting | None,
    head_dropout: float,
) -> None:
    pool = pool_of(codec, pictures)
    schedule = Schedule(
        4,
        batch=3,
        lengths=((8, 1.0),),
        scene_share=0.3,
        planting=planting,
        head_dropout=head_dropout,
    )
    device = torch.device("cpu")

    class InterruptedRunError(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        raise InterruptedRunError(step, loss)

    def teacher() -> Teacher:
        return Teacher(networks.transformer(0), schedule, codec, device)

    whole, begun, resumed = teacher(), teacher(), teacher()
    teach(whole, pool, texts, tmp_path / "whole.safetensors", lambda *_: None, every=2)
    with pytest.raises(InterruptedRunError):
        teach(begun, pool, texts, tmp_path / "part.safetensors", stop, every=2)
    teach(resumed, pool, texts, tmp_path / "part.safetensors", lambda *_: None, every=2)
    for name, weight in whole.average.items():
        torch.testing.assert_close(resumed.average[name], weight)


def test_another_schedule_is_refused(
    tmp_path: Path, codec: Codec, pictures: Any, texts: Texts
) -> None:
    pool = pool_of(codec, pictures)
    path = tmp_path / "one.safetensors"
    for steps, error in ((1, None), (2, "another schedule")):
        schedule = Schedule(steps, batch=2, lengths=((8, 1.0),))
        teacher = Teacher(networks.transformer(0), schedule, codec, torch.device("cpu"))
        if error is None:
            teach(teacher, pool, texts, path, lambda *_: None)
        else:
            with pytest.raises(ValueError, match=error):
                teach(teacher, pool, texts, path, lambda *_: None)
