"""Deal points to tasks: nearly equal predicted cost, and few models per task."""

from __future__ import annotations

from collections.abc import Sequence

from otherview.sweep.points import Point


def deal(points: Sequence[Point], todo: Sequence[int], tasks: int) -> list[list[int]]:
    """Return the indices `todo` of `points` as at most `tasks` shares of nearly equal cost.

    Points of one model, and within it of one scene and seed, stay together, so that a task loads
    few models and generates few reference images. No share is empty.
    """
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
    return str(study.model.source), study.scene.name, study.seed
