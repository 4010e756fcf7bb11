"""The change of a prediction under an intervention: size, direction, and toward what."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Displacements = Float[Tensor, "rows tokens channels"]


@dataclass(frozen=True)
class Measure:
    """A number for every measured pass of an intervention."""

    name: str
    title: str
    unit: str
    larger_is_more: bool = True
    """Whether a larger value means more effect."""


CHANGE = Measure("change", "change of the prediction", "of its norm")
COSINE = Measure("cosine", "cosine with the intact prediction", "", larger_is_more=False)
TOWARD = Measure("toward", "movement toward the other role's prediction", "share of the way")
OF_EVERY_MODEL = (CHANGE, COSINE, TOWARD)


def change(intact: Displacements, edited: Displacements) -> Float[Tensor, " rows"]:
    """Return the norm of the difference over the norm of the intact prediction."""
    return row_norm(edited - intact) / row_norm(intact)


def cosine(intact: Displacements, edited: Displacements) -> Float[Tensor, " rows"]:
    """Return the cosine of the angle between the two."""
    return (intact * edited).sum((1, 2)) / (row_norm(intact) * row_norm(edited))


def toward(
    intact: Displacements, edited: Displacements, other: Displacements
) -> Float[Tensor, " rows"]:
    """Return the share of the way from `intact` to `other` that the edited prediction went.

    `other` is what the other role's prompt predicts for the same item. Change at right angles to
    that way does not count.
    """
    way = other - intact
    return ((edited - intact) * way).sum((1, 2)) / way.square().sum((1, 2))


def row_norm(values: Displacements) -> Float[Tensor, " rows"]:
    norm: Float[Tensor, " rows"] = values.flatten(1).norm(dim=1)
    return norm
