"""Effects of edits on the measured items, by role; each edit is measured once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from otherview.models.image_latents import Latents
from otherview.passes.denoising import Denoiser, Edit
from otherview.study import ROLES

if TYPE_CHECKING:
    from otherview.causes.pocket_score import PocketScore

Values = dict[str, Float[np.ndarray, "roles items"]]
"""By measure: mean over the wordings of a role, for every measured item."""


@dataclass(frozen=True)
class Measure:
    """A number for every measured pass of an intervention."""

    name: str
    title: str
    unit: str
    larger_is_more: bool = True
    """Whether a larger value means more effect."""


OF_EVERY_MODEL = (
    Measure("change", "change of the prediction", "of its norm"),
    Measure("cosine", "cosine with the intact prediction", "", larger_is_more=False),
    Measure("toward", "movement toward the other role's prediction", "share of the way"),
)


@dataclass(frozen=True)
class Variant:
    """One way to edit a head."""

    name: str
    edit: Edit
    """The edit, without heads."""


class Effects:
    """Measures edits of `denoiser`'s transformer over a grid of prompts.

    `grid` holds the prompt of every role, wording and measured item, `[roles, wordings, items]`,
    roles in the order of ROLES.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        grid: Int[np.ndarray, "roles wordings items"],
        score: PocketScore | None = None,
    ) -> None:
        self.denoiser, self.score = denoiser, score
        self.prompts = [int(prompt) for prompt in grid.ravel()]
        self.measures: tuple[Measure, ...] = (*OF_EVERY_MODEL, *(score.measures if score else ()))
        self.wordings = grid.shape[1]
        self.grid = grid
        self._measured: dict[tuple[tuple[str, ...], str], Values] = {}
        self.intact = denoiser.displace(self.prompts)
        by_role = self.intact.reshape(*grid.shape, *self.intact.shape[1:])
        self._other: Latents = by_role.flip(0).flatten(0, 2)
        """For every row the other role's displacement of its item, under the same wording."""
        self._intact_score: Mapping[str, Float[np.ndarray, " rows"]] = {}
        if score is not None:
            pictures = denoiser.pictures(self.intact, self.prompts)
            self._intact_score = score.values(pictures, self.prompts)

    def of(self, addresses: Sequence[str], variant: Variant) -> Values:
        """Return the effects of editing these heads together."""
        key = tuple(sorted(addresses)), variant.name
        if key not in self._measured:
            self._measured[key] = self._measure(self.edited(addresses, variant))
        return self._measured[key]

    def edited(
        self, addresses: Sequence[str], variant: Variant, prompts: Sequence[int] | None = None
    ) -> Latents:
        """Return displacements of the grid's prompts, or of others, with these heads edited."""
        edit = replace(variant.edit, addresses=tuple(addresses))
        return self.denoiser.displace(self.prompts if prompts is None else prompts, edit)

    def intact_scores(self) -> dict[str, dict[str, float]]:
        """Return the mean without an intervention, by role and score."""
        means = {name: self._grid(values).mean(1) for name, values in self._intact_score.items()}
        return {
            role: {name: float(mean[place]) for name, mean in means.items()}
            for place, role in enumerate(ROLES)
            if means
        }

    def _measure(self, edited: Latents) -> Values:
        rows: dict[str, Float[np.ndarray, " rows"]] = {
            "change": change(self.intact, edited).numpy(),
            "cosine": cosine(self.intact, edited).numpy(),
            "toward": toward(self.intact, edited, self._other).numpy(),
        }
        if self.score is not None:
            pictures = self.denoiser.pictures(edited, self.prompts)
            scored = self.score.values(pictures, self.prompts)
            rows |= self.score.lost(dict(self._intact_score), scored)
        return {name: self._grid(values) for name, values in rows.items()}

    def _grid(self, values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "roles items"]:
        grid: Float[np.ndarray, "roles items"] = values.reshape(self.grid.shape).mean(1, np.float64)
        return grid


def change(intact: Latents, edited: Latents) -> Float[Tensor, " rows"]:
    """Return the norm of the difference over the norm of the intact prediction."""
    return row_norm(edited - intact) / row_norm(intact)


def cosine(intact: Latents, edited: Latents) -> Float[Tensor, " rows"]:
    """Return the cosine of the angle between the two."""
    return (intact * edited).sum((1, 2)) / (row_norm(intact) * row_norm(edited))


def toward(intact: Latents, edited: Latents, other: Latents) -> Float[Tensor, " rows"]:
    """Return the share of the way from `intact` to `other` that the edited prediction went.

    `other` is what the other role's prompt predicts for the same item. Change at right angles to
    that way does not count.
    """
    way = other - intact
    return ((edited - intact) * way).sum((1, 2)) / way.square().sum((1, 2))


def row_norm(values: Latents) -> Float[Tensor, " rows"]:
    norm: Float[Tensor, " rows"] = values.flatten(1).norm(dim=1)
    return norm
