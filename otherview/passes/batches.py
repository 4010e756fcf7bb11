"""Work in batches that become smaller where the device has too little memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

Argument = TypeVar("Argument")
Done = TypeVar("Done")


def halving(
    total: int, size: int, run: Callable[[range], tuple[range, Done]]
) -> Iterator[tuple[range, Done]]:
    """Yield `run(rows)` for the rows 0 to `total`, in batches of `size` in their order.

    `run` returns the rows that it did, from the first that it was asked for, which can be fewer:
    the next batches are as small. A batch that runs out of device memory is run again in halves,
    and so is all that follows. Raises torch.OutOfMemoryError where a single row does.
    """
    start = 0
    while start < total:
        rows = range(start, min(start + size, total))
        done = run(rows) if len(rows) == 1 else within_memory(run, rows)
        if done is None:
            size = len(rows) // 2
            continue
        if len(done[0]) < len(rows):
            size = len(done[0])
        yield done
        start = done[0].stop


def within_memory(run: Callable[[Argument], Done], argument: Argument) -> Done | None:
    """Return `run(argument)`, or None where it runs out of device memory.

    A function of its own, so that no frame of the error holds memory when it is given back.
    """
    try:
        return run(argument)
    except torch.OutOfMemoryError:
        pass
    free_memory()
    return None


def free_memory() -> None:
    """Give memory that nothing uses back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
