"""Which heads are edited, and which items select and measure them.

Heads that were found on the items on which their effect is measured look better than they are. So
the statistics of the study select heads on one half of the items, and the other half measures them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float, Int

from otherview.models.sites import Site, Unit, heads
from otherview.passes.editing import check_tokens, head_units, sees_tokens
from otherview.passes.responses import Responses
from otherview.stats import enough_for_role_test, role_test, sign_flip_test
from otherview.stats.sign_flip import Flips
from otherview.study import ROLES, Intervention, Study
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet

MIN_TO_HALVE = 8
"""Items from which they are halved: four items give 8 sign patterns."""


@dataclass(frozen=True)
class Choice:
    """The selected heads and the items of both halves."""

    rule: str
    """role test, family-wise, strongest or listed; and in which direction, if not in either."""
    heads: tuple[Unit, ...]
    """Strongest first."""
    found: int
    """Heads that pass the rule, of which `heads` are the strongest."""
    discovery: tuple[int, ...]
    """Items that selected the heads; empty if heads are listed."""
    measured: tuple[int, ...]
    """Items that measure the effects."""
    note: str | None = None

    @property
    def disjoint(self) -> bool:
        """Whether no item was used for both."""
        return not set(self.discovery) & set(self.measured)


def edited_tokens(settings: Intervention) -> tuple[str, ...] | None:
    """Return the token groups that are edited; None for all."""
    return None if settings.tokens == ["all"] else tuple(settings.tokens)


def editable_heads(sites: Sequence[Site], settings: Intervention) -> list[Unit]:
    """Return the heads that see any of the tokens that are edited."""
    return [unit for unit in heads(sites) if sees_tokens(unit, edited_tokens(settings))]


def choose_heads(responses: Responses, study: Study) -> Choice:
    """Return the heads that the intervention of `study` edits."""
    settings = study.intervention
    items = tuple(range(len(responses.prompts.items)))
    if settings.heads == "listed":
        listed = head_units(responses.sites, settings.addresses)
        return Choice("listed", tuple(listed), len(listed), (), items)
    pool = [
        unit
        for unit in editable_heads(responses.sites, settings)
        if study.capture.tokens == "all" or study.capture.tokens in unit.site.token_groups
    ]
    discovery, measured, note = items, items, None
    if len(items) >= MIN_TO_HALVE:
        discovery, measured = alternate_halves(len(items), settings.seed)
    else:
        note = (
            f"The {len(items)} items that measure the effects also selected the heads, so the "
            "effects are biased upward."
        )
    values = responses.read(pool, study.capture.tokens, study.capture.response)
    strength, passes, rule = strength_of_heads(values[list(discovery)], responses, study)
    if settings.heads == "strongest":
        rule, passes = "strongest", np.isfinite(strength)
    if settings.direction != "either":
        rule = f"{rule}, more under the {settings.direction} role"
        passes &= strength > 0 if settings.direction == "test" else strength < 0
    order = np.argsort(-np.abs(np.nan_to_num(strength)), kind="stable")
    ranked = [pool[index] for index in order if passes[index]]
    return Choice(rule, tuple(ranked[: settings.top]), len(ranked), discovery, measured, note)


def alternate_halves(items: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two halves of the items, with one of every two neighbours each: both span the axis."""
    generator = np.random.default_rng([seed, 1])
    first, second = [], []
    for start in range(0, items - 1, 2):
        flipped = int(generator.integers(2))
        first.append(start + flipped)
        second.append(start + 1 - flipped)
    if items % 2:
        second.append(items - 1)
    return tuple(first), tuple(second)


def strength_of_heads(
    values: Float[np.ndarray, "items conditions heads"], responses: Responses, study: Study
) -> tuple[Float[np.ndarray, " heads"], Bool[np.ndarray, " heads"], str]:
    """Return what ranks heads, which of them pass, and by which test.

    It is t of the role test, or of the pairs where wordings do not tell the role from the words;
    positive where a head writes more under the test role.
    """
    nulls, flips = study.nulls, cast(Flips, study.nulls.sign_flips)
    prompts = responses.prompts
    roles, strata = prompts.wording_roles, prompts.wording_strata
    if enough_for_role_test(roles, strata=strata):
        by_scene = prompts.by_scene(values)
        of_scenes = by_scene if study.scenes_are == "sample" else by_scene.mean(axis=2)
        by_role = role_test(
            of_scenes, roles, strata=strata, alpha=nulls.alpha, flips=flips, seed=study.seed
        )
        return by_role.t, by_role.called, "role test"
    test, control = responses.role_means(values)
    tested = sign_flip_test(test - control, flips=flips, alpha=nulls.alpha, seed=study.seed)
    return tested.t, tested.familywise, "family-wise"


def measured_conditions(prompts: PromptSet, wordings: int) -> Int[np.ndarray, "roles wordings"]:
    """Return the conditions whose effects are measured: the first of both roles, equally many."""
    roles = np.array(prompts.roles)
    by_role = [np.flatnonzero(roles == role) for role in ROLES]
    many = min(wordings, *(len(places) for places in by_role))
    return np.stack([places[:many] for places in by_role])


def check_heads(sites: Sequence[Site], settings: Intervention) -> None:
    """Raise StudyError for listed heads that are not there or see none of the edited tokens."""
    try:
        units = head_units(sites, settings.addresses)
        check_tokens(units, edited_tokens(settings))
    except StudyError as error:
        raise StudyError(f"intervention.addresses: {error}", "intervention.addresses") from error
