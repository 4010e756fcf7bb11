"""Heads edited together: compared with random sets that match, and grown greedily."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from otherview.causes.effects import Effects, Measure, Variant
from otherview.disk.progress import Progress
from otherview.models.sites import Unit
from otherview.study import ROLES

Pick = Callable[[Float[np.ndarray, "roles items"]], Float[np.ndarray, " items"]]
Rows = list[dict[str, Any]]
Level = Literal["site", "stream", "path", "any"]
"""What matching heads share, from the closest match: block and stream; kind of block and stream;
image path or text stream; nothing."""

LEVELS: tuple[Level, ...] = ("site", "stream", "path", "any")


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


@dataclass(frozen=True)
class RandomSets:
    """Sets that match a given one."""

    level: Level
    sets: tuple[tuple[str, ...], ...]
    """Addresses of each, in the order of the heads."""
    exact: bool
    """All matching sets but the given one; otherwise drawn with replacement."""


def matching_group(unit: Unit, level: Level) -> str:
    """Return what `unit` shares with the heads that match it."""
    if level == "site":
        return unit.site.address
    if level == "stream":
        return f"{unit.site.block_kind} {unit.site.stream}"
    if level == "path":
        return "text" if unit.site.stream == "text" else "image"
    return ""


def closest_level(chosen: Sequence[Unit], pool: Sequence[Unit], alpha: float) -> Level:
    """Return the closest match that makes a fair null; the loosest if none does.

    Fair means: there are enough sets for a p of `alpha`, and no group contributes more than half of
    its heads. A random set that shares most of its heads with the selected one is not a control.
    """
    for level in LEVELS:
        wanted = Counter(matching_group(unit, level) for unit in chosen)
        there = Counter(matching_group(unit, level) for unit in pool)
        spacious = all(2 * count <= there[group] for group, count in wanted.items())
        if spacious and count_sets(chosen, pool, level) * alpha >= 1:
            return level
    return "any"


def random_sets(
    chosen: Sequence[Unit], pool: Sequence[Unit], draws: int, alpha: float, seed: int
) -> RandomSets:
    """Return at most `draws` sets out of `pool` that match `chosen`, which is part of `pool`.

    Each takes as many heads of every group as `chosen` does. Where there are no more than `draws`
    other sets, all are taken. Selected heads may be drawn, so that (b + 1) / (m + 1) is the p of a
    permutation test: `chosen` is one of the sets that could have been drawn.
    """
    level = closest_level(chosen, pool, alpha)
    wanted = Counter(matching_group(unit, level) for unit in chosen)
    groups = {
        group: [unit.address for unit in pool if matching_group(unit, level) == group]
        for group in wanted
    }
    order = {unit.address: place for place, unit in enumerate(pool)}
    own = tuple(sorted((unit.address for unit in chosen), key=order.__getitem__))
    if count_sets(chosen, pool, level) - 1 <= draws:
        parts = [itertools.combinations(groups[group], count) for group, count in wanted.items()]
        every = [tuple(itertools.chain(*combination)) for combination in itertools.product(*parts)]
        ordered = (tuple(sorted(taken, key=order.__getitem__)) for taken in every)
        return RandomSets(level, tuple(taken for taken in ordered if taken != own), True)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        taken = [
            str(address)
            for group, count in wanted.items()
            for address in generator.choice(groups[group], count, replace=False)
        ]
        drawn.append(tuple(sorted(taken, key=order.__getitem__)))
    return RandomSets(level, tuple(drawn), False)


def permutation_p(value: float, null: Sequence[float], *, larger: bool = True) -> float:
    """Return (b + 1) / (m + 1): b of m random values are at least as extreme.

    Phipson & Smyth (2010), "Permutation p-values should never be zero".
    """
    values = np.asarray(null, dtype=np.float64)
    beyond = values >= value if larger else values <= value
    return (int(beyond.sum()) + 1) / (len(values) + 1)


def count_sets(chosen: Sequence[Unit], pool: Sequence[Unit], level: Level) -> int:
    """Return how many sets match `chosen`, itself included."""
    wanted = Counter(matching_group(unit, level) for unit in chosen)
    there = Counter(matching_group(unit, level) for unit in pool)
    return math.prod(math.comb(there[group], count) for group, count in wanted.items())
