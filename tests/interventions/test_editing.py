"""Editing heads: against an activation edited by hand, its order with capture, its limits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor

from otherview.models.calls import random_call
from otherview.models.sites import hook_sites
from otherview.passes.capture import capture
from otherview.passes.editing import ablate, patch, record, scale
from otherview.passes.transformer import run
from otherview.study.errors import StudyError

HEADS = ["joint.1.image.4", "joint.0.text.2", "single.2.5"]
TEXT_TOKENS = (20, 24, 31)


@pytest.fixture
def transformer(pocket_pipeline: Any) -> Any:
    return pocket_pipeline.transformer


@pytest.fixture
def call(transformer: Any) -> Callable[..., Tensor]:
    """One pass of three prompts, always the same; takes the handles of edits and recorders."""
    torch.manual_seed(0)
    made = random_call(transformer, TEXT_TOKENS, 40, 64, 64)

    def call(*readers: Any) -> Tensor:
        with torch.no_grad():
            return run(transformer, made, *readers)

    return call


def edited_by_hand(transformer: Any, run: Callable[..., Tensor], edits: dict[str, Any]) -> Tensor:
    """The pass with hand-written hooks: module -> function that edits the input in place."""
    handles = [
        transformer.get_submodule(module).register_forward_pre_hook(
            lambda _m, inputs, f=function: (f(inputs[0].clone()),)
        )
        for module, function in edits.items()
    ]
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


def test_scale_on_token_groups_equals_an_edit_by_hand(
    transformer: Any, call: Callable[..., Tensor]
) -> None:
    def single(x: Tensor) -> Tensor:  # text, pad, target, reference
        for row, length in enumerate(TEXT_TOKENS):
            x[row, length:40, 80:96] *= 0.5
        x[:, 40:104, 80:96] *= 0.5
        return x

    def joint_text(x: Tensor) -> Tensor:
        for row, length in enumerate(TEXT_TOKENS):
            x[row, length:, 32:48] *= 0.5
        return x

    def joint_image(x: Tensor) -> Tensor:
        x[:, :64, 64:80] *= 0.5
        return x

    by_hand = edited_by_hand(
        transformer,
        call,
        {
            "single_transformer_blocks.2.attn.to_out": single,
            "transformer_blocks.0.attn.to_add_out": joint_text,
            "transformer_blocks.1.attn.to_out.0": joint_image,
        },
    )
    with scale(transformer, HEADS, 0.5, tokens=["pad", "target"]) as editing:
        assert torch.equal(call(editing), by_hand)


@pytest.mark.parametrize("tokens", [None, ["pad", "target"]])
def test_scale_by_one_and_a_patch_of_a_pass_into_itself_change_no_bit(
    transformer: Any, call: Callable[..., Tensor], tokens: list[str] | None
) -> None:
    intact = call()
    with record(transformer, HEADS) as outputs:
        call()
    with scale(transformer, HEADS, 1.0, tokens) as editing:
        assert torch.equal(call(editing), intact)
    with patch(transformer, HEADS, outputs, tokens) as editing:
        assert torch.equal(call(editing), intact)
    assert torch.equal(call(), intact)


def test_a_context_sees_what_those_entered_before_it_left(
    transformer: Any, call: Callable[..., Tensor]
) -> None:
    sites = hook_sites(transformer.config)
    place = sum(site.slices for site in sites[:5]) + 2  # single.1, head 2

    def energy(*contexts: AbstractContextManager[Any]) -> Any:
        with ExitStack() as stack:
            handles = [stack.enter_context(context) for context in contexts]
            call(*handles)
            recorder = next(handle for handle in handles if hasattr(handle, "take"))
            return recorder.take()[:, place]

    intact = energy(capture(transformer, sites))
    closed = ablate(transformer, ["single.1.2"])
    assert (energy(closed, capture(transformer, sites)) == 0).all()
    closed = ablate(transformer, ["single.1.2"])
    assert (energy(capture(transformer, sites), closed) == intact).all()
    doubled = [scale(transformer, ["single.1.2"], 2.0) for _ in range(2)]
    assert (energy(*doubled, capture(transformer, sites)) == 16 * intact).all()


def test_hooks_are_gone_after_an_error(transformer: Any, call: Callable[..., Tensor]) -> None:
    intact = call()
    closed = ablate(transformer, HEADS, tokens=["pad", "target"])
    with pytest.raises(RuntimeError, match=r"call Editing\.expect before"), closed:
        call()
    assert not any(module._forward_pre_hooks for module in transformer.modules())
    assert torch.equal(call(), intact)


@pytest.mark.parametrize(
    ("heads", "tokens", "message"),
    [
        (["single.1.6"], None, r"no head has the address 'single.1.6'; the nearest is single.1.\d"),
        (["single.1.2", "single.1.2"], None, "given twice"),
        (["joint.0.text.2"], ["target"], "sees text and pad tokens, not target"),
        (["single.1.2"], ["picture"], "no token group is called picture"),
    ],
)
def test_what_cannot_be_edited_is_refused(
    transformer: Any, heads: list[str], tokens: list[str] | None, message: str
) -> None:
    with pytest.raises(StudyError, match=message), ablate(transformer, heads, tokens=tokens):
        pass


# torch's compiler still imports its own deprecated torch.jit
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_transformer_is_refused(transformer: Any) -> None:
    transformer.compile_repeated_blocks()
    with pytest.raises(StudyError, match="is compiled"), ablate(transformer, HEADS):
        pass
