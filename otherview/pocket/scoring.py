"""Is a rendered picture the right one? Comparison with every candidate of a kitchen nobody saw."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import Pictures, Renderer
from otherview.pocket.words import PUBLISHED, ROLES, Prompt, Role, prompts, wordings
from otherview.pocket.world import UNSEEN, kitchen_pictures

Kitchens = Float[np.ndarray, "kitchens pictures side side 3"]


def unseen_kitchens(count: int, first: int = 0) -> Kitchens:
    """Reference, views and mentions of kitchens that no training saw."""
    seeds = range(UNSEEN + first, UNSEEN + first + count)
    return np.stack([kitchen_pictures(seed) for seed in seeds])


def psnr(one: Pictures, other: Pictures) -> Float[np.ndarray, " pictures"]:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1]."""
    error = ((one - other) ** 2).mean((-1, -2, -3))
    decibels: Float[np.ndarray, " pictures"] = -10 * np.log10(error + 1e-9)
    return decibels


def wanted_picture(role: Role, creature: int) -> int:
    """Place of the right answer among a kitchen's pictures."""
    return 1 + creature + (len(CREATURES) if role == "mention" else 0)


def ask(
    renderer: Renderer,
    kitchens: Kitchens,
    asked: Sequence[tuple[int, Prompt]],
    *,
    length: int | None = None,
    zeroed: Sequence[str] = (),
) -> pl.DataFrame:
    """Render each (kitchen, prompt) and compare with all pictures of that kitchen, one row each."""
    references = np.stack([kitchens[kitchen, 0] for kitchen, _ in asked])
    texts = [prompt.text for _, prompt in asked]
    rendered = renderer.render(references, texts, length=length, zeroed=zeroed)
    rows = []
    for (kitchen, prompt), picture in zip(asked, rendered, strict=True):
        likeness = psnr(kitchens[kitchen], picture[None])
        right = wanted_picture(prompt.role, prompt.creature)
        rows.append(
            {
                "kitchen": kitchen,
                "role": prompt.role,
                "creature": prompt.creature,
                "wording": prompt.wording,
                "trained": prompt.trained,
                "psnr": float(likeness[right]),
                "copy_psnr": float(psnr(kitchens[kitchen, :1], kitchens[kitchen, right][None])[0]),
                "right": int(likeness.argmax()) == right,
                "reference": int(likeness.argmax()) == 0,
            }
        )
    return pl.DataFrame(rows)


def published(kitchens: int) -> list[tuple[int, Prompt]]:
    """The published wordings of both roles, every creature in every kitchen."""
    chosen = [p for p in prompts() if wordings(p.role)[p.wording] == PUBLISHED[p.role]]
    return [(kitchen, prompt) for kitchen in range(kitchens) for prompt in chosen]


def mean_over(rows: pl.DataFrame, column: str, **where: object) -> float:
    """The mean of a column over the rows that match. Raises ValueError if none does."""
    chosen = rows.filter(**where) if where else rows
    if chosen.is_empty():
        raise ValueError(f"no rows for {where}")
    return float(np.mean(chosen[column].to_numpy()))


def lost_by_zeroing(
    renderer: Renderer, kitchens: Kitchens, address: str, whole: pl.DataFrame
) -> dict[Role, float]:
    """PSNR in dB that each role loses when a head is zeroed; `whole` holds the intact answers."""
    rows = ask(renderer, kitchens, published(len(kitchens)), zeroed=[address])
    return {
        role: mean_over(whole, "psnr", role=role) - mean_over(rows, "psnr", role=role)
        for role in ROLES
    }
