"""From cells to the table: who finds the planted heads, and what is called where none is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from otherview.bench.average_precision import average_precision, first_rank
from otherview.bench.cases import NULLS, Case, Size
from otherview.bench.cells import Cell
from otherview.bench.measuring import Cells
from otherview.bench.organisms import Organism
from otherview.bench.readings import Reading


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
        "readings": [row_of(cells, reading, cases) for reading in readings],
    }


def row_of(cells: Cells, reading: Reading, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the row of a reading.

    `mean` is the average precision over the organisms that count, None if none was measured;
    `passes` are those per organism. In a null every call is false.
    """
    found: dict[str, dict[str, Any]] = {}
    counting = []
    false_calls: dict[str, list[int]] = {}
    for case in cases:
        cell = cells[reading.name, case]
        if case.organism is None:
            false_calls.setdefault(case.name, []).append(len(cell.scores.called))
            continue
        found[case.name] = found_of(cell, case.organism)
        if case.organism.counts:
            counting.append(found[case.name]["precision"] or 0.0)
    passes = mean_of([each["passes"] for each in found.values()])
    return {
        "name": reading.name,
        "meaning": reading.meaning,
        "organisms": found,
        "mean": mean_of(counting),
        "nulls": {
            name: {
                "mean": fmean(calls),
                "seeds_with_any": sum(call > 0 for call in calls),
                "seeds": len(calls),
            }
            for name, calls in false_calls.items()
        },
        "passes": None if passes is None else round(passes),
    }


def found_of(cell: Cell, organism: Organism) -> dict[str, Any]:
    """Return what a cell finds in an organism.

    `order` has all heads, the highest score first, tied ones in the order of the transformer;
    `precision` is the average precision, and `first` the rank of the first planted head: None
    where none is planted. `decoy_called` is None without a decoy; a backward pass counts two.
    """
    scores, called = cell.scores.by_head, cell.scores.called
    planted = organism.planted
    return {
        "order": sorted(scores, key=scores.__getitem__, reverse=True),
        "called": list(called),
        "precision": average_precision(scores, planted) if planted else None,
        "first": first_rank(scores, planted) if planted else None,
        "decoy_called": None if organism.decoy is None else organism.decoy in called,
        "planted_called": len({*planted} & {*called}),
        "passes": cell.passes.total,
    }


def mean_of(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
