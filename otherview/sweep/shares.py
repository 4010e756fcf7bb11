"""Deals points to tasks: equal predicted cost, and few models a task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from otherview.passes.session import model_source
from otherview.sweep.points import Point


def deal(points: Sequence[Point], todo: Sequence[int], tasks: int) -> list[list[int]]:
    """The indices `todo` of `points` as at most `tasks` shares of nearly equal cost.

    Points of one model, and within it of one seed and scene, stay side by side, so that a task
    loads few models and draws few reference images. No share is empty.
    """
    order = sorted(todo, key=lambda index: likeness(points[index]))
    costs = [max(points[index].cost, 1.0) for index in order]
    tasks = min(tasks, len(order))
    if tasks < 1:
        return []
    least, most = max(costs), sum(costs)
    while most - least > 1e-3 * most:  # the smallest largest share that so many tasks can hold
        middle = (least + most) / 2
        least, most = (least, middle) if len(cut(costs, middle)) <= tasks else (middle, most)
    ends = cut(costs, most)
    shares = [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    while len(shares) < tasks:  # fewer are enough, yet all may help
        largest = max(
            (share for share in shares if len(share) > 1),
            key=lambda share: sum(points[index].cost for index in share),
        )
        place, half = shares.index(largest), len(largest) // 2
        shares[place : place + 1] = [largest[:half], largest[half:]]
    return shares


def cut(costs: Sequence[float], limit: float) -> list[int]:
    """Ends of the runs that a walk along `costs` makes when no run may exceed `limit`."""
    ends, start, total = [], 0.0, [*accumulate(costs)]
    for index, cost in enumerate(costs):
        if total[index] - start > limit and total[index] > cost + start:
            ends.append(index)
            start = total[index] - cost
    return [*ends, len(costs)]


def likeness(point: Point) -> tuple[str, str, int]:
    study = point.study
    return str(model_source(study.model)), study.scene.name, study.seed
