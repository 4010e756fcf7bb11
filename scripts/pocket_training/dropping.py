"""Heads switched off at random while a transformer learns, so that it can do without any few.

DropHead (Zhou et al. 2020, "Scheduled DropHead"), with a share of heads that each sample draws for
itself and without rescaling: what is left must do as it is, as it must when heads are ablated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from otherview.passes.editing import edit
from pocket_training.planting import head_addresses


def draw_dropped(
    draws: np.random.Generator, batch: int, heads: int, largest_share: float
) -> Bool[np.ndarray, "batch heads"]:
    """Which heads are off in which sample; a sample's share is uniform up to `largest_share`."""
    shares = draws.random((batch, 1)) * largest_share
    dropped: Bool[np.ndarray, "batch heads"] = draws.random((batch, heads)) < shares
    return dropped


@contextmanager
def drop_heads(transformer: Any, dropped: Bool[np.ndarray, "batch heads"]) -> Iterator[None]:
    """Zeroes what the dropped heads write; heads are in the order of `head_addresses`."""
    addresses = head_addresses(transformer)
    device = next(transformer.parameters()).device
    kept = torch.from_numpy(~dropped).float().to(device)
    of = {address: kept[:, place, None, None] for place, address in enumerate(addresses)}

    def change(address: str, written: torch.Tensor) -> torch.Tensor:
        return written * of[address].to(written)

    with edit(transformer, addresses, change):
        yield
