"""Work in batches that become smaller where the device has too little memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

Done = TypeVar("Done")


def halving(
    total: int, size: int, run: Callable[[range], tuple[range, Done]]
) -> Iterator[tuple[range, Done]]:
    """`run(rows)` for the rows 0 to `total`, in batches of `size` in their order.

    `run` gives back the rows that it did, from the first that it was asked for, which can be fewer:
    the next batches are as small. A batch that runs out of device memory is run again in halves,
    and so is all that follows; raises torch.OutOfMemoryError where a single row does.
    """
    start = 0
    while start < total:
        rows = range(start, min(start + size, total))
        done = or_none(run, rows)
        if done is None:
            size = len(rows) // 2
            free_memory()
            continue
        if len(done[0]) < len(rows):
            size = len(done[0])
        yield done
        start = done[0].stop


def or_none(run: Callable[[range], tuple[range, Done]], rows: range) -> tuple[range, Done] | None:
    """None where several rows do not fit; here, so that the error's frames hold no memory."""
    try:
        return run(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        return None


def free_memory() -> None:
    """Gives memory that nothing uses back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
