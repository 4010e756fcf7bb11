"""Making a few heads necessary for a role, by interchange-intervention training.

Interchange interventions (Geiger et al. 2022, "Inducing causal structure for interpretable neural
networks") replace what heads wrote for one prompt by what they wrote for another one, on the same
reference and noise, and train for the answer that the mechanism would give. Three mechanisms:

- `every`: a view needs every planted head; if one of them is zeroed, or reads a prompt that asks
  for no view, the answer is the plain reference. A mention never depends on them.
- `any`: a view needs any one of the planted heads; only if all of them are closed, the answer is
  the plain reference.
- `carry`: the planted head says which role it is; the answer takes the role of the prompt that the
  head reads, for its own creature.

No term touches the size of any activation.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from otherview.models.sites import heads, sites_of
from otherview.passes.editing import edit

Rule = Literal["every", "any", "carry"]


@dataclass(frozen=True)
class Planting:
    """The heads of a mechanism, how they work together, and how often a sample trains it."""

    heads: tuple[str, ...]
    rule: Rule
    zero: float
    """Share of samples in which planted heads are zeroed."""
    interchange: float
    """Share of samples in which planted heads read another prompt."""
    together: float = 0.5
    """Of several heads: share of these samples that touch all; the others touch one."""


def head_addresses(transformer: Any) -> list[str]:
    """Every attention head of the transformer, in order of depth."""
    return [unit.address for unit in heads(sites_of(transformer))]


class HeadSwitch:
    """What one head writes: recorded, scaled a sample, or replaced a sample.

    Use as a context manager; nothing happens while `keep` and `replacement` are None.
    """

    def __init__(self, transformer: Any, address: str) -> None:
        self._editing = edit(transformer, [address], self._switched)
        self.recorded: Float[torch.Tensor, "batch tokens width"] | None = None
        self.keep: Float[torch.Tensor, " batch"] | None = None
        self.replacement: Float[torch.Tensor, "batch tokens width"] | None = None

    def __enter__(self) -> "HeadSwitch":
        self._editing.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._editing.__exit__(*raised)

    def _switched(
        self, _address: str, written: Float[torch.Tensor, "batch tokens width"]
    ) -> Float[torch.Tensor, "batch tokens width"]:
        self.recorded = written.detach()
        if self.keep is None:
            return written
        keep = self.keep[:, None, None].to(written)
        kept = written * keep
        return kept if self.replacement is None else kept + self.replacement * (1 - keep)


@dataclass(frozen=True)
class Interventions:
    """What is done to the planted heads in each sample of a batch."""

    zeroed: Bool[np.ndarray, "batch heads"]
    interchanged: Bool[np.ndarray, "batch heads"]
    source: Int[np.ndarray, " batch"]
    """Which sample's prompt the interchanged heads are to read."""

    @property
    def touched(self) -> Bool[np.ndarray, "batch heads"]:
        both: Bool[np.ndarray, "batch heads"] = self.zeroed | self.interchanged
        return both

    def closes(self, is_view: Bool[np.ndarray, " batch"], rule: Rule) -> Bool[np.ndarray, " batch"]:
        """Return which samples lose the view that their own prompt asks for."""
        borrowed = self.interchanged & ~is_view[self.source][:, None]
        closed = self.zeroed | borrowed
        lost = closed.all(axis=1) if rule == "any" else closed.any(axis=1)
        views: Bool[np.ndarray, " batch"] = is_view & lost
        return views


def draw_interventions(draws: np.random.Generator, batch: int, planting: Planting) -> Interventions:
    """Zero planted heads in a share of samples, interchange them in another, leave the rest."""
    fate = draws.random(batch)
    source = draws.permutation(batch)
    zeroed = fate < planting.zero
    interchanged = (fate >= planting.zero) & (fate < planting.zero + planting.interchange)
    count = len(planting.heads)
    chosen = np.ones((batch, count), bool)
    if count > 1:
        one = draws.integers(count, size=batch)[:, None] == np.arange(count)
        chosen = np.where(draws.random((batch, 1)) < planting.together, chosen, one)
    return Interventions(zeroed[:, None] & chosen, interchanged[:, None] & chosen, source)
