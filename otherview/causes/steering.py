"""Axes of the role for steering: found on some items and wordings, for use on others.

The axis of a head at a token group is the difference of the roles' mean vectors. It is taken from
prompts of the test role and added to those of the control role. Other axes of the same length, head
by head and group by group, say what any vector would do: random directions, and placebo axes, which
are the differences of two sets of wordings of one role, at right angles to the axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from otherview.causes.choice import edited_tokens, measured_conditions
from otherview.models.sites import Unit, heads
from otherview.passes.denoising import Shift
from otherview.passes.responses import Responses
from otherview.stats.wordings import WordingDesign, role_design
from otherview.study import ROLES, TOKEN_GROUPS, Intervention
from otherview.study.prompts import PromptSet

Vectors = Mapping[str, Float[np.ndarray, "groups channels"]]
"""By head, one vector per token group of TOKEN_GROUPS; 0 where none is added."""


@dataclass(frozen=True)
class Axes:
    """Axes of all heads that can be steered."""

    vectors: Vectors
    placebos: tuple[Vectors, ...]
    """Of the same lengths as `vectors`."""
    items: tuple[str, ...]
    """On which they were found."""
    wordings: Mapping[str, tuple[str, ...]]
    """By role, on which they were found."""
    held_out: bool
    """Whether the measured wordings are not among these."""

    def lengths(self, units: Sequence[Unit]) -> dict[str, dict[str, float]]:
        """Return the length of the axis of each head, by token group."""
        return {
            unit.address: {
                group: float(np.linalg.norm(vector))
                for group, vector in zip(TOKEN_GROUPS, self.vectors[unit.address], strict=True)
                if vector.any()
            }
            for unit in units
        }

    def random(self, draw: int, seed: int) -> Vectors:
        """Return random directions of the same lengths; each `draw` is another."""
        draws = np.random.default_rng([seed, 6, draw])
        return {
            address: as_long_as(axis, draws.normal(size=axis.shape))
            for address, axis in self.vectors.items()
        }


def steering_axes(
    responses: Responses,
    pool: Sequence[Unit],
    items: Sequence[int],
    settings: Intervention,
) -> Axes:
    """Return the axes of `pool` from `items`, and from wordings that are not measured.

    `responses` are those of one contrast with mean vectors. The first `wordings` of each role are
    measured; where a role has no others, all are used.
    """
    assert responses.means is not None
    prompts = responses.prompts
    kept = other_conditions(prompts, settings.wordings)
    held_out = kept is not None
    if kept is None:
        kept = np.arange(len(prompts.conditions))
    roles = np.array(prompts.roles)[kept]
    strata = None if prompts.strata is None else [prompts.strata[place] for place in kept]
    design = role_design(roles, strata)
    known = {unit.address: place for place, unit in enumerate(heads(responses.sites))}
    groups = edited_tokens(settings) or TOKEN_GROUPS
    steered = np.isin(TOKEN_GROUPS, groups)[:, None]
    means = {}
    for unit in pool:
        own = responses.means[list(items)][:, kept, known[unit.address]].astype(np.float64)
        own = np.where(np.isnan(own), 0.0, own)[..., : unit.site.head_dim]
        means[unit.address] = own.mean(axis=0) * steered
    contrast = design.contrast / design.information
    vectors = {address: np.tensordot(contrast, own, 1) for address, own in means.items()}
    placebos = tuple(
        {
            address: as_long_as(vectors[address], across(vectors[address], other, own))
            for address, own in means.items()
        }
        for other in placebo_contrasts(design, settings.curve_draws, settings.seed)
    )
    names: dict[str, tuple[str, ...]] = {
        role: tuple(dict.fromkeys(str(prompts.conditions[place]) for place in kept[roles == role]))
        for role in ROLES
    }
    return Axes(vectors, placebos, tuple(prompts.items[i] for i in items), names, held_out)


def other_conditions(prompts: PromptSet, measured: int) -> Int[np.ndarray, " conditions"] | None:
    """Return the conditions whose wordings are not measured; None if a role has no such one."""
    names = [str(condition) for condition in prompts.conditions]
    first = {names[place] for place in measured_conditions(prompts, measured).flat}
    left = [
        [n for n, role in enumerate(prompts.roles) if role == own and names[n] not in first]
        for own in ROLES
    ]
    return np.array(left[0] + left[1]) if all(left) else None


def placebo_contrasts(
    design: WordingDesign, many: int, seed: int
) -> list[Float[np.ndarray, " wordings"]]:
    """Return contrasts of one half of the wordings of a role with others of that role.

    Within frames, the roles in turn; at most `many`, drawn at random. None where no frame has two
    wordings of a role.
    """
    draws = np.random.default_rng([seed, 7])
    found: dict[bytes, Float[np.ndarray, " wordings"]] = {}
    for draw in range(many):
        contrast = np.zeros(len(design.is_test))
        for own in design.frames:
            of_role = own[design.is_test[own] == (draw % 2 == 0)]
            order, half = draws.permutation(of_role), len(of_role) // 2
            if half:
                contrast[order[:half]], contrast[order[half : 2 * half]] = 1 / half, -1 / half
        if contrast.any() and (-contrast).tobytes() not in found:
            found[contrast.tobytes()] = contrast
    return list(found.values())


def across(
    axis: Float[np.ndarray, "groups channels"],
    contrast: Float[np.ndarray, " wordings"],
    means: Float[np.ndarray, "wordings groups channels"],
) -> Float[np.ndarray, "groups channels"]:
    """Return the contrast of wordings' means without its part along the axis.

    Wordings of one role also differ in how strongly they ask for it: at the same length that part
    would be the axis itself.
    """
    other = np.tensordot(contrast, means, 1)
    squares = (axis**2).sum(axis=1, keepdims=True)
    along = (other * axis).sum(axis=1, keepdims=True)
    share = np.divide(along, squares, out=np.zeros_like(along), where=squares > 0)
    return np.asarray(other - share * axis)


def as_long_as(
    axis: Float[np.ndarray, "groups channels"], other: Float[np.ndarray, "groups channels"]
) -> Float[np.ndarray, "groups channels"]:
    """Return `other` with the length of `axis` at every token group; 0 where it has none."""
    lengths = np.linalg.norm(other, axis=1, keepdims=True)
    wanted = np.linalg.norm(axis, axis=1, keepdims=True)
    found: Float[np.ndarray, "groups channels"] = np.zeros_like(other)
    np.divide(other * wanted, lengths, out=found, where=lengths > 0)
    return found


def shift_of(vectors: Vectors, dose: float, grid: Int[np.ndarray, "roles wordings items"]) -> Shift:
    """Return the edit that takes axes from prompts of the test role and adds them to the others."""
    signs = {int(prompt): -dose for prompt in grid[0].ravel()}
    signs |= {int(prompt): dose for prompt in grid[1].ravel()}
    return Shift(vectors, signs)
