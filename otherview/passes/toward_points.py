"""Predict how far a patch of each head would move the prediction toward that of the other role.

The way that a patch of a head moves the prediction is the integral of its gradient along the path
to the other role's output (integrated gradients: Sundararajan et al. 2017, 1703.01365). All heads
of a site go along their paths together, and the integral is the mean over two points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.sites import heads
from otherview.passes.batches import Done, halving_by_group
from otherview.passes.editing import edit
from otherview.passes.gradients import BackwardMemory, taps
from otherview.passes.predicted_changes import EDITS, READ_GROUPS
from otherview.passes.transformer import run
from otherview.study.attribution import TOWARD_POINTS
from otherview.study.prompts import PromptSet

Pair = tuple[int, int]


def pairs_of_items(prompts: PromptSet, groups: Sequence[Sequence[int]], items: int) -> list[Pair]:
    """Return pairs of prompts of the first contrast, one per item, for items evenly spread.

    Wordings take turns. At most `items` of those whose two prompts can share a batch: head outputs
    cannot be moved between passes of other lengths. `groups` are those of the calls.
    """
    contrast, every = prompts.contrasts[0], len(prompts.conditions)
    sides = contrast.test, contrast.control
    group = {prompt: number for number, there in enumerate(groups) for prompt in there}
    found: list[Pair] = []
    for item in np.linspace(0, len(prompts.items) - 1, min(items, len(prompts.items))).round():
        wording = len(found)
        test, control = (int(item) * every + side[wording % len(side)] for side in sides)
        if group[test] == group[control]:
            found.append((test, control))
    return sorted(found, key=lambda pair: group[pair[0]])


def predicted_toward(
    calls: Calls, pairs: Sequence[Pair], batch_size: int, progress: Progress = silent
) -> Float[np.ndarray, "prompts heads"]:
    """Return the share of the way to the other role's prediction that a patch of each head goes.

    One row per prompt of `pairs`, pair by pair; 0 for heads that the prediction does not depend on.
    Two passes with gradients per prompt and site, and one without, as `over_pairs` runs them.
    Raises StudyError for a compiled transformer, and where the attention has no backward pass.
    """
    predict = partial(toward_of_batch, calls)
    return np.concatenate(
        over_pairs(calls, pairs, batch_size, predict, progress, "predicting patches")
    )


def over_pairs(
    calls: Calls,
    pairs: Sequence[Pair],
    batch_size: int,
    trace: Callable[[list[int]], Done],
    progress: Progress,
    stage: str,
) -> list[Done]:
    """Return what `trace` makes of the prompts of `pairs`, of some pairs at a time.

    Where memory runs out, blocks keep only their inputs; where it still does, batches are halved.
    """
    group = {prompt: n for n, there in enumerate(calls.groups()) for prompt in there}
    lengths = [len(list(alike)) for _, alike in groupby(pairs, key=lambda pair: group[pair[0]])]
    memory, found = BackwardMemory(calls.transformer), []

    def traced(rows: range) -> tuple[range, Done]:
        batch = [prompt for pair in pairs[rows.start : rows.stop] for prompt in pair]
        return rows, memory.run(trace, batch)

    for rows, done in halving_by_group(lengths, max(1, batch_size // 2), traced):
        found.append(done)
        progress(stage, rows.stop, len(pairs))
    return found


def toward_of_batch(calls: Calls, prompts: Sequence[int]) -> Float[np.ndarray, "rows heads"]:
    """Return the predicted ways of prompts, each next to its partner."""
    transformer, noise = calls.transformer, calls.noise(prompts)
    call, donors = calls.first(prompts), np.arange(len(prompts)) ^ 1
    with torch.no_grad():
        intact = calls.velocity(run(transformer, call), noise).float()
    cotangent, found = along_the_way(intact, donors), []
    for site in calls.sites:
        total, addresses = np.zeros((len(prompts), site.heads)), [u.address for u in heads([site])]
        for share in TOWARD_POINTS:
            # the tap comes first, so that it keeps the intact outputs and not the mixed ones
            with (
                taps(transformer, calls.sites, [site]) as reader,
                edit(transformer, addresses, partial(mixed, donors, share)),
            ):
                reader.donors = donors
                velocity = calls.velocity(run(transformer, call, reader), noise)
                if not velocity.requires_grad:  # nothing reads the last text of Qwen-Image
                    break
                products = reader.products(velocity, cotangent)
            total += products[:, :, READ_GROUPS.index("all"), EDITS.index("patch")]
        found.append(total / len(TOWARD_POINTS))
    return np.concatenate(found, axis=1)


def along_the_way(
    intact: Float[Tensor, "rows ..."], donors: Int[np.ndarray, " rows"]
) -> Float[Tensor, "rows ..."]:
    """Return the cotangent whose product with a change is its share of the way to the donor's."""
    way = intact[torch.from_numpy(donors).to(intact.device)] - intact
    return way / way.square().sum(tuple(range(1, way.ndim)), keepdim=True)


def mixed(donors: Int[np.ndarray, " rows"], share: float, _: str, written: Tensor) -> Tensor:
    """Return the outputs of a head, a share of the way to those of its donors.

    The shift is a constant, so that gradients of one row do not reach its donor.
    """
    still = written.detach()
    by_row = still.reshape(len(donors), -1, still.shape[-1])  # some models fold rows into tokens
    other = by_row[torch.from_numpy(donors).to(still.device)].reshape(still.shape)
    return written + share * (other - still)
