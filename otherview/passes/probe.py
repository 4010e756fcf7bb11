"""Run every prompt through the transformer, once per level of noise; return the responses."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.encodings import text_distances
from otherview.models.sites import first_slices, heads
from otherview.passes.batches import halving_by_group
from otherview.passes.capture import NonFiniteActivationError, capture, compiled_capture
from otherview.passes.responses import Responses
from otherview.passes.steps import latents_of, moments, run_steps
from otherview.study import TOKEN_GROUPS, Sampling
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    from otherview.passes.unfinished import Batch, Unfinished

ROUNDING = 0.01
"""Share of an energy that rounding may change, in bfloat16."""


@torch.no_grad()
def probe(
    calls: Calls,
    prompts: PromptSet,
    sampling: Sampling | None = None,
    *,
    batch_size: int = 4,
    compiled: bool = False,
    means: bool = False,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> Responses:
    """Return the responses to `prompts`, which `calls` must have in the same order.

    There is one transformer call per prompt and noise level of `sampling` (by default the first
    denoising step alone), without guidance: the responses equal those of hooks around one pipeline
    call per prompt. A batch runs at all its levels or steps before the next one. Prompts that
    cannot share a batch, because the model does not pad them to one length, run in groups. A batch
    that does not fit into device memory is split in halves, and so are all later ones. With
    `compiled`, the blocks of the transformer are compiled. With `means`, the mean vectors of heads
    are kept, too: of one step and without `compiled`, which a Study checks. Every batch is written
    into `unfinished`, and those that it already contains are not run again. Raises StudyError for
    an unknown or compiled transformer, and where an activation is not finite, with its block and
    prompt.
    """
    transformer, sites, groups = calls.transformer, calls.sites, calls.groups()
    sampling = sampling or Sampling()
    total, conditions = len(prompts.prompts), len(prompts.conditions)
    order = [prompt for group in groups for prompt in group]
    batches, tokens, sizes = [], [], [batch_size]
    assert not (means and compiled)
    hooked = (
        compiled_capture(transformer, sites)
        if compiled
        else capture(transformer, sites, means=means)
    )
    before = 0  # rows of the last call
    with hooked as recorder:

        def measured(rows: range) -> tuple[range, dict[str, Batch]]:
            nonlocal before
            kept = unfinished.get(rows.start) if unfinished else None
            if kept is not None:
                before = len(kept["energy"])
                return range(rows.start, rows.start + before), kept
            spare = max(0, before - len(rows)) if compiled and rows.stop == total else 0
            before = 0
            # another number of rows needs another compilation
            batch = [order[row] for row in [*rows, *[rows[-1]] * spare]]
            try:
                steps = run_steps(calls, sampling, batch, recorder)
                taken = [recorder.take()[: len(rows)] for _ in steps]
            except NonFiniteActivationError as error:
                prompt = prompts.prompts[batch[error.row]]
                raise StudyError(
                    f"{error} for the prompt {prompt.text!r}; run with model.dtype=float32 to see "
                    "whether precision is the cause"
                ) from error
            made, before = {"energy": np.stack(taken, axis=1)}, len(batch)
            if means:
                made["means"] = recorder.take_means()
            if unfinished:
                unfinished.put(rows.start, made)
            return rows, made

        lengths = [len(group) for group in groups]
        ends = set(accumulate(lengths))
        for rows, made in halving_by_group(lengths, batch_size, measured):
            batches.append(made)
            tokens.append(calls.layout([order[row] for row in rows]).counts())
            if len(rows) < sizes[-1] and rows.stop not in ends:
                sizes.append(len(rows))
            progress("probing items", rows.stop // conditions, len(prompts.items))
    back = np.argsort(order)
    levels, timesteps = zip(*moments(calls, sampling), strict=True)
    shape, steps = (len(prompts.items), conditions), len(levels)
    whole = {name: np.concatenate([made[name] for made in batches])[back] for name in batches[0]}
    energy = whole["energy"].reshape(*shape, steps, -1, len(TOKEN_GROUPS))
    of_heads = whole["means"].reshape(*shape, *whole["means"].shape[1:]) if means else None
    for site, first in zip(sites, first_slices(sites), strict=True):
        if site in calls.unreached and equalise(energy[:, :, :, first : first + site.slices]):
            own = [unit.site == site for unit in heads(sites)]
            if of_heads is not None:
                of_heads[:, :, own] = of_heads[:, :1, own]
    return Responses(
        prompts,
        tuple(sites),
        energy,
        np.concatenate(tokens)[back].reshape(*shape, len(TOKEN_GROUPS)),
        text_distances(calls.text_means(), prompts),
        levels,
        timesteps,
        tuple(sizes),
        latents_of(sampling),
        of_heads,
    )


def equalise(energy: Float[np.ndarray, "items conditions steps slices groups"]) -> bool:
    """Give all conditions of an item the energy of the first one, in place; return whether it did.

    For a site that no prompt can change. Rounding differs with the length of the text and the size
    of the batch; where one role has longer wordings, so small a difference has a large t. Nothing
    is changed where conditions differ by more than rounding.
    """
    first = energy[:, :1]
    alike = not (np.abs(energy - first) > ROUNDING * np.abs(first)).any()
    if alike:
        energy[:] = first
    return alike
