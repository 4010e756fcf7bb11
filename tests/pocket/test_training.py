"""The parts of training: latents, heads that are switched, and runs that are interrupted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from otherview.passes.editing import record
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
    sort_texts,
    teach,
)
from pocket_training.optimiser import orthogonalise
from pocket_training.planting import HeadSwitch, Interventions, head_addresses
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
        zeroed=np.array([True, False, False, False, True]),
        interchanged=np.array([False, True, True, False, False]),
        source=np.array([0, 2, 3, 3, 4]),
    )
    is_view = np.array([True, True, True, False, False])
    assert plan.closes(is_view).tolist() == [True, False, True, False, False]


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
    ("gate_shares", "head_dropout"), [(None, 0.0), ((0.2, 0.25), 0.0), (None, 0.4)]
)
def test_an_interrupted_run_ends_where_a_whole_one_does(
    tmp_path: Path,
    codec: Codec,
    pictures: Any,
    texts: Texts,
    gate_shares: tuple[float, float] | None,
    head_dropout: float,
) -> None:
    pool = Pool(codec.encode(pictures)[None].astype(np.float16))
    schedule = Schedule(
        4,
        batch=3,
        lengths=((8, 1.0),),
        scene_share=0.3,
        gate_shares=gate_shares,
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
    pool = Pool(codec.encode(pictures)[None].astype(np.float16))
    path = tmp_path / "one.safetensors"
    for steps, error in ((1, None), (2, "another schedule")):
        schedule = Schedule(steps, batch=2, lengths=((8, 1.0),))
        teacher = Teacher(networks.transformer(0), schedule, codec, torch.device("cpu"))
        if error is None:
            teach(teacher, pool, texts, path, lambda *_: None)
        else:
            with pytest.raises(ValueError, match=error):
                teach(teacher, pool, texts, path, lambda *_: None)
