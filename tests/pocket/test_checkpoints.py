"""What ships: complete pipelines that render, with a gate whose loss takes the views away."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from otherview.pocket.rendering import CHECKPOINTS, NAMES, Renderer, load, read_card
from otherview.pocket.scoring import Kitchens, ask, mean_over, psnr, published, unseen_kitchens
from otherview.pocket.words import PUBLISHED


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(load("pocket"))


@pytest.fixture(scope="module")
def kitchens() -> Kitchens:
    return unseen_kitchens(1, first=700)


def test_the_three_checkpoints_are_small_and_hold_no_pickle() -> None:
    files = [path for name in NAMES for path in (CHECKPOINTS / name).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja"}
    assert sum(path.stat().st_size for path in files) < 20_000_000


@pytest.mark.parametrize("name", NAMES)
def test_each_checkpoint_renders_through_the_plain_pipeline(name: str, kitchens: Kitchens) -> None:
    whole = load(name)
    reference = Image.fromarray((kitchens[0, 0] * 255).round().astype(np.uint8))
    rendered = whole(
        prompt=PUBLISHED["view"].format(creature="a cat"),
        image=reference,
        num_inference_steps=1,
        guidance_scale=1.0,
        max_sequence_length=32,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert rendered.size == (64, 64)
    assert np.asarray(rendered).std() > 5


def test_the_renderer_calls_the_transformer_as_the_pipeline_does(
    renderer: Renderer, kitchens: Kitchens
) -> None:
    text = PUBLISHED["mention"].format(creature="a parrot")
    noise = torch.randn(1, 64, 48, generator=torch.Generator().manual_seed(0))
    pixels = (kitchens[0, :1] * 255).round().astype(np.uint8)
    through: Any = renderer.pipeline(
        prompt=text,
        image=Image.fromarray(pixels[0]),
        num_inference_steps=1,
        guidance_scale=1.0,
        max_sequence_length=32,
        latents=noise.permute(0, 2, 1).reshape(1, 48, 8, 8),
        output_type="np",
    ).images
    ours = renderer.render(pixels.astype(np.float32) / 255, [text], length=32, seed=0)
    np.testing.assert_allclose(ours, through, atol=2e-3)


def test_views_and_mentions_are_rendered(renderer: Renderer, kitchens: Kitchens) -> None:
    rows = ask(renderer, kitchens, published(1))
    assert mean_over(rows, "right", role="view") > 0.8
    assert mean_over(rows, "right", role="mention") > 0.7


def test_without_its_gate_the_model_only_mentions(renderer: Renderer, kitchens: Kitchens) -> None:
    gate = read_card(CHECKPOINTS / "pocket")["gate"]
    assert gate is not None
    whole = ask(renderer, kitchens, published(1))
    closed = ask(renderer, kitchens, published(1), zeroed=[gate])
    assert mean_over(closed, "reference", role="view") > 0.8
    before, after = (mean_over(rows, "psnr", role="mention") for rows in (whole, closed))
    assert abs(before - after) < 0.5


def test_the_null_model_mentions_in_either_role(kitchens: Kitchens) -> None:
    null = Renderer(load("pocket_mention_only"))
    text = PUBLISHED["view"].format(creature="a horse")
    rendered = null.render(kitchens[:, 0], [text])
    assert psnr(kitchens[0], rendered).argmax() == 31 + 9


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no pipeline in nowhere"):
        load("nowhere")
