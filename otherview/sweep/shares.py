"""Deal points to tasks: nearly equal predicted cost, few models per task, what died last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from otherview.results.state import fruitless, newest_batch
from otherview.results.status import read_status
from otherview.sweep.points import Point

GOT_FURTHER = 1
"""`trouble` of a point that was begun, and whose last start kept something."""


def deal(
    points: Sequence[Point], todo: Sequence[int], tasks: int, died: Collection[int] = ()
) -> list[list[int]]:
    """Return the indices `todo` of `points` as at most `tasks` shares of nearly equal cost.

    Points of one model, and within it of one scene and seed, stay together, so that a task loads
    few models and generates few reference images. No share is empty. Those that `died` the last
    time are last in their shares, or alone, and in as many shares as there are tasks.
    """
    sound = [index for index in todo if index not in died]
    shares = deal_sound(points, sound, tasks) if sound else []
    last: list[list[int]] = [[] for _ in range(min(tasks, len(todo)))]
    for number, index in enumerate(index for index in todo if index in died):
        last[-1 - number % len(last)].append(index)
    shares += [[] for _ in range(len(last) - len(shares))]
    return [[*first, *then] for first, then in zip(shares, last, strict=True) if first or then]


def deal_sound(points: Sequence[Point], todo: Sequence[int], tasks: int) -> list[list[int]]:
    costs = {index: max(points[index].cost, 1.0) for index in todo}
    tasks, total = min(tasks, len(costs)), sum(costs.values())
    dealt: list[list[int]] = [[] for _ in range(tasks)]
    before = 0.0
    for index in sorted(todo, key=lambda index: likeness(points[index])):
        middle = before + costs[index] / 2
        dealt[min(int(tasks * middle / total), tasks - 1)].append(index)
        before += costs[index]
    shares = [share for share in dealt if share]
    while len(shares) < tasks:  # a point that costs more than a share leaves one empty
        several = [share for share in shares if len(share) > 1]
        largest = max(several, key=lambda share: sum(costs[index] for index in share))
        place, half = shares.index(largest), len(largest) // 2
        shares[place : place + 1] = [largest[:half], largest[half:]]
    return shares


def likeness(point: Point) -> tuple[str, str, int]:
    study = point.study
    return str(study.model.source), str([scene.name for scene in study.scenery]), study.seed


def trouble(folder: Path) -> int:
    """Return 0 for a point that was never tried, GOT_FURTHER, or more for each fruitless start."""
    status, _ = read_status(folder)
    starts = fruitless(folder, status)
    if status.get("state") == "failed" and status.get("cause") == "machine":
        starts += 1
    return GOT_FURTHER + starts if starts else GOT_FURTHER * (newest_batch(folder) > 0)
