"""Run every prompt through the transformer once and return the responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.encodings import text_distances
from otherview.models.sites import sites_of
from otherview.passes.batches import halving
from otherview.passes.capture import NonFiniteActivationError, capture, compiled_capture
from otherview.passes.responses import Responses
from otherview.passes.transformer import run
from otherview.study import TOKEN_GROUPS
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    from otherview.passes.unfinished import Unfinished


@torch.inference_mode()
def probe(
    calls: Calls,
    prompts: PromptSet,
    *,
    batch_size: int = 4,
    compiled: bool = False,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> Responses:
    """Return the responses to `prompts`, which `calls` must have in the same order.

    There is one transformer call per prompt, with one denoising step and guidance 1: the responses
    equal those of hooks around one pipeline call per prompt. A batch that does not fit into device
    memory is split in halves, and so are all later ones. With `compiled`, the blocks of the
    transformer are compiled. Every batch is written into `unfinished`, and those that it already
    contains are not run again. Raises StudyError for an unknown or compiled
    transformer, and where an activation is not finite, with its block and prompt.
    """
    transformer = calls.pipeline.transformer
    sites = sites_of(transformer)
    total, conditions = len(prompts.prompts), len(prompts.conditions)
    timestep = calls.scheduler(1).timesteps[0]
    energies, tokens, sizes = [], [], [batch_size]
    hooked = compiled_capture(transformer, sites) if compiled else capture(transformer, sites)
    before = 0  # rows of the last call
    with hooked as recorder:

        def measured(rows: range) -> tuple[range, Float[np.ndarray, "rows slices groups"]]:
            nonlocal before
            kept = unfinished.get(rows.start) if unfinished else None
            if kept is not None:
                before = len(kept)
                return range(rows.start, rows.start + len(kept)), kept
            spare = max(0, before - len(rows)) if compiled and rows.stop == total else 0
            before = 0
            batch = [*rows, *[rows[-1]] * spare]  # another number of rows needs another compilation
            run(transformer, calls.call(batch, calls.noise(batch), timestep), recorder)
            try:
                energy = recorder.take()[: len(rows)]
            except NonFiniteActivationError as error:
                prompt = prompts.prompts[batch[error.row]]
                raise StudyError(
                    f"{error} for the prompt {prompt.text!r}; run with model.dtype=float32 to see "
                    "whether precision is the cause"
                ) from error
            before = len(batch)
            if unfinished:
                unfinished.put(rows.start, energy)
            return rows, energy

        for rows, energy in halving(total, batch_size, measured):
            energies.append(energy)
            tokens.append(calls.layout(rows).counts())
            if len(rows) < sizes[-1] and rows.stop < total:
                sizes.append(len(rows))
            progress("probing items", rows.stop // conditions, len(prompts.items))
    shape = (len(prompts.items), conditions)
    return Responses(
        prompts,
        tuple(sites),
        np.concatenate(energies).reshape(*shape, 1, -1, len(TOKEN_GROUPS)),
        np.concatenate(tokens).reshape(*shape, len(TOKEN_GROUPS)),
        text_distances(calls.encodings, prompts),
        (float(calls.noise_level(timestep)),),
        tuple(sizes),
    )
