"""Heads edited together: against random sets, and grown one by one until nothing is gained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from jaxtyping import Float

from otherview.causes.effects import ROLES, Effects, Variant
from otherview.causes.matching import RandomSets, permutation_p, random_sets
from otherview.causes.measures import Measure
from otherview.models.sites import Unit

Progress = Callable[[int, int], None]
Pick = Callable[[Float[np.ndarray, "roles items"]], Float[np.ndarray, " items"]]


@dataclass(frozen=True)
class Null:
    """How random sets are drawn."""

    pool: tuple[Unit, ...]
    alpha: float
    seed: int

    def sets(self, chosen: Sequence[Unit], draws: int) -> RandomSets:
        """Random sets that match `chosen`."""
        return random_sets(chosen, self.pool, draws, self.alpha, self.seed)


@dataclass(frozen=True)
class SetEffect:
    """What editing heads together did, and what random sets did, as rows of interventions.json."""

    rows: list[dict[str, Any]]
    """A row a role and measure."""
    specificity: list[dict[str, Any]]
    """A row a measure: the effect on the test role less that on the control role."""


def effect_of_set(
    effects: Effects,
    heads: Sequence[Unit],
    variant: Variant,
    null: Null,
    draws: int,
    progress: Progress,
) -> SetEffect:
    """Edits `heads` together, and random sets that match them.

    An edit that changes nothing has no null.
    """
    values = effects.of([unit.address for unit in heads], variant)
    drawn = null.sets(heads, draws)
    others = []
    for done, addresses in enumerate(() if variant.is_identity else drawn.sets):
        progress(done, len(drawn.sets))
        others.append(effects.of(addresses, variant))
    progress(len(drawn.sets), len(drawn.sets))

    def row(measure: Measure, pick: Pick) -> dict[str, Any]:
        items = pick(values[measure.name])
        found: dict[str, Any] = {
            "measure": measure.name,
            "value": float(items.mean()),
            "items": [float(value) for value in items],
        }
        if others:
            random = [float(pick(other[measure.name]).mean()) for other in others]
            found |= {"matching": drawn.level, "exact": drawn.exact, "null": random}
            found |= against(found["value"], random, larger=measure.larger_is_more)
        return found

    return SetEffect(
        [
            {"role": role, **row(measure, itemgetter(place))}
            for place, role in enumerate(ROLES)
            for measure in effects.measures
        ],
        [row(measure, lambda by_role: by_role[0] - by_role[1]) for measure in effects.measures],
    )


def against(value: float, null: list[float], *, larger: bool) -> dict[str, float]:
    mean = float(np.mean(null))
    found = {
        "p": permutation_p(value, null, larger=larger),
        "null_mean": mean,
        "null_p95": float(np.quantile(null, 0.95 if larger else 0.05)),
    }
    return found | {"ratio": value / mean} if mean > 0 else found


@dataclass(frozen=True)
class Growth:
    """The order in which heads were added to a set."""

    order: tuple[Unit, ...]
    saturates_at: int | None
    """Size from which one more head adds too little; None where that was not reached."""


def grow(
    effects: Effects,
    candidates: Sequence[Unit],
    variant: Variant,
    largest: int,
    saturation: float,
    progress: Progress,
) -> Growth:
    """Adds, one by one, the head that changes the test role's prediction most with those before it.

    Ends where the best one adds less than the share `saturation` of the effect, and at `largest`.
    """
    order: list[Unit] = []
    reached = 0.0
    rest = list(candidates)
    limit = min(largest, len(candidates))
    while len(order) < limit:
        progress(len(order), limit)
        together = [unit.address for unit in order]
        gained = [wanted(effects, [*together, unit.address], variant) for unit in rest]
        best = int(np.argmax(gained))
        if order and gained[best] - reached < saturation * reached:
            progress(limit, limit)
            return Growth(tuple(order), len(order))
        reached = gained[best]
        order.append(rest.pop(best))
    progress(limit, limit)
    return Growth(tuple(order), None)


def wanted(effects: Effects, addresses: Sequence[str], variant: Variant) -> float:
    return float(effects.of(addresses, variant)["change"][ROLES.index("test")].mean())
