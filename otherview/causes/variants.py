"""The edits that an intervention's settings ask for, on a grid of prompts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from otherview.causes.choice import edited_tokens
from otherview.causes.effects import Variant
from otherview.causes.steering import Axes, shift_of
from otherview.passes.denoising import Edit
from otherview.study import Intervention

PATCH_NAMES = {"role": "role", "item": "item", "both": "role and item"}
"""What the donor of a patch differs in, as results name it."""

Grid = Int[np.ndarray, "roles wordings items"]


def variants_of(settings: Intervention, grid: Grid, axes: Axes | None = None) -> list[Variant]:
    """Return the variants, the main one first; donors are prompts of `grid`.

    `axes` are those of `kind: steer`.
    """
    tokens, at = edited_tokens(settings), tuple(settings.at)

    def edit(factor: float | None = None, donors: Grid | None = None, mean: bool = False) -> Edit:
        by_prompt = None if donors is None else donors_by_prompt(grid, donors)
        prompts = tuple(int(prompt) for prompt in grid.ravel()) if mean else None
        return Edit((), factor, by_prompt, prompts, tokens, at)

    if axes is not None:
        return [
            Variant(f"dose {dose:g}", Edit((), shift=shift_of(axes.vectors, dose, grid), at=at))
            for dose in settings.doses
        ]
    if settings.kind == "scale":
        return [Variant(f"{factor:g}", edit(factor)) for factor in settings.factors]
    if settings.kind == "patch":
        return [
            Variant(PATCH_NAMES[donor], edit(donors=donor_prompts(grid, donor, settings.seed)))
            for donor in settings.donors
        ]
    if settings.how == "mean":
        return [Variant("mean", edit(mean=True))]
    if settings.how == "resample":
        return [Variant("resample", edit(donors=resampled(grid, settings.seed)))]
    return [Variant("zero", edit(0.0))]


def donor_prompts(grid: Grid, differs_in: str, seed: int) -> Grid:
    """Return for every prompt of the grid the one whose head outputs it takes."""
    donors = grid if differs_in == "item" else grid[::-1]
    if differs_in == "role":
        return donors
    return donors[:, :, other_items(grid.shape[2], np.random.default_rng([seed, 2]))]


def resampled(grid: Grid, seed: int) -> Grid:
    """Return another item under a role drawn at random: what the head writes on some occasion."""
    generator = np.random.default_rng([seed, 3])
    donors = np.empty_like(grid)
    for role, wording in np.ndindex(grid.shape[:2]):
        items = other_items(grid.shape[2], generator)
        roles = generator.integers(len(grid), size=grid.shape[2])
        donors[role, wording] = grid[roles, wording, items]
    return donors


def other_items(items: int, generator: np.random.Generator) -> Int[np.ndarray, " items"]:
    """Return for every item another one, each once: a random cycle."""
    order = generator.permutation(items)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other


def donors_by_prompt(grid: Grid, donors: Grid) -> tuple[int, ...]:
    """Return donors by prompt; prompts outside of the grid give to themselves."""
    given = np.arange(int(grid.max()) + 1)
    given[grid.ravel()] = donors.ravel()
    return tuple(int(donor) for donor in given)
