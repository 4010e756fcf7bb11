"""Heads edited together: their effect against its null, and a set grown greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from jaxtyping import Float

from otherview.causes.effects import Effects, Measure, Variant
from otherview.causes.matching_sets import permutation_p
from otherview.disk.progress import Progress
from otherview.models.sites import Unit
from otherview.study import ROLES

Pick = Callable[[Float[np.ndarray, "roles items"]], Float[np.ndarray, " items"]]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Null:
    """Edits with which that of a set is compared: random sets, or random axes of the same heads."""

    matching: str
    """What they share with the set."""
    edits: tuple[tuple[tuple[str, ...], Variant], ...]
    """Heads, and how they are edited."""
    exact: bool = False
    """Whether these are all such edits."""
    placebos: tuple[tuple[tuple[str, ...], Variant], ...] = ()
    """Steering: axes of the same length that separate wordings of one role."""


def effect_of_set(
    effects: Effects,
    heads: Sequence[Unit],
    variant: Variant,
    null: Null,
    progress: Progress,
    stage: str,
) -> tuple[Rows, Rows]:
    """Edit `heads` together, and those of `null`.

    Return rows of interventions.json: one per role and measure, and one per measure for the effect
    on the test role minus that on the control role. An edit that changes nothing has no null.
    """
    values = effects.of([unit.address for unit in heads], variant)
    edits = () if variant.edit.factor == 1 else (*null.edits, *null.placebos)
    measured = []
    for done, (addresses, edit) in enumerate(edits):
        progress(stage, done, len(edits))
        measured.append(effects.of(addresses, edit))
    progress(stage, len(edits), len(edits))
    others, placebos = measured[: len(null.edits)], measured[len(null.edits) :]

    def row(measure: Measure, pick: Pick) -> dict[str, Any]:
        items = pick(values[measure.name])
        found: dict[str, Any] = {
            "measure": measure.name,
            "value": float(items.mean()),
            "items": [float(value) for value in items],
        }
        if others:
            drawn = [float(pick(other[measure.name]).mean()) for other in others]
            found |= {"matching": null.matching, "exact": null.exact, "null": drawn}
            found |= compare(found["value"], drawn, larger=measure.larger_is_more)
        if placebos:
            drawn = [float(pick(other[measure.name]).mean()) for other in placebos]
            p = permutation_p(found["value"], drawn, larger=measure.larger_is_more)
            mean = float(np.mean(drawn))
            found |= {"placebo": drawn, "placebo_mean": mean, "placebo_p": p}
        return found

    by_role = [
        {"role": role, **row(measure, itemgetter(place))}
        for place, role in enumerate(ROLES)
        for measure in effects.measures
    ]
    return by_role, [
        row(measure, lambda roles: roles[0] - roles[1]) for measure in effects.measures
    ]


def compare(value: float, null: list[float], *, larger: bool) -> dict[str, float]:
    """Return an effect's p and size against those of random sets."""
    mean = float(np.mean(null))
    found = {
        "p": permutation_p(value, null, larger=larger),
        "null_mean": mean,
        "null_p95": float(np.quantile(null, 0.95 if larger else 0.05)),
    }
    return found | {"ratio": value / mean} if mean > 0 else found


def grow(
    effects: Effects,
    candidates: Sequence[Unit],
    variant: Variant,
    max_size: int,
    saturation: float,
    progress: Progress,
) -> tuple[list[Unit], bool]:
    """Add, one by one, the head that changes the test role's prediction most with those before it.

    Stop if the best one adds less than the share `saturation` of the effect, and at `max_size`.
    Return the heads in the order in which they were added, and whether the effect saturated.
    """
    order: list[Unit] = []
    reached, saturated = 0.0, False
    rest = list(candidates)
    limit = min(max_size, len(candidates))
    while len(order) < limit and not saturated:
        progress("growing a set", len(order), limit)
        together = [unit.address for unit in order]
        gained = [
            float(effects.of([*together, unit.address], variant)["change"][0].mean())
            for unit in rest
        ]
        best = int(np.argmax(gained))
        saturated = bool(order) and gained[best] - reached < saturation * reached
        if not saturated:
            reached = gained[best]
            order.append(rest.pop(best))
    progress("growing a set", limit, limit)
    return order, saturated
