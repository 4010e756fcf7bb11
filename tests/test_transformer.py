"""The one transformer call: read and edited in any order of tokens, on any device."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from otherview.models.calls import Call, TokenLayout, random_call
from otherview.models.sites import Site, sites_of
from otherview.passes.capture import capture
from otherview.passes.editing import scale
from otherview.passes.transformer import run
from otherview.study import TOKEN_GROUPS

CHECKOUT = Path(__file__).resolve().parent.parent
ORDERS = ("as in FLUX.2", "target first", "reference before target", "text dropped")
Labels = dict[str, np.ndarray]
"""Which group every position belongs to, by stream, `[rows, positions]`."""


@pytest.fixture
def transformer(pocket_pipeline: Any) -> Any:
    return pocket_pipeline.transformer


def labels_of(order: str) -> Labels:
    text = np.where(np.arange(20) < np.array([[5], [9], [7]]), "text", "pad")
    image = np.broadcast_to(np.repeat(["target", "reference"], [16, 8]), (3, 24))
    if order == "reference before target":
        image = image[:, ::-1]
    if order == "text dropped":
        text = np.where(np.arange(20) % 3 == 1, "", text)
    both = [image, text] if order == "target first" else [text, image]
    return {"text": text, "image": image, "all": np.concatenate(both, 1)}


def random_call_of(transformer: Any, labels: Labels) -> Call:
    """Three prompts, always the same, whose tokens are said to be `labels`."""
    torch.manual_seed(0)
    groups = {k: np.stack([v == g for g in TOKEN_GROUPS], 1) for k, v in labels.items()}
    call = random_call(transformer, (5, 9, 7), 20, 16, 8)
    return replace(call, layout=TokenLayout(groups))


@contextmanager
def by_hand(transformer: Any, act: Callable[[Site, Tensor], Tensor | None]) -> Iterator[None]:
    """Hooks of this test's own on every site."""
    handles = [
        transformer.get_submodule(site.module).register_forward_pre_hook(
            lambda _, inputs, site=site: act(site, inputs[0])
        )
        for site in sites_of(transformer)
    ]
    yield
    for handle in handles:
        handle.remove()


@torch.no_grad()
def energy_of(transformer: Any, call: Call) -> np.ndarray:
    with capture(transformer, sites_of(transformer)) as recorder:
        run(transformer, call, recorder)
        return recorder.take()


@pytest.mark.parametrize("order", ORDERS)
def test_energies_are_those_of_tokens_picked_by_hand(transformer: Any, order: str) -> None:
    labels, sites = labels_of(order), []

    def keep(site: Site, inputs: Tensor) -> None:
        squares = inputs.double().numpy().reshape(*inputs.shape[:2], -1, site.slice_width) ** 2
        sums = np.full((3, site.slices, len(TOKEN_GROUPS)), np.nan)
        for place, group in enumerate(TOKEN_GROUPS):
            if group in site.token_groups:
                for row, groups in enumerate(labels[site.stream]):
                    sums[row, :, place] = squares[row, groups == group].sum((0, 2))
        sites.append((site, sums))

    call = random_call_of(transformer, labels)
    with torch.no_grad(), by_hand(transformer, keep):
        run(transformer, call)
    order_of_sites = sites_of(transformer)
    sites.sort(key=lambda kept: order_of_sites.index(kept[0]))
    expected = np.concatenate([sums for _, sums in sites], axis=1)
    np.testing.assert_allclose(energy_of(transformer, call), expected, rtol=1e-5)
    counts = [(labels["all"] == group).sum(1) for group in TOKEN_GROUPS]
    np.testing.assert_array_equal(call.layout.counts(), np.stack(counts, 1))


@pytest.mark.parametrize("order", ORDERS)
def test_an_edit_reaches_tokens_picked_by_hand(transformer: Any, order: str) -> None:
    labels = labels_of(order)

    def halve(site: Site, inputs: Tensor) -> Tensor:
        if site.address != "single.1":
            return inputs
        picked = torch.from_numpy(np.isin(labels["all"], ("pad", "reference")))[..., None]
        inputs = inputs.clone()
        inputs[..., 32:48] *= torch.where(picked, 0.5, 1.0)
        return inputs

    call = random_call_of(transformer, labels)
    with torch.no_grad():
        with by_hand(transformer, halve):
            expected = run(transformer, call)
        with scale(transformer, ["single.1.2"], 0.5, ["pad", "reference"]) as editing:
            edited = run(transformer, call, editing)
        intact = run(transformer, call)
    assert torch.equal(edited, expected)
    assert not torch.equal(edited, intact)


def test_weights_that_are_offloaded_change_no_bit(transformer: Any) -> None:
    from accelerate import cpu_offload

    call = random_call_of(transformer, labels_of("as in FLUX.2"))

    def edited() -> Tensor:
        with scale(transformer, ["single.1.2"], 0.5, ["pad", "target"]) as editing:
            return run(transformer, call, editing)

    with torch.no_grad():
        plain = energy_of(transformer, call), edited()
        cpu_offload(transformer, execution_device=torch.device("cpu"))
        assert next(transformer.parameters()).device.type == "meta"
        offloaded = energy_of(transformer, call), edited()
    np.testing.assert_array_equal(offloaded[0], plain[0])
    assert torch.equal(offloaded[1], plain[1])


def test_one_module_calls_a_transformer_and_hooks_it() -> None:
    found = set()
    for room in ("otherview", "scripts", "benchmarks"):
        for file in (CHECKOUT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                name = called.rpartition(".")[2].lstrip("_")
                if name in ("transformer", "register_forward_pre_hook", "register_forward_hook"):
                    found.add((file.relative_to(CHECKOUT).as_posix(), name))
    assert found == {
        ("otherview/passes/transformer.py", "transformer"),
        ("otherview/passes/transformer.py", "register_forward_pre_hook"),
        (
            "otherview/models/interception.py",
            "register_forward_pre_hook",
        ),  # stops it before it runs
        ("benchmarks/plain_script.py", "register_forward_pre_hook"),  # knows nothing of otherview
        ("scripts/pocket_training/networks.py", "transformer"),  # makes one
        ("scripts/pocket_training/stages.py", "transformer"),  # the same function
        ("scripts/train_pocket.py", "transformer"),  # the same function
    }
