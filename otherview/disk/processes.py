"""Processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from types import FrameType
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def nothing() -> None:
    """Prepare nothing."""


def in_processes(
    work: Callable[[Part], Result],
    parts: Sequence[Part],
    processes: int,
    prepare: Callable[[], None] = nothing,
) -> Iterator[tuple[Part, Future[Result]]]:
    """Yield every part with the future of `work(part)`, as they end.

    Each process is a fresh one, calls `prepare` first and leaves Ctrl-C to this one. After an
    error, Ctrl-C or SIGTERM here, and where this process is killed, all end at once, whatever they
    are at, and leave no file half-written. A future raises BrokenProcessPool where a process was
    ended from outside.
    """
    others = multiprocessing.active_children()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, begin, (prepare,)) as pool:
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:  # they inherit the mask: until they ignore Ctrl-C, they import for seconds
                running = {pool.submit(done_or_ended, work, part): part for part in parts}
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            left = {*running}
            while left:
                # Without a timeout, Ctrl-C waits, too: polars has the calls that it stops restart.
                done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
                yield from ((running[future], future) for future in done)
        except BaseException:
            for process in {*multiprocessing.active_children()} - {*others}:
                process.terminate()  # else it would go on with what waits in its queue
            raise


def begin(prepare: Callable[[], None]) -> None:
    """Begin a process: it leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    prepare()


def end_with_parent() -> None:
    """Wait for the end of the parent, and end this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def done_or_ended(work: Callable[[Part], Result], part: Part) -> Result:
    """Return `work(part)`; after SIGTERM, clean up as after an error and end the process."""
    try:
        signal.signal(signal.SIGTERM, clean_up)
        try:
            return work(part)
        finally:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # also if a library lost it
                os._exit(1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except KeyboardInterrupt:
        os._exit(1)


def clean_up(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM, once: the pool sends more when its first process has ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
