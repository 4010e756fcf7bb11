"""Every family is probed as its own pipeline runs it: calls, sites, token groups, edits."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from otherview.models.any_model import prepare
from otherview.models.arguments import (
    as_tensors,
    collated,
    from_tensors,
    rows_of,
    signature,
    tensors,
)
from otherview.models.calls import TokenLayout
from otherview.models.interception import denoiser_name, intercept, without_weights
from otherview.models.named_sites import named_sites, on_meta
from otherview.models.pipeline_inputs import pass_inputs, picture_argument
from otherview.models.sites import Site, heads
from otherview.passes.call_tokens import Probes
from otherview.passes.capture import capture
from otherview.passes.denoising import Denoiser, Edit, Shift
from otherview.passes.editing import ablate, add, patch, record, scale
from otherview.passes.gradients import taps
from otherview.passes.head_edges import head_edges
from otherview.passes.pipeline_calls import PipelineCalls
from otherview.passes.pipeline_session import another_picture
from otherview.passes.toward_points import predicted_toward
from otherview.passes.transformer import run, watched
from otherview.study import TOKEN_GROUPS, Model
from otherview.study.prompts import Prompt
from tests.families import NAMES, Tiny, make
from tests.families.studies import model_of

TEXTS = ("a kitchen as seen by a dog", "a kitchen as seen by a cat", "a big kitchen with a horse")
ITEMS = ("a dog", "a cat", "a horse")
PROMPTS = tuple(Prompt(0, 0, text, text.index(i)) for text, i in zip(TEXTS, ITEMS, strict=True))
TOLERANCE = 1e-4
"""Largest difference to one-by-one calls, of the largest activation.

Rounding alone is mostly below 3e-6; Kandinsky divides tokens by small norms and reaches 2.4e-5.
"""


class Stop(BaseException):
    """Not an Exception, so that no pipeline swallows it."""


def calls_of(tiny: Tiny, model: Model, prompts: Sequence[Prompt] = PROMPTS) -> PipelineCalls:
    image = tiny.arguments(TEXTS[0]).get(tiny.picture) if tiny.picture else None
    images = [image] if image else []

    def made(prompt: Prompt, seed: int = 0, pictures: Sequence[Any] = images) -> Any:
        return prepare(tiny.pipeline, model, prompt, seed, pictures)

    passes = [made(prompt) for prompt in prompts]
    others = [another_picture(each) for each in images]
    other = made(prompts[0], pictures=others).arguments if images else None
    probes = Probes(passes[1].arguments, made(prompts[0], 1).arguments, other)
    calls = PipelineCalls(lambda: tiny.transformer, passes, probes, "cpu")
    calls.places = [each.place for each in passes if each.place is not None]
    return calls


@torch.no_grad()
def by_the_pipeline(tiny: Tiny, model: Model, text: str, modules: list[str]) -> dict[str, Tensor]:
    """Return what hooks read while the pipeline itself runs its transformer the first time."""
    read: dict[str, Tensor] = {}
    image = tiny.arguments(text).get(tiny.picture) if tiny.picture else None
    inputs = pass_inputs(type(tiny.pipeline), model, text, 0, [image] if image else []) | {
        "output_type": "latent"
    }

    def stop(*_: Any) -> None:
        raise Stop

    handle = tiny.transformer.register_forward_hook(stop)
    try:
        with watched(tiny.transformer, keeping(read, modules)), pytest.raises(Stop):
            tiny.pipeline(**inputs)
    finally:
        handle.remove()
    return read


def keeping(read: dict[str, Tensor], modules: list[str]) -> dict[str, Any]:
    def hook_of(name: str) -> Any:
        return lambda _, inputs: read.__setitem__(name, inputs[0].clone())

    return {name: hook_of(name) for name in modules}


def hooks_in(module: nn.Module) -> int:
    return sum(len(each._forward_pre_hooks) + len(each._forward_hooks) for each in module.modules())


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_probed_as_its_pipeline_runs_it(name: str) -> None:
    tiny = make(name)
    transformer, model = tiny.transformer, model_of(tiny)
    hooks = hooks_in(transformer)
    assert picture_argument(type(tiny.pipeline)) == tiny.picture

    # without weights, the pipeline gives the same arguments; they survive the disk
    first = intercept(tiny.pipeline, tiny.arguments(TEXTS[0]))[0]
    part = denoiser_name(tiny.pipeline)
    setattr(
        tiny.pipeline,
        part,
        without_weights(type(transformer), transformer.config, transformer.dtype),
    )
    unweighted = intercept(tiny.pipeline, tiny.arguments(TEXTS[0]))[0]
    setattr(tiny.pipeline, part, transformer)
    assert signature(unweighted) == signature(first) == signature(from_tensors(as_tensors(first)))
    for path, tensor in tensors(first).items():
        assert torch.equal(tensor, tensors(unweighted)[path]), path

    # sites by name are those that are traced (`sites` raises otherwise), and those of the table
    calls = calls_of(tiny, model)
    sites = calls.sites
    config = {"_class_name": type(transformer).__name__, **transformer.config}
    assert named_sites(on_meta(config)) == sites
    expected = {
        site.module: known
        for site in sites
        for pattern, known in tiny.sites.items()
        if fnmatch.fnmatchcase(site.module, pattern)
    }
    assert set(expected) == {site.module for site in sites}
    layout = calls.layout([0])
    for site in sites:
        assert order(layout.masks[layout.sequence(site)][0]) == groups(expected[site.module].tokens)
        assert (site.block_kind == "cross") == expected[site.module].kind.startswith("cross")

    # batches equal calls of the pipeline one by one
    modules = [site.module for site in sites]
    alone = [by_the_pipeline(tiny, model, text, modules) for text in TEXTS]
    assert sorted(prompt for group in calls.groups() for prompt in group) == [0, 1, 2]
    for group in calls.groups():
        read: dict[str, Tensor] = {}
        with (
            torch.no_grad(),
            capture(transformer, sites, means=True) as recorder,
            watched(transformer, keeping(read, modules)),
        ):
            output = run(transformer, calls.first(group), recorder)
        assert len(output) == len(group)
        means, energy = recorder.take_means(), recorder.take()
        assert energy.shape[0] == len(group)
        check_means(means, read, sites, calls.first(group).layout)
        for row, prompt in enumerate(group):
            for module in modules:
                one, batched = alone[prompt][module], read[module]
                batched = batched.reshape(len(group), -1, batched.shape[-1])[row]
                one = one.reshape(batched.shape)
                assert (one - batched).abs().max() <= TOLERANCE * one.abs().max(), module

    # an edited head changes the output, and nothing is left behind
    call = calls.first([0])
    with torch.no_grad():
        intact = run(transformer, call)
        with ablate(transformer, [heads(sites)[0].address]) as editing:
            edited = run(transformer, call, editing)
        assert not torch.equal(intact, edited)
        assert torch.equal(run(transformer, call), intact)
        twice = run(transformer, calls.first([0, 0]))  # as where a batch size is tried
        assert (twice - intact).abs().max() <= TOLERANCE * intact.abs().max()
    assert hooks_in(transformer) == hooks


def check_means(
    means: np.ndarray, read: dict[str, Tensor], sites: list[Site], layout: TokenLayout
) -> None:
    """Compare the first head's mean vector of every site with its input, group by group."""
    first = 0
    for site in sites:
        masks = layout.masks[layout.sequence(site)]
        inputs = read[site.module].reshape(len(masks), masks.shape[2], -1).float().numpy()
        for group in site.token_groups:
            for row, mask in enumerate(masks[:, TOKEN_GROUPS.index(group)]):
                found = means[row, first, TOKEN_GROUPS.index(group), : site.head_dim]
                if mask.any():
                    expected = inputs[row, mask, : site.head_dim].mean(0, dtype=np.float64)
                    scale = np.abs(inputs).max()
                    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * scale)
                else:
                    assert np.isnan(found).all()
        first += site.heads


def order(masks: np.ndarray) -> list[str]:
    """Return the token groups along the positions of a site, without pads and repeats."""
    names = ["-"] * masks.shape[1]
    for group, mask in zip(TOKEN_GROUPS, masks, strict=True):
        for position in np.flatnonzero(mask):
            names[position] = "text" if group == "pad" else group
    return [each for place, each in enumerate(names) if place == 0 or names[place - 1] != each]


def groups(tokens: str) -> list[str]:
    """Return the groups that the table names; a reference in the target's channels is target."""
    names = [each.split("+")[0] for each in tokens.split()]
    return [each for place, each in enumerate(names) if place == 0 or names[place - 1] != each]


@pytest.mark.parametrize("name", ["sd3", "sdxl"])
def test_out_projections_may_have_adapters(name: str) -> None:
    """They hold Linears, of which one has the projection's input, and are sites as before."""
    peft = pytest.importorskip("peft")
    tiny = make(name)
    plain = calls_of(tiny, model_of(tiny)).sites
    adapter = peft.LoraConfig(r=2, target_modules=[site.module for site in plain])
    tiny.transformer.add_adapter(adapter)
    assert calls_of(tiny, model_of(tiny)).sites == plain


def test_tokens_of_no_group_are_counted_over_all_prompts() -> None:
    """Z-Image pads a prompt to a multiple of 32, the last of these, which is longer, by fewer."""
    for prompts in (PROMPTS, PROMPTS[::-1]):
        tiny = make("z_image")
        calls = calls_of(tiny, model_of(tiny), prompts)
        assert calls.sites
        assert any(remark.startswith("Up to 14 tokens") for remark in calls.remarks)


def test_pads_of_other_prompts_are_found_where_the_first_needs_none() -> None:
    """Z-Image pads both to multiples of 32: here neither the first prompt nor the target."""
    tiny = make("z_image")
    full = replace(PROMPTS[0], text=f"{'a kitchen ' * 14} as seen by a dog")
    calls = calls_of(tiny, replace(model_of(tiny), width=128), (full, *PROMPTS))
    assert calls.layout([0]).counts().tolist() == [[64, 0, 32, 0]]
    for prompt in range(4):
        with torch.no_grad(), capture(tiny.transformer, calls.sites) as recorder:
            run(tiny.transformer, calls.first([prompt]), recorder)
            assert np.nanmax(recorder.take()) > 0
    assert any("tokens of a pass belong to no group" in remark for remark in calls.remarks)


def test_arguments_are_joined_by_rows_and_shared_where_equal() -> None:
    def call(value: float, length: int = 3) -> dict[str, Any]:
        return {
            "hidden_states": torch.full((1, length, 2), value),
            "ids": torch.arange(6).reshape(3, 2),
            "layers": torch.full((2, 1, 3), value),
            "rows": [torch.full((length, 2), value)],
            "axes": [torch.arange(1), torch.arange(4)],
            "shapes": [[(1, 2, 2)]],
            "guidance": None,
        }

    joined = collated([call(1.0), call(2.0)])
    assert rows_of(joined) == 2
    assert joined["hidden_states"].shape == (2, 3, 2)
    assert joined["ids"].shape == (3, 2)
    assert joined["layers"].shape == (2, 2, 3)
    assert [len(joined[name]) for name in ("rows", "axes", "shapes")] == [2, 2, 2]
    assert joined["axes"][0].shape == (1,)
    same = collated([call(1.0), call(1.0)], {"layers"})
    assert [same[name].shape for name in ("layers", "ids")] == [(2, 2, 3), (3, 2)]
    assert signature(call(1.0)) != signature(call(1.0, length=4))
    with pytest.raises(ValueError, match="ids differs between prompts"):
        collated([call(1.0), call(1.0) | {"ids": torch.ones(3, 2, dtype=torch.int64)}])


@pytest.mark.parametrize("name", ["flux1", "sd3", "qwen_image", "sana", "hunyuan_dit", "sdxl"])
def test_gradients_predict_edits_on_every_kind_of_block(name: str) -> None:
    """What the transformer keeps from the passes before serves the backward pass."""
    tiny = make(name)
    calls = calls_of(tiny, model_of(tiny))
    transformer, every = calls.transformer, heads(calls.sites)
    with torch.no_grad():
        run(transformer, calls.first([0]))
    call, shift = calls.first([0]), 0.02
    with taps(transformer, calls.sites) as reader:
        output = calls.velocity(run(transformer, call, reader), torch.empty(0))
        cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
        products = reader.products(output, cotangent)[0, :, -1, 0]
    for place in np.linspace(0, len(every) - 1, 5).astype(int):
        moved = []
        for factor in (1 - shift, 1 + shift):
            with torch.no_grad(), scale(transformer, [every[place].address], factor):
                moved.append(calls.velocity(run(transformer, call), torch.empty(0)))
        expected = ((moved[0] - moved[1]).double() * cotangent).sum() / (2 * shift)
        largest = np.abs(products).max()
        np.testing.assert_allclose(products[place], expected, rtol=0.02, atol=2e-3 * largest)


@pytest.mark.parametrize("name", ["qwen_image", "sdxl"])
def test_patches_are_predicted_on_other_families(name: str) -> None:
    """Nothing reads the last text heads of Qwen-Image; SDXL predicts a grid."""
    tiny = make(name)
    calls = calls_of(tiny, model_of(tiny))
    every, rows = [unit.address for unit in heads(calls.sites)], [0, 1]
    found = predicted_toward(calls, [(0, 1)], batch_size=2)
    call = calls.first(rows)

    def predicted() -> Tensor:
        return calls.velocity(run(calls.transformer, call), torch.empty(0)).double()

    with torch.no_grad():
        with record(calls.transformer, every) as outputs:
            intact = predicted()
        swapped = {address: output.flip(0) for address, output in outputs.items()}
        way = intact.flip(0) - intact
        axes = tuple(range(1, way.ndim))
        for place in np.linspace(0, len(every) - 1, 6).astype(int):
            with patch(calls.transformer, [every[place]], swapped):
                moved = predicted() - intact
            expected = (moved * way).sum(axes) / way.square().sum(axes)
            np.testing.assert_allclose(found[:, place], expected, atol=0.02, rtol=0.05)


def test_heads_are_edited_where_a_model_folds_tokens_into_rows() -> None:
    """Krea 2 first mixes the layers of its text encoder, token by token."""
    calls = calls_of(tiny := make("krea2"), model_of(tiny))
    unit = heads(calls.sites)[0]
    assert unit.site.module.startswith("text_fusion.layerwise_blocks")
    made, heard = Denoiser(calls, batch_size=2), ("text", "pad")
    rows = next(group for group in calls.groups() if len(group) > 1)[:2]
    intact, head = made.displace(rows), (unit.address,)
    silent = made.displace(rows, Edit(head, factor=0.0))
    assert not torch.equal(silent, intact)
    assert torch.equal(made.displace(rows, Edit(head, factor=0.0, tokens=heard)), silent)
    itself = Edit(head, donors=tuple(range(len(PROMPTS))))
    swapped = {rows[0]: rows[1], rows[1]: rows[0]}
    other = replace(itself, donors=tuple(swapped.get(n, n) for n in range(len(PROMPTS))))
    beside = made.displace(rows, other)
    assert torch.equal(made.displace(rows, itself), intact)
    assert made.keep(rows, head)
    assert torch.equal(made.displace(rows, itself), intact)
    assert torch.equal(made.displace(rows, other), beside)
    assert not torch.equal(beside, intact)
    own_mean = made.displace(rows[:1], Edit(head, mean=tuple(rows[:1])))
    torch.testing.assert_close(own_mean, intact[:1])
    both = made.displace(rows, Edit(head, mean=tuple(rows)))
    assert not torch.equal(both, intact)
    vector = {unit.address: np.ones((len(TOKEN_GROUPS), unit.site.head_dim))}
    none, one = (Shift(vector, dict.fromkeys(rows, dose)) for dose in (0.0, 1.0))
    assert torch.equal(made.displace(rows, Edit(head, shift=none)), intact)
    assert not torch.equal(made.displace(rows, Edit(head, shift=one)), intact)


@pytest.mark.parametrize("name", ["flux1", "qwen_image", "sana", "sdxl", "hunyuan_dit"])
def test_edges_and_added_vectors_on_every_kind_of_block(name: str) -> None:
    """A patch that is nearly linear goes as far as is predicted; it reaches no earlier head."""
    tiny = make(name)
    calls = calls_of(tiny, model_of(tiny))
    transformer, every = calls.transformer, heads(calls.sites)
    (rows, *_) = [group[:2] for group in calls.groups() if len(group) > 1]
    middle = every[len(every) // 2]
    found = head_edges(calls, [(rows[0], rows[1])], [middle.address], batch_size=2)
    own = found.edges[:, 0, every.index(middle)]
    np.testing.assert_allclose(own, found.toward[:, 0], rtol=0.1, atol=1e-4)
    first = [place for place, unit in enumerate(every) if unit.site == every[0].site]
    assert np.abs(found.edges[:, 0, first]).max() == 0
    vector = torch.ones(1, len(TOKEN_GROUPS), middle.site.head_dim)
    with torch.no_grad():
        intact = run(transformer, calls.first([rows[0]]))
        with add(transformer, [middle.address], {middle.address: vector}) as editing:
            assert not torch.equal(run(transformer, calls.first([rows[0]]), editing), intact)
