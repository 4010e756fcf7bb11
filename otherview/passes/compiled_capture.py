"""Reads heads while a transformer runs under torch.compile.

Hooks that are registered after torch.compile are ignored in silence, and a hook of its own for
every block would be compiled for every block. So the hooks are registered first, all are the same
function, and each writes into buffers of its own module, which a compiled block takes as inputs
like its weights: one graph serves all blocks of a kind, and no hook breaks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from otherview.models.sites import Site
from otherview.models.tokens import TokenLayout
from otherview.passes.capture import RAN_TWICE, Recorder, sums_of_squares
from otherview.passes.transformer import hooked

BUFFERS = ("otherview_sums", "otherview_calls", "otherview_masks")
WIDTH = "otherview_width"


@contextmanager
def compiled_capture(
    transformer: Any, sites: Sequence[Site], **settings: Any
) -> Iterator[CompiledRecorder]:
    """As `capture`, with the repeated blocks of `transformer` compiled while the context lasts.

    `settings` go to torch.compile, with `fullgraph=True`. A pass may have any number of rows, but
    each new number is compiled again. Raises StudyError as `capture` does.
    """
    with hooked(transformer, sites, {site.module: add_sums for site in sites}):
        linears = [transformer.get_submodule(site.module) for site in sites]
        try:
            transformer.compile_repeated_blocks(fullgraph=True, **settings)
            yield CompiledRecorder(sites, linears)
        finally:
            for module in transformer.modules():
                module._compiled_call_impl = None
            for linear in linears:
                for name in BUFFERS:
                    linear._buffers.pop(name, None)
                    linear._non_persistent_buffers_set.discard(name)
                linear.__dict__.pop(WIDTH, None)


def add_sums(linear: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Add to the buffers of a site's module, so that a second pass can be told; its hook."""
    sums: Any = linear.otherview_sums
    calls: Any = linear.otherview_calls
    masks: Any = linear.otherview_masks
    sums.add_(sums_of_squares(inputs[0], getattr(linear, WIDTH), masks))
    calls.add_(1)


class CompiledRecorder(Recorder):
    """As `Recorder`, reading the buffers that compiled hooks fill."""

    def __init__(self, sites: Sequence[Site], linears: Sequence[nn.Module]) -> None:
        super().__init__(sites)
        self._linears = list(linears)

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call and empty the buffers."""
        super().expect(layout, device)
        for site, linear in zip(self._sites, self._linears, strict=True):
            masks = self._masks[site.stream]
            made = (
                torch.zeros(*masks.shape[:2], site.slices, device=device),
                torch.zeros((), dtype=torch.int64, device=device),
                masks,
            )
            for name, buffer in zip(BUFFERS, made, strict=True):
                linear.register_buffer(name, buffer, persistent=False)
            setattr(linear, WIDTH, site.slice_width)

    def take(self) -> Any:
        """As `Recorder.take`; raises RuntimeError also where a site ran twice."""
        made: list[dict[str, Any]] = [linear._buffers for linear in self._linears]
        calls = torch.stack([buffers[BUFFERS[1]] for buffers in made]).tolist()
        for index, (site, buffers, times) in enumerate(zip(self._sites, made, calls, strict=True)):
            if times > 1:
                raise RuntimeError(f"{site.address} ran {times} times in one pass: {RAN_TWICE}")
            if times:
                self._energies[index] = buffers[BUFFERS[0]]
        return super().take()
