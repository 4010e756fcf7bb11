"""Reads heads while a transformer runs under torch.compile.

Hooks that are registered after torch.compile are ignored in silence, and a hook of its own for
every block would be compiled anew for every block. So the hooks are registered first, all are the
same function, and each writes into buffers of its own module, which a compiled block takes as
inputs like its weights: one graph serves all blocks of a kind, and no hook breaks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from otherview.models.sites import Site
from otherview.passes.capture import (
    Recorder,
    TokenLayout,
    check_sites,
    positions,
    sums_of_squares,
)

BUFFERS = ("otherview_sums", "otherview_calls", "otherview_masks")
SIZES = "otherview_sizes"


@contextmanager
def compiled_capture(
    transformer: Any, sites: Sequence[Site], **settings: Any
) -> Iterator[CompiledRecorder]:
    """As `capture`, with the repeated blocks of `transformer` compiled while the context lasts.

    `settings` go to torch.compile beside `fullgraph=True`. A pass may have any number of rows, but
    each new number is compiled anew. Raises StudyError as `capture` does.
    """
    check_sites(transformer, sites)
    linears = [transformer.get_submodule(site.module) for site in sites]
    recorder = CompiledRecorder(sites, linears)
    handles = [linear.register_forward_pre_hook(add_sums) for linear in linears]
    try:
        transformer.compile_repeated_blocks(fullgraph=True, **settings)
        yield recorder
    finally:
        for module in transformer.modules():
            module._compiled_call_impl = None
        for handle in handles:
            handle.remove()
        for linear in linears:
            for name in BUFFERS:
                linear._buffers.pop(name, None)
                linear._non_persistent_buffers_set.discard(name)
            linear.__dict__.pop(SIZES, None)


def add_sums(linear: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """The hook of every site: adds to its module's buffers, so that a second pass can be told."""
    sums: Any = linear.otherview_sums
    calls: Any = linear.otherview_calls
    masks: Any = linear.otherview_masks
    width, text_length, target = getattr(linear, SIZES)
    sums.add_(sums_of_squares(inputs[0], width, text_length, target, masks))
    calls.add_(1)


class CompiledRecorder(Recorder):
    """As `Recorder`, reading the buffers that compiled hooks fill."""

    def __init__(self, sites: Sequence[Site], linears: Sequence[nn.Module]) -> None:
        super().__init__(sites, next(linears[0].parameters()).device)
        self._linears = list(linears)

    def expect(self, layout: TokenLayout) -> None:
        """Announces the tokens of the next transformer call; empties the buffers."""
        super().expect(layout)
        device = self._device
        for site, linear in zip(self._sites, self._linears, strict=True):
            text_length, _ = positions(site, layout)
            shape = len(layout.text_tokens), len(site.token_groups), site.slices
            made = (
                torch.zeros(shape, device=device),
                torch.zeros((), dtype=torch.int64, device=device),
                self._text_groups,
            )
            for name, buffer in zip(BUFFERS, made, strict=True):
                linear.register_buffer(name, buffer, persistent=False)
            setattr(linear, SIZES, (site.slice_width, text_length, layout.target))

    def take(self) -> Any:
        """As `Recorder.take`; raises RuntimeError also where a site ran twice."""
        made: list[dict[str, Any]] = [linear._buffers for linear in self._linears]
        calls = torch.stack([buffers[BUFFERS[1]] for buffers in made]).tolist()
        for site, times in zip(self._sites, calls, strict=True):
            if times > 1:
                raise RuntimeError(
                    f"{site.address} ran {times} times in one pass: guidance above 1 or more than "
                    "one step mixes responses; take() after every transformer call"
                )
        for index, (buffers, times) in enumerate(zip(made, calls, strict=True)):
            if times:
                self._energies[index] = buffers[BUFFERS[0]]
        return super().take()
