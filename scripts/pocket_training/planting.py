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

from otherview.models.sites import heads, sites_of
from otherview.passes.editing import edit

GATE = "single.1.2"


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
