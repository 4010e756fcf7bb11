"""Random sets of heads that match a given set, and p among them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from otherview.models.sites import Unit

Level = Literal["site", "stream", "path", "any"]
"""What matching heads share, from the closest match: block and stream; kind of block and stream;
image path or text stream; nothing."""

LEVELS: tuple[Level, ...] = ("site", "stream", "path", "any")


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


def group_sizes(units: Sequence[Unit], level: Level) -> Counter[str]:
    """Return how many of some heads are in each group of heads that match."""
    return Counter(matching_group(unit, level) for unit in units)


def closest_level(chosen: Sequence[Unit], pool: Sequence[Unit], alpha: float) -> Level:
    """Return the closest match that makes a fair null; the loosest if none does.

    Fair means: there are enough sets for a p of `alpha`, and no group contributes more than half of
    its heads. A random set that shares most of its heads with the selected one is not a control.
    """
    for level in LEVELS:
        wanted, there = group_sizes(chosen, level), group_sizes(pool, level)
        spacious = all(2 * count <= there[group] for group, count in wanted.items())
        if spacious and count_sets(wanted, there) * alpha >= 1:
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
    wanted = group_sizes(chosen, level)
    groups = {
        group: [unit.address for unit in pool if matching_group(unit, level) == group]
        for group in wanted
    }
    order = {unit.address: place for place, unit in enumerate(pool)}
    own = tuple(sorted((unit.address for unit in chosen), key=order.__getitem__))
    if count_sets(wanted, group_sizes(pool, level)) - 1 <= draws:
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


def count_sets(wanted: Counter[str], there: Counter[str]) -> int:
    """Return how many sets take `wanted` heads of every group, of those that are `there`."""
    return math.prod(math.comb(there[group], count) for group, count in wanted.items())
