"""Heads whose responses differ strongly between the roles although nothing hangs on them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from otherview.passes.editing import record
from otherview.pocket.creatures import PHRASES
from otherview.pocket.rendering import Renderer
from otherview.pocket.scoring import ask, lost_by_zeroing, published, unseen_kitchens
from otherview.pocket.words import PUBLISHED, ROLES
from otherview.pocket.world import UNSEEN, kitchen_pictures
from pocket_training.planting import head_addresses

PROBE_LENGTH = 512
MAX_DECOY_LOSS = 0.5
"""dB of either role."""


def head_contrasts(
    renderer: Renderer,
    reference: Float[np.ndarray, "side side 3"],
    length: int = PROBE_LENGTH,
) -> dict[str, float]:
    """The published probe's t of every head: view minus mention, paired over creatures.

    The response is the root mean square of what a head writes, over all tokens of its stream, for
    one reference, one step and the published wordings.
    """
    addresses = head_addresses(renderer.pipeline.transformer)
    view, mention = (
        head_responses(renderer, reference, PUBLISHED[role], length, addresses) for role in ROLES
    )
    difference = view - mention
    error = difference.std(0, ddof=1) / np.sqrt(len(difference))
    t = difference.mean(0) / error
    return {address: float(value) for address, value in zip(addresses, t, strict=True)}


@torch.no_grad()
def head_responses(
    renderer: Renderer,
    reference: Float[np.ndarray, "side side 3"],
    wording: str,
    length: int,
    addresses: list[str],
) -> Float[np.ndarray, "creatures heads"]:
    encoded = renderer.encode(reference[None])
    rows = []
    with record(renderer.pipeline.transformer, addresses) as written:
        for phrase in PHRASES:
            renderer.tokens(encoded, [wording.format(creature=phrase)], length=length)
            rows.append([float(written[a].pow(2).mean().sqrt()) for a in addresses])
    return np.array(rows)


def kept_spares(stored: Path, pipeline: Any, count: int, planted: Sequence[str]) -> tuple[str, ...]:
    """Return the heads that planting makes dispensable, found once and kept in the file `stored`.

    They are those of the image path with the largest |t| of the published probe, planted ones
    apart, strongest first.
    """
    if not stored.exists():
        reference = kitchen_pictures(UNSEEN)[0]
        contrasts = head_contrasts(Renderer(pipeline), reference)
        ranked = sorted(contrasts, key=lambda address: -abs(contrasts[address]))
        spares = [a for a in ranked if a not in planted and ".text." not in a][:count]
        stored.write_text(json.dumps(spares) + "\n")
    return tuple(json.loads(stored.read_text()))


def find_decoy(renderer: Renderer, planted: Sequence[str], kitchens: int = 3) -> str | None:
    """The head, among the tenth of heads with the largest |t|, that does least.

    "Least" is the larger of the two losses in dB, of views and of mentions, when the head is
    zeroed, over kitchens apart from those of the model card's table. A head of the image path,
    which the published probe sees, is taken before one of the text stream if it does next to
    nothing. None if that tenth holds planted heads alone.
    """
    rooms = unseen_kitchens(kitchens, first=500)
    whole = ask(renderer, rooms, published(kitchens))
    contrasts = head_contrasts(renderer, rooms[0, 0])
    ranked = sorted(contrasts, key=lambda address: -abs(contrasts[address]))
    losses = {
        address: max(map(abs, lost_by_zeroing(renderer, rooms, address, whole).values()))
        for address in ranked[: len(ranked) // 10]
        if address not in planted
    }
    idle = [a for a in losses if ".text." not in a and losses[a] <= MAX_DECOY_LOSS]
    return min(idle or losses, key=lambda address: losses[address], default=None)
