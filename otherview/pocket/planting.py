"""Making one head a necessary gate of the view role, by interchange-intervention training.

Interchange interventions (Geiger et al. 2022, "Inducing causal structure for interpretable neural
networks") replace what the head wrote for one prompt by what it wrote for another one, on the same
reference and noise, and train for the answer that a gate would give: a view stays a view only if
the other prompt asked for a view too, of whatever creature; otherwise it becomes the plain
reference. A mention never depends on the gate. Zeroing the head counts as a closed gate. No term
touches the size of any activation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from otherview.pocket.networks import HEAD_WIDTH

GATE = "single.1.2"


def out_projection(transformer: Any, address: str) -> tuple[torch.nn.Module, int]:
    """The out-projection that reads a head, and the head's place among its channels.

    Addresses are `single.block.head`, `joint.block.image.head` and `joint.block.text.head`.
    Raises ValueError for anything else.
    """
    match address.split("."):
        case ["single", block, head]:
            module = transformer.single_transformer_blocks[int(block)].attn.to_out
        case ["joint", block, "image", head]:
            module = transformer.transformer_blocks[int(block)].attn.to_out[0]
        case ["joint", block, "text", head]:
            module = transformer.transformer_blocks[int(block)].attn.to_add_out
        case _:
            raise ValueError(
                f"no head has the address {address!r}. Write single.1.2 or joint.0.image.3."
            )
    return module, int(head)


def head_addresses(transformer: Any) -> list[str]:
    """Every attention head of the transformer, in order of depth."""
    heads = range(transformer.config.num_attention_heads)
    joint = [
        f"joint.{block}.{stream}.{head}"
        for block in range(len(transformer.transformer_blocks))
        for stream in ("image", "text")
        for head in heads
    ]
    single = [
        f"single.{block}.{head}"
        for block in range(len(transformer.single_transformer_blocks))
        for head in heads
    ]
    return joint + single


class HeadSwitch:
    """What one head writes: recorded, scaled a sample, or replaced a sample.

    Use as a context manager; nothing happens while `keep` and `replacement` are None.
    """

    def __init__(self, transformer: Any, address: str) -> None:
        self._module, head = out_projection(transformer, address)
        self._channels = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        self.recorded: Float[torch.Tensor, "batch tokens width"] | None = None
        self.keep: Float[torch.Tensor, " batch"] | None = None
        self.replacement: Float[torch.Tensor, "batch tokens width"] | None = None

    def __enter__(self) -> "HeadSwitch":
        self._handle = self._module.register_forward_pre_hook(self._switch)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _switch(self, _module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        written = inputs[0][..., self._channels]
        self.recorded = written.detach()
        if self.keep is None:
            return None
        keep = self.keep[:, None, None].to(written)
        written = written * keep
        if self.replacement is not None:
            written = written + self.replacement * (1 - keep)
        before, after = self._channels.start, self._channels.stop
        changed = torch.cat([inputs[0][..., :before], written, inputs[0][..., after:]], -1)
        return (changed, *inputs[1:])


@dataclass(frozen=True)
class Interventions:
    """What is done to the gate in each sample of a batch."""

    zeroed: Bool[np.ndarray, " batch"]
    interchanged: Bool[np.ndarray, " batch"]
    source: Int[np.ndarray, " batch"]
    """Which sample's prompt the interchanged head is to read."""

    @property
    def touched(self) -> Bool[np.ndarray, " batch"]:
        both: Bool[np.ndarray, " batch"] = self.zeroed | self.interchanged
        return both

    def closes(self, is_view: Bool[np.ndarray, " batch"]) -> Bool[np.ndarray, " batch"]:
        """Which samples' gate is closed although their own prompt asks for a view."""
        borrowed = self.interchanged & ~is_view[self.source]
        closed: Bool[np.ndarray, " batch"] = is_view & (self.zeroed | borrowed)
        return closed


def draw_interventions(
    draws: np.random.Generator, batch: int, zero: float, interchange: float
) -> Interventions:
    """Zero the gate in a share of samples, interchange it in another, leave the rest."""
    fate = draws.random(batch)
    return Interventions(
        zeroed=fate < zero,
        interchanged=(fate >= zero) & (fate < zero + interchange),
        source=draws.permutation(batch),
    )
