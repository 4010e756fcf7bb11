"""Measure the cells of the table, case by case, in one or several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from otherview.bench.cases import MIN_SIZE, NULLS, Case
from otherview.bench.cells import Cell, case_key, cell_file, cell_key, read_cell, write_cell
from otherview.bench.reading_file import ReadingSource
from otherview.bench.readings import Reading
from otherview.bench.scores import checked_scores
from otherview.bench.subject import Subject, subjects
from otherview.disk.processes import in_processes
from otherview.disk.progress import Progress, silent
from otherview.study.errors import UserError

Cells = dict[tuple[str, Case], Cell]
"""By the name of a reading and case."""


@dataclass(frozen=True)
class Task:
    """The cells of a case that are not there."""

    case: Case
    missing: tuple[tuple[ReadingSource, Path, str], ...]
    """Reading, file and key of each."""


def measured_cells(
    sources: Sequence[ReadingSource],
    cases: Sequence[Case],
    folder: Path,
    processes: int = 1,
    progress: Progress = silent,
) -> Cells:
    """Return the cells of all readings and cases; those that are not in `folder` are measured.

    Users' readings are tried on a small subject before anything else. Each cell is written when it
    is measured, so that an interrupted call continues. Raises UserError for a reading that fails.
    """
    readings = {source: source.load() for source in sources}
    keys = {case: case_key(case) for case in cases}
    found: Cells = {}
    tasks = []
    for case in cases:
        missing = []
        for source in sources:
            path, key = cell_file(folder, source, case), cell_key(keys[case], source)
            cell = read_cell(path, key)
            if cell is None:
                missing.append((source, path, key))
            else:
                found[source.name, case] = cell
        if missing:
            tasks.append(Task(case, tuple(missing)))
    asked = {source for task in tasks for source, *_ in task.missing}
    own = [readings[source] for source in sources if source.file and source in asked]
    wanted = len(sources) * len(cases)
    progress("readings", len(found), wanted)
    for case, cells in run_tasks(tasks, own, processes):
        found |= {(name, case): cell for name, cell in cells.items()}
        progress("readings", len(found), wanted)
    return found


def run_tasks(
    tasks: Sequence[Task], own: Sequence[Reading], processes: int
) -> Iterator[tuple[Case, dict[str, Cell]]]:
    """Yield the cells of every task as it ends."""
    if not tasks:
        return
    prepare()
    try_readings(own)
    if processes == 1:
        yield from ((task.case, run_task(task)) for task in tasks)
        return
    try:
        for task, done in in_processes(run_task, tasks, min(processes, len(tasks)), prepare):
            yield task.case, done.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process of the bench was ended from outside, perhaps for lack of memory: what "
            "was measured is kept; continue with fewer --processes"
        ) from error


def run_task(task: Task) -> dict[str, Cell]:
    """Measure and write the cells of a task, and return them by reading."""
    cells = {}
    with subjects() as subject:
        of_case = subject(task.case)
        for source, path, key in task.missing:
            cell = measured(source.load(), of_case, task.case.label)
            write_cell(path, key, cell)
            cells[source.name] = cell
    return cells


def try_readings(readings: Sequence[Reading]) -> None:
    """Call readings on a small subject. Raises UserError for one that fails."""
    if not readings:
        return
    with subjects() as subject:
        small = subject(Case(next(iter(NULLS)), 0, None, MIN_SIZE))
        for reading in readings:
            measured(reading, small, "a small subject")


def measured(reading: Reading, subject: Subject, label: str) -> Cell:
    """Return a reading of a subject. Raises UserError where it fails or says what it cannot."""
    where = f"the reading {reading.name} of {label}"
    with subject.reading() as passes:
        try:
            found = reading.score(subject)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{where} failed: {type(error).__name__}: {error}") from error
    return Cell(checked_scores(found, subject.addresses, where), passes)


def prepare() -> None:
    """Compute on one thread: sums do not depend on how many processes share the machine."""
    os.environ["NUMBA_NUM_THREADS"] = "1"  # read when numba is first imported
    torch.set_num_threads(1)
