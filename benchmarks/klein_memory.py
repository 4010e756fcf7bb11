"""What a pass with gradients of FLUX.2 Klein 4B needs, from its architecture: no weights, no GPU.

    python benchmarks/klein_memory.py

Runs `otherview.passes.gradients` on the meta device at 1024 x 1024 pixels with one reference of
that size and 512 text positions, in bfloat16: one prompt, and a pair, the smallest batch of an
attribution. Printed are the largest sum of live tensors, without the weights, in a forward and a
backward pass, what autograd keeps between the two, and the floating-point operations. Attention is
the fused kernel of torch for GPUs, whose shapes torch knows without one.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from unittest import mock

import numpy as np
import torch
from diffusers import Flux2Transformer2DModel
from random_models import architecture
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from otherview.models.calls import Call, TokenLayout
from otherview.models.sites import hook_sites
from otherview.passes.gradients import checkpointing, taps
from otherview.passes.transformer import run
from otherview.study import TOKEN_GROUPS
from otherview.views.numbers import plural

GIB = 2**30
TEXT, SIDE, PAIR = 512, 64, 2
"""Text positions, target tokens along an edge (1024 pixels), and prompts of a batch."""


class LiveBytes:
    """Sums the bytes of storages that exist, from the moment that an operation makes them."""

    def __init__(self, known: set[int]) -> None:
        self._known, self.now, self.peak = set(known), 0, 0

    def mode(self) -> AbstractContextManager[Any]:
        """Watch every operation while the context lasts."""

        def dispatch(_: Any, function: Any, __: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for each in made if isinstance(made, tuple | list) else [made]:
                if isinstance(each, Tensor):
                    self._add(each.untyped_storage())
            return made

        watching: Any = type("Watching", (TorchDispatchMode,), {"__torch_dispatch__": dispatch})
        return cast("AbstractContextManager[Any]", watching())

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._remove, key, storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Need:
    """Of one cotangent over a batch of prompts."""

    kept: int
    """Bytes between the forward and the backward pass."""
    peak: int
    """Most bytes at any time."""
    forward_flops: float
    flops: float
    """Of both passes."""


def need(*, checkpointed: bool, rows: int = PAIR) -> Need:
    """What the forward and the backward pass of an attribution need, without the weights."""
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel.from_config(architecture("klein"))
    transformer = transformer.to(torch.bfloat16).eval()
    given = [*transformer.parameters(), *transformer.buffers()]
    tracker = LiveBytes({each.untyped_storage()._cdata for each in given})
    with fused_attention(), checkpointing(transformer) if checkpointed else nullcontext():
        kept = both_passes(transformer, rows, tracker.mode(), lambda: tracker.now)
        # apart: this mode keeps tensors alive
        flops = FlopCounterMode(display=False)
        forward = both_passes(transformer, rows, flops, flops.get_total_flops)
    return Need(kept, tracker.peak, forward, flops.get_total_flops())


def both_passes(
    transformer: Any, rows: int, mode: AbstractContextManager[Any], between: Callable[[], int]
) -> int:
    """Run one cotangent under `mode`; return what `between` says after the forward pass."""
    sites, call = hook_sites(transformer.config), call_of(transformer.config, rows)
    with taps(transformer, sites) as reader, mode:
        reader.donors = np.arange(rows) ^ 1
        output = run(transformer, call, reader)
        found = between()
        torch.autograd.grad(output, reader.anchor, torch.empty_like(output))
    return found


@contextmanager
def fused_attention() -> Iterator[None]:
    """Have attention be the kernel that a GPU would take, which keeps no attention matrix."""

    def attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        made: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]
        return made

    with mock.patch("torch.nn.functional.scaled_dot_product_attention", attention):
        yield


def call_of(config: Any, rows: int) -> Call:
    """A call of `rows` prompts with one reference of the target's size, on the meta device."""
    image, of = 2 * SIDE**2, partial(torch.empty, device="meta", dtype=torch.bfloat16)
    arguments = {
        "hidden_states": of(rows, image, config["in_channels"]),
        "encoder_hidden_states": of(rows, TEXT, config["joint_attention_dim"]),
        "timestep": of(rows),
        "guidance": None,
        "txt_ids": torch.zeros(rows, TEXT, 4, device="meta"),
        "img_ids": torch.zeros(rows, image, 4, device="meta"),
        "return_dict": False,
    }
    places = {"text": TEXT, "image": image, "all": TEXT + image}
    masks = {name: np.ones((rows, len(TOKEN_GROUPS), size), bool) for name, size in places.items()}
    return Call(arguments, TokenLayout(masks))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    table = Table(title="one cotangent of FLUX.2 Klein 4B at 1024 x 1024 pixels")
    for heading in ("", "kept, GiB", "peak, GiB", "forward", "forward and backward"):
        table.add_column(heading)
    for checkpointed, rows in ((False, 1), (True, 1), (True, PAIR)):
        found = need(checkpointed=checkpointed, rows=rows)
        table.add_row(
            f"{plural(rows, 'prompt')}, {'checkpointed' if checkpointed else 'plain'}",
            f"{found.kept / GIB:.1f}",
            f"{found.peak / GIB:.1f}",
            f"{found.forward_flops / rows / 1e12:.0f} TFLOP per prompt",
            f"{found.flops / rows / 1e12:.0f} TFLOP per prompt",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
