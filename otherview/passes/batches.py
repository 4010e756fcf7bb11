"""Batches of prompts that become smaller where the device's memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from otherview.models.loaded import free_memory
from otherview.models.out_of_memory import is_out_of_memory

Argument = TypeVar("Argument")
Done = TypeVar("Done")


def halving_by_group(
    lengths: Sequence[int], size: int, run: Callable[[range], tuple[range, Done]]
) -> Iterator[tuple[range, Done]]:
    """Yield `run(rows)` in batches of `size`, over groups of `lengths` rows that share no batch.

    `run` returns the rows that it has done, which can be fewer than requested; the next batches are
    then as small. A batch that runs out of device memory is split in halves, and so are all later
    ones. Raises the device's error if a single row does not fit.
    """
    start = 0
    for stop in accumulate(lengths):
        while start < stop:
            rows = range(start, min(start + size, stop))
            done = run(rows) if len(rows) == 1 else within_memory(run, rows)
            if done is None:
                size = len(rows) // 2
                continue
            start = done[0].stop
            if start < stop:
                size = min(size, len(done[0]))
            yield done


def within_memory(run: Callable[[Argument], Done], argument: Argument) -> Done | None:
    """Return `run(argument)`, or None if it runs out of device memory.

    This is a separate function, so that no frame of the error holds memory while it is freed.
    """
    try:
        return run(argument)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    free_memory()
    return None
