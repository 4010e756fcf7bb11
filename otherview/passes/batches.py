"""The batch size of a transformer call: fast, and within memory.

On a GPU, `model.batch_size=auto` is measured and remembered. On a CPU it is fixed: there, larger
batches save no measurable time (docs/performance.md), and running out of memory kills the process
instead of raising an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import torch

from otherview.models.cache import open_cache
from otherview.models.calls import Call
from otherview.models.loaded import free_memory
from otherview.models.offloading import runs_on
from otherview.models.out_of_memory import is_out_of_memory
from otherview.passes.transformer import run

ON_CPU = 4
"""Prompts per transformer call on a CPU."""
MAX_ROWS = 64
"""Maximal batch size that is tried."""
MIN_GAIN = 0.02
"""Minimal share of the time that a larger batch must save."""
ROUNDS = 2

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


def find_batch_size(
    transformer: Any, call_of: Callable[[int], Call], sizes: Any, settings: Any
) -> int:
    """Return the smallest batch size that is as fast as any, within MIN_GAIN.

    `call_of` returns a call with a number of rows, of the lengths that `sizes` (plain JSON) names.
    The size is kept in the cache for the transformer config, device, sizes and `settings` (plain
    JSON). Passes are uncompiled.
    """
    device = runs_on(transformer)
    if device.type != "cuda":
        return ON_CPU
    config = {name: value for name, value in transformer.config.items() if name[0] != "_"}
    memory = torch.cuda.get_device_properties(device).total_memory

    def find() -> int:
        return fastest(lambda rows: call_seconds(transformer, call_of(rows)))

    return remembered(find, config=config, sizes=sizes, memory=memory, settings=settings)


def fastest(seconds: Callable[[int], float]) -> int:
    """Return the smallest power of two whose time per row is within MIN_GAIN of the best.

    `seconds(rows)` is the time of a call; sizes are doubled until it raises
    torch.OutOfMemoryError, up to MAX_ROWS, or until two doublings in a row saved nothing.
    """
    by_size: dict[int, float] = {}
    size = 1
    while size <= MAX_ROWS:
        taken = within_memory(seconds, size)
        if taken is None:
            break
        by_size[size] = taken / size
        earlier = [time for rows, time in by_size.items() if rows <= size // 4]
        if earlier and min(earlier) * (1 - MIN_GAIN) <= min(by_size[size], by_size[size // 2]):
            break
        size *= 2
    if not by_size:
        return 1  # measuring will raise an error that says what to do
    best = min(by_size.values())
    return min(rows for rows, time in by_size.items() if time * (1 - MIN_GAIN) <= best)


@torch.no_grad()
def call_seconds(transformer: Any, call: Call) -> float:
    """Return the best time of a bare transformer call, after one to warm up."""
    best = float("inf")
    for round_ in range(ROUNDS + 1):
        start = time.perf_counter()
        run(transformer, call)
        if (device := runs_on(transformer)).type != "cpu":
            torch.accelerator.synchronize(device)
        if round_:
            best = min(best, time.perf_counter() - start)
    return best


def remembered(find: Callable[[], int], **content: Any) -> int:
    """Return what `find` found once for `content` (plain JSON), from the cache if possible."""
    cache, content = open_cache(), {"kind": "batch size", **content}
    kept = cache.get(**content)
    if kept is None:
        kept = {"rows": torch.tensor(find())}
        cache.put(kept, **content)
    return int(kept["rows"])
