"""From cells to the table: who finds the planted heads, and what is called where none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from otherview.bench.average_precision import average_precision, first_rank
from otherview.bench.cases import NULLS, Case, Size
from otherview.bench.cells import Cell
from otherview.bench.measuring import Cells
from otherview.bench.organisms import Organism
from otherview.bench.readings import Reading


@dataclass(frozen=True)
class Found:
    """What a reading finds in an organism."""

    order: tuple[str, ...]
    """All heads, the highest score first; tied ones in the order of the transformer."""
    called: tuple[str, ...]
    precision: float | None
    """Average precision; None where no head is planted."""
    first: float | None
    """Rank of the first planted head."""
    decoy_called: bool | None
    """None without a decoy."""
    planted_called: int
    """Planted heads that are called."""
    passes: int
    """A backward pass counts two."""


@dataclass(frozen=True)
class FalseCalls:
    """What a reading calls in a null, where every call is false."""

    mean: float
    """Heads per seed."""
    seeds_with_any: int
    seeds: int


@dataclass(frozen=True)
class Row:
    """A reading."""

    name: str
    meaning: str
    organisms: Mapping[str, Found]
    mean: float | None
    """Average precision, mean over the organisms that count; None if none was measured."""
    nulls: Mapping[str, FalseCalls]
    passes: int | None
    """Per organism, mean."""


def bench_table(
    cells: Cells, readings: Sequence[Reading], cases: Sequence[Case], size: Size
) -> dict[str, Any]:
    """Return the table of all `readings` and `cases`, which `cells` has, as plain JSON.

    `chance` is the average precision of ranking heads at random.
    """
    organisms = [case.organism for case in cases if case.organism]
    heads = len(next(iter(cells.values())).scores.by_head)
    tie = dict.fromkeys(map(str, range(heads)), 0.0)
    chance = {
        each.name: average_precision(tie, set(list(tie)[: len(each.planted)]))
        for each in organisms
        if each.planted
    }
    there = {case.name for case in cases if not case.organism}
    mean = mean_of([chance[each.name] for each in organisms if each.counts])
    return {
        "size": asdict(size),
        "organisms": [
            {key: value for key, value in asdict(each).items() if key != "weights"}
            for each in organisms
        ],
        "nulls": {name: told for name, told in NULLS.items() if name in there},
        "chance": {"organisms": chance, "mean": mean},
        "readings": [asdict(row_of(cells, reading, cases)) for reading in readings],
    }


def row_of(cells: Cells, reading: Reading, cases: Sequence[Case]) -> Row:
    """Return the row of a reading."""
    found, counting = {}, []
    false_calls: dict[str, list[int]] = {}
    for case in cases:
        cell = cells[reading.name, case]
        if case.organism is None:
            false_calls.setdefault(case.name, []).append(len(cell.scores.called))
            continue
        found[case.name] = found_of(cell, case.organism)
        if case.organism.counts:
            counting.append(found[case.name].precision or 0.0)
    passes = mean_of([each.passes for each in found.values()])
    return Row(
        reading.name,
        reading.meaning,
        found,
        mean_of(counting),
        {
            name: FalseCalls(fmean(calls), sum(call > 0 for call in calls), len(calls))
            for name, calls in false_calls.items()
        },
        None if passes is None else round(passes),
    )


def found_of(cell: Cell, organism: Organism) -> Found:
    """Return what a cell finds in an organism."""
    scores, called = cell.scores.by_head, cell.scores.called
    planted = organism.planted
    return Found(
        tuple(sorted(scores, key=scores.__getitem__, reverse=True)),
        tuple(called),
        average_precision(scores, planted) if planted else None,
        first_rank(scores, planted) if planted else None,
        None if organism.decoy is None else organism.decoy in called,
        len({*planted} & {*called}),
        cell.passes.total,
    )


def mean_of(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
