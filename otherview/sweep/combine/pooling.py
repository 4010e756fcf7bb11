"""What the tests of a group need of its points, gathered in one pass over their responses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from otherview.analysis.comparison import Selectivity, selectivity
from otherview.stats import VarianceComponents, variance_components
from otherview.sweep.combine.groups import Contrast, Group
from otherview.sweep.combine.point_responses import Layout, Readings, parts, read_points

FACTORS = ("item", "template", "seed")
MIN_WORDINGS = 4
"""Wordings of each role that the role test over contrasts needs."""
UNITS_AT_ONCE = 16
"""Units whose differences are copied for a variance split at once."""


@dataclass
class Gathered:
    """One unit set of a group. Arrays are in the order of the group's contrasts and items."""

    layout: Layout
    test: Float[np.ndarray, "contrasts units"]
    """Mean response over items and seeds."""
    control: Float[np.ndarray, "contrasts units"]
    differences: Float[np.ndarray, "contrasts items units"]
    """Mean over all seeds of the contrast."""
    balanced: Float[np.ndarray, "real items units"]
    """Of the contrasts that are no placebos, mean over the seeds that all of them have."""
    selective: dict[str, Selectivity]
    """By contrast, over the seeds that it shares with all placebos; absent where there are none."""
    t: Float[np.ndarray, "points units"]
    """Each point's own t; not finite where it is degenerate."""
    wordings: Float[np.ndarray, "items wordings units"]
    """Responses to the wordings of `role_wordings`, mean over the balanced seeds."""
    variance: VarianceComponents | None = None
    """None where fewer than two factors vary."""
    variance_parts: list[VarianceComponents] = field(default_factory=list, repr=False)


def role_wordings(group: Group) -> list[tuple[str, str]]:
    """Role and text of all distinct wordings of the contrasts, placebos apart."""
    written = {
        (role, text): None
        for contrast in group.real
        for role in ("test", "control")
        for text in getattr(contrast.templates, role)
    }
    return list(written)


def gather(
    group: Group,
    layouts: Sequence[Layout],
    progress: Callable[[], None],
) -> dict[str, Gathered]:
    """Gathers every unit set of `group`.

    Differences of all points are held for as many units at a time as fit into memory; with more
    units the responses are read again. Raises DamagedPointsError.
    """
    found = {layout.unit_set: empty(group, layout) for layout in layouts}
    points, items = group.points, len(group.study.creatures.items)
    passes, reads = list(parts(layouts, len(points) * items)), itertools.count(1)

    def step() -> None:  # once per point, however often its responses are read
        if next(reads) % len(passes) == 0:
            progress()

    for held in passes:
        gather_part(group, held, found, step)
    for gathered in found.values():
        gathered.variance = joined(gathered.variance_parts)
    return found


def empty(group: Group, layout: Layout) -> Gathered:
    units, items = layout.units.height, len(group.study.creatures.items)
    contrasts, real = len(group.contrasts), len(group.real)
    return Gathered(
        layout,
        test=np.zeros((contrasts, units)),
        control=np.zeros((contrasts, units)),
        differences=np.zeros((contrasts, items, units)),
        balanced=np.zeros((real, items, units)),
        selective={
            contrast.name: Selectivity(np.zeros((items, units)), np.zeros((items, units)))
            for contrast in group.real
            if group.shared_seeds(contrast)
        },
        t=np.zeros((len(group.points), units)),
        wordings=np.zeros((items, len(role_wordings(group)), units)),
    )


def gather_part(
    group: Group,
    held: Sequence[tuple[Layout, slice]],
    found: dict[str, Gathered],
    progress: Callable[[], None],
) -> None:
    points, items = group.points, len(group.study.creatures.items)
    place_of = {layout.unit_set: place for layout, place in held}
    cells = {
        layout.unit_set: np.empty((len(points), items, layout.units.height)) for layout, _ in held
    }
    columns, weights = wording_columns(group)
    contrast_of = [index for index, c in enumerate(group.contrasts) for _ in c.points]

    def take(index: int, unit_set: str, readings: Readings) -> None:
        gathered, place = found[unit_set], place_of[unit_set]
        difference = readings.test - readings.control
        cells[unit_set][index] = difference
        gathered.t[index, place] = t_of(difference)
        contrast = contrast_of[index]
        share = 1 / len(group.contrasts[contrast].points)
        gathered.test[contrast, place] += share * readings.test.mean(axis=0)
        gathered.control[contrast, place] += share * readings.control.mean(axis=0)
        for wording, column in enumerate(columns.get(points[index].name, ())):
            gathered.wordings[:, column, place] += weights[column] * readings.wordings[:, wording]

    read_points(points, [layout for layout, _ in held], take, progress)
    for unit_set, place in place_of.items():
        reduce(group, cells[unit_set], found[unit_set], place)


def wording_columns(group: Group) -> tuple[dict[str, list[int]], Float[np.ndarray, " wordings"]]:
    """Column of every wording of the balanced points, by point, and one over its occurrences."""
    written = {wording: column for column, wording in enumerate(role_wordings(group))}
    seeds = set(group.balanced_seeds)
    columns = {
        point.name: [
            written[role, text]
            for role in ("test", "control")
            for text in getattr(point.templates, role)
        ]
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


def reduce(
    group: Group, cells: Float[np.ndarray, "points items units"], found: Gathered, place: slice
) -> None:
    """Means and the variance split of the units at `place`."""
    places = {point.name: index for index, point in enumerate(group.points)}

    def mean(contrast: Contrast, seeds: Sequence[int]) -> Float[np.ndarray, "items units"]:
        wanted = set(seeds)
        total = np.zeros(cells.shape[1:])
        for point in contrast.points:
            if point.seed in wanted:
                total += cells[places[point.name]]
        return total / len(wanted)

    for index, contrast in enumerate(group.contrasts):
        found.differences[index, :, place] = mean(contrast, contrast.seeds)
    seeds = group.balanced_seeds
    for index, contrast in enumerate(group.real):
        if seeds:
            found.balanced[index, :, place] = mean(contrast, seeds)
        if contrast.name in found.selective:
            shared = group.shared_seeds(contrast)
            of_part = selectivity(
                mean(contrast, shared), [mean(placebo, shared) for placebo in group.placebos]
            )
            found.selective[contrast.name].of_contrast[:, place] = of_part.of_contrast
            found.selective[contrast.name].of_placebos[:, place] = of_part.of_placebos
    if len(group.real) * len(seeds) > 1:
        split_variance(balanced_places(group, places), cells, found)


def balanced_places(group: Group, places: dict[str, int]) -> np.ndarray:
    """Place of every balanced point, `[contrasts, seeds]`."""
    seeds = set(group.balanced_seeds)
    return np.array(
        [[places[p.name] for p in contrast.points if p.seed in seeds] for contrast in group.real]
    )


def split_variance(
    places: np.ndarray, cells: Float[np.ndarray, "points items units"], found: Gathered
) -> None:
    for start in range(0, cells.shape[2], UNITS_AT_ONCE):
        some = cells[:, :, start : start + UNITS_AT_ONCE][places]
        found.variance_parts.append(variance_components(np.moveaxis(some, 2, 0), FACTORS))


def joined(parts: Sequence[VarianceComponents]) -> VarianceComponents | None:
    if not parts:
        return None
    first = parts[0]
    return VarianceComponents(
        {name: np.concatenate([p.components[name] for p in parts]) for name in first.components},
        {
            name: np.concatenate([p.mean_squares[name] for p in parts])
            for name in first.mean_squares
        },
        first.degrees,
        first.levels,
    )
