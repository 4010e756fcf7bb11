"""Through which later heads a head acts, from gradients.

A head is patched with what it writes under the other role, which changes what later heads write.
The edge to a later head is that change times the gradient of the way to the other role's prediction
(attribution patching of edges: Syed et al. 2023, 2310.10348). The gradient is the mean over two
points on the way of the patch, as that of `toward_points`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.sites import Unit, heads
from otherview.passes.editing import edit, record
from otherview.passes.gradients import taps
from otherview.passes.predicted_changes import EDITS, READ_GROUPS
from otherview.passes.toward_points import Pair, along_the_way, mixed, over_pairs
from otherview.passes.transformer import run
from otherview.study.attribution import TOWARD_POINTS


@dataclass(frozen=True)
class HeadEdges:
    """What a patch of each source does, and through which heads."""

    toward: Float[np.ndarray, "prompts sources"]
    """Way to the other role's prediction if the source is patched, measured."""
    edges: Float[np.ndarray, "prompts sources heads"]
    """Part of the way through each head; that through the source itself is the prediction of the
    whole way. 0 where a head does not change."""
    passes: int
    """Transformer passes over prompts; a backward pass counts two."""


def head_edges(
    calls: Calls,
    pairs: Sequence[Pair],
    sources: Sequence[str],
    batch_size: int,
    progress: Progress = silent,
) -> HeadEdges:
    """Return the edges of `sources` to all heads, for the prompts of `pairs`, pair by pair.

    One pass per prompt without an edit and one per source; two with gradients per source, each with
    two backward passes, as `over_pairs` runs them. Raises StudyError as `predicted_toward` does.
    """
    trace = partial(edges_of_batch, calls, sources)
    found = over_pairs(calls, pairs, batch_size, trace, progress, "tracing edges")
    toward, edges = (np.concatenate(each) for each in zip(*found, strict=True))
    return HeadEdges(toward, edges, 2 * len(pairs) * edge_passes(len(sources)))


def edge_passes(sources: int) -> int:
    """Return the passes per prompt; a backward pass counts two."""
    return 1 + sources * (1 + 5 * len(TOWARD_POINTS))


def edges_of_batch(
    calls: Calls, sources: Sequence[str], prompts: Sequence[int]
) -> tuple[Float[np.ndarray, "rows sources"], Float[np.ndarray, "rows sources heads"]]:
    """Return ways and edges of prompts, each next to its partner."""
    transformer, sites = calls.transformer, calls.sites
    every, noise = heads(sites), calls.noise(prompts)
    call, donors = calls.first(prompts), np.arange(len(prompts)) ^ 1
    with torch.no_grad():
        with record(transformer, [unit.address for unit in every]) as outputs:
            intact = calls.velocity(run(transformer, call), noise).float()
        before = by_module(outputs, every, len(prompts))
        cotangent = along_the_way(intact, donors)
        moved, patched = [], []
        for source in sources:
            with (
                edit(transformer, [source], partial(mixed, donors, 1.0)),
                record(transformer, [unit.address for unit in every]) as outputs,
            ):
                velocity = calls.velocity(run(transformer, call), noise).float()
            moved.append(((velocity - intact) * cotangent).flatten(1).sum(1).cpu().numpy())
            patched.append(by_module(outputs, every, len(prompts)))
    edges = []
    for source, after in zip(sources, patched, strict=True):
        total = np.zeros((len(prompts), len(every)))
        for share in TOWARD_POINTS:
            with (
                taps(transformer, sites) as reader,
                edit(transformer, [source], partial(mixed, donors, share)),
            ):
                velocity = calls.velocity(run(transformer, call, reader), noise)
                # (after - written) * slope less (before - written) * slope
                for sign, reader.means in ((1, after), (-1, before)):
                    products = reader.products(velocity, cotangent, keep_graph=sign > 0)
                    total += sign * products[:, :, READ_GROUPS.index("all"), EDITS.index("mean")]
        edges.append(total / len(TOWARD_POINTS))
    return np.stack(moved, axis=1), np.stack(edges, axis=1)


def by_module(
    outputs: dict[str, Tensor], units: Sequence[Unit], rows: int
) -> dict[str, Float[Tensor, "rows positions channels"]]:
    """Return what all heads of each site write, by its module."""
    found: dict[str, list[Tensor]] = {}
    for unit in units:
        written = outputs[unit.address]
        found.setdefault(unit.site.module, []).append(written.reshape(rows, -1, written.shape[-1]))
    return {module: torch.cat(parts, dim=2) for module, parts in found.items()}
