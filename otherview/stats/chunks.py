"""Long work cut into short chunks: on all cores, with progress, open to Ctrl-C."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeVar

Part = TypeVar("Part")
Progress = Callable[[int, int], None]
"""Called with (chunks done, chunks in all) from the calling thread."""


class Running(NamedTuple):
    """How long work is run."""

    threads: int | None = None
    """Threads to run on; None takes all available cores."""
    progress: Progress | None = None


ONE_THREAD = Running(threads=1)


def available_cores() -> int:
    """Cores this process may use; `OMP_NUM_THREADS` lowers the number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores or 1, int(limit))) if limit.isdigit() else max(1, cores or 1)


def counted(number: int, progress: Progress | None) -> Iterator[int]:
    """Yield 0, ..., number - 1, and report how many are done."""
    for index in range(number):
        yield index
        if progress is not None:
            progress(index + 1, number)


def run_chunks(work: Callable[[int], Part], chunks: int, running: Running) -> Iterator[Part]:
    """Yield `work(0), ..., work(chunks - 1)` in this order.

    What a chunk holds must not depend on the number of threads; then no result does. At most
    two chunks a thread are held at a time, so memory is flat in `chunks`. An exception, Ctrl-C
    included, drops the chunks that have not begun and is raised when those under way end.
    """
    progress = running.progress
    threads = available_cores() if running.threads is None else running.threads
    if threads == 1 or chunks == 1:
        yield from map(work, counted(chunks, progress))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: dict[int, Future[Part]] = {}
        begun = 0
        try:
            for index in range(chunks):
                while begun < chunks and begun < index + 2 * threads:
                    waiting[begun] = pool.submit(work, begun)
                    begun += 1
                # A timeout lets the main thread see Ctrl-C on every platform.
                while not wait([waiting[index]], timeout=0.2, return_when=FIRST_COMPLETED).done:
                    pass
                yield waiting.pop(index).result()
                if progress is not None:
                    progress(index + 1, chunks)
        finally:
            for future in waiting.values():
                future.cancel()
