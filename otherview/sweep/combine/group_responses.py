"""What the tests of a group need of its points: means, differences, t-maps, variance split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from otherview.analysis.comparison import Selectivity, selectivity
from otherview.passes.responses import means_by_role
from otherview.stats import VarianceComponents, variance_components
from otherview.study import ROLES
from otherview.sweep.combine.groups import Contrast, Group
from otherview.sweep.combine.point_responses import (
    DamagedPointsError,
    Layout,
    parts,
    read,
    unusable,
)

FACTORS = ("item", "template", "seed")
MIN_WORDINGS = 4
"""Wordings of each role that the role test over contrasts needs."""
UNITS_AT_ONCE = 16
"""Units whose differences are copied for a variance split at once."""


@dataclass(frozen=True)
class GroupResponses:
    """One unit set of a group. Arrays are in the order of the group's contrasts and items."""

    layout: Layout
    test: Float[np.ndarray, "contrasts units"]
    """Mean response over items and seeds."""
    control: Float[np.ndarray, "contrasts units"]
    differences: Float[np.ndarray, "contrasts items units"]
    """Mean over all seeds of the contrast."""
    balanced: Float[np.ndarray, "real items units"]
    """Of the contrasts that are no placebos, mean over the seeds that all of them have."""
    t: Float[np.ndarray, "points units"]
    """Each point's own t; not finite where it is degenerate."""
    wordings: Float[np.ndarray, "items wordings units"]
    """Responses to the wordings of `role_wordings`, mean over the balanced seeds."""
    selective: dict[str, Selectivity]
    """By contrast, over the seeds that it shares with all placebos; absent where there are none."""
    variance: VarianceComponents | None
    """None where fewer than two factors vary."""


@dataclass(frozen=True)
class Wording:
    """A wording of the role test over contrasts."""

    role: str
    text: str
    stratum: str
    """Name of the contrast, and of the wording's frame, within which its role is relabelled."""


def role_wordings(group: Group) -> list[Wording]:
    """Return all distinct wordings of the contrasts, placebos apart.

    A wording of several contrasts counts in the one with most wordings (the first by name among
    equals), where there is most to relabel.
    """
    largest_first = sorted(group.real, key=lambda contrast: -len(texts_of(contrast)))
    stratum: dict[tuple[str, str], str] = {
        (role, str(wording)): " / ".join(filter(None, (contrast.name, wording.frame)))
        for contrast in reversed(largest_first)
        for role in ROLES
        for wording in contrast.templates.wordings(role)
    }
    written = dict.fromkeys(w for contrast in group.real for w in texts_of(contrast))
    return [Wording(role, text, stratum[role, text]) for role, text in written]


def texts_of(contrast: Contrast) -> list[tuple[str, str]]:
    return [(role, text) for role in ROLES for text in contrast.templates.texts(role)]


def compared(wordings: Sequence[Wording]) -> list[Wording]:
    """Return the wordings whose stratum has both roles; the others say nothing about the role."""
    roles = {w.stratum: {o.role for o in wordings if o.stratum == w.stratum} for w in wordings}
    return [wording for wording in wordings if len(roles[wording.stratum]) == len(ROLES)]


def read_group(
    group: Group, layouts: Sequence[Layout], progress: Callable[[], None]
) -> dict[str, GroupResponses]:
    """Return every unit set of `group` by name.

    Differences of all points are held for as many units at a time as fit into memory; with more
    units the responses are read again. Raises DamagedPointsError.
    """
    items = len(group.study.creatures.items)
    passes, reads = list(parts(layouts, len(group.points) * items)), itertools.count(1)

    def step() -> None:  # once per point, however often its responses are read
        if next(reads) % len(passes) == 0:
            progress()

    read = [part for held in passes for part in read_units(group, held, step)]
    found = {}
    for layout in layouts:
        own = [part for part in read if part.layout.unit_set == layout.unit_set]
        found[layout.unit_set] = replace(joined(own), layout=layout)
    return found


def read_units(
    group: Group, layouts: Sequence[Layout], progress: Callable[[], None]
) -> Iterator[GroupResponses]:
    """Read the points once; yield what they give for the units of each of `layouts`.

    All points are read before DamagedPointsError names those that cannot be used.
    """
    points, items = group.points, len(group.study.creatures.items)
    columns, weights = wording_columns(group)
    cells = [np.empty((len(points), items, layout.units.height)) for layout in layouts]
    means = [np.empty((len(ROLES), len(points), layout.units.height)) for layout in layouts]
    wordings = [np.zeros((items, len(weights), layout.units.height)) for layout in layouts]
    reasons: dict[str, str] = {}
    for place, point in enumerate(points):
        found: list[np.ndarray] = []
        try:
            found = read(point, layouts)
        except (OSError, KeyError, ValueError) as error:
            reasons[point.name] = unusable(error)
        for layout, values in enumerate(found):
            test, control = means_by_role(values, point.is_test, np.array(point.templates.weights))
            cells[layout][place] = test - control
            means[layout][:, place] = test.mean(axis=0), control.mean(axis=0)
            for wording, column in enumerate(columns.get(point.name, ())):
                wordings[layout][:, column] += weights[column] * values[:, wording]
        progress()
    if reasons:
        raise DamagedPointsError(reasons)
    for each in zip(layouts, cells, means, wordings, strict=True):
        yield reduced(group, *each)


def wording_columns(group: Group) -> tuple[dict[str, list[int]], Float[np.ndarray, " wordings"]]:
    """Return the column of every wording by balanced point, and one over its occurrences."""
    written = {(w.role, w.text): column for column, w in enumerate(role_wordings(group))}
    seeds = set(group.balanced_seeds)
    columns = {
        point.name: [written[wording] for wording in texts_of(contrast)]
        for contrast in group.real
        for point in contrast.points
        if point.seed in seeds
    }
    times = np.bincount([c for each in columns.values() for c in each], minlength=len(written))
    return columns, 1 / np.maximum(times, 1)


def t_of(differences: Float[np.ndarray, "items units"]) -> Float[np.ndarray, " units"]:
    deviation = differences.std(axis=0, ddof=1)
    deviation[np.ptp(differences, axis=0) == 0] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(differences.mean(axis=0) * np.sqrt(len(differences)) / deviation)


def reduced(
    group: Group,
    layout: Layout,
    cells: Float[np.ndarray, "points items units"],
    means: Float[np.ndarray, "roles points units"],
    wordings: Float[np.ndarray, "items wordings units"],
) -> GroupResponses:
    """Return the means over points and the variance split of some units."""
    places = {point.name: index for index, point in enumerate(group.points)}

    def mean(
        contrast: Contrast, seeds: Sequence[int], values: Float[np.ndarray, points * shape] = cells
    ) -> np.ndarray:
        wanted = set(seeds)
        total = np.zeros(values.shape[1:])
        for point in contrast.points:
            if point.seed in wanted:
                total += values[places[point.name]]
        return total / len(wanted)

    test, control = (
        np.stack([mean(contrast, contrast.seeds, of_role) for contrast in group.contrasts])
        for of_role in means
    )
    seeds = group.balanced_seeds
    return GroupResponses(
        layout,
        test,
        control,
        np.stack([mean(contrast, contrast.seeds) for contrast in group.contrasts]),
        np.stack([mean(contrast, seeds) for contrast in group.real])
        if seeds
        else np.zeros((len(group.real), *cells.shape[1:])),
        np.stack([t_of(of_point) for of_point in cells]),
        wordings,
        {
            contrast.name: selectivity(
                mean(contrast, shared), [mean(placebo, shared) for placebo in group.placebos]
            )
            for contrast in group.real
            if (shared := group.shared_seeds(contrast))
        },
        split_variance(group, places, cells),
    )


def split_variance(
    group: Group, places: dict[str, int], cells: Float[np.ndarray, "points items units"]
) -> VarianceComponents | None:
    """Return the variance split over the balanced points; None if there are fewer than two."""
    seeds = set(group.balanced_seeds)
    if len(group.real) * len(seeds) < 2:
        return None
    balanced = np.array(
        [[places[p.name] for p in contrast.points if p.seed in seeds] for contrast in group.real]
    )
    found = []
    for start in range(0, cells.shape[2], UNITS_AT_ONCE):
        some = cells[:, :, start : start + UNITS_AT_ONCE][balanced]
        found.append(variance_components(np.moveaxis(some, 2, 0), FACTORS))
    variance: VarianceComponents = joined(found)
    return variance


def joined(parts: Sequence[Any]) -> Any:
    """Return what was found of some units at a time as one: arrays end to end, along the units."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts, axis=-1)
    if isinstance(first, dict):
        return {name: joined([part[name] for part in parts]) for name in first}
    if isinstance(first, Selectivity | VarianceComponents | GroupResponses):
        names = [each.name for each in fields(first)]
        return replace(first, **{n: joined([getattr(part, n) for part in parts]) for n in names})
    return first
