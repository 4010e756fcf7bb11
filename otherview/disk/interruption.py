"""Ctrl-C and SIGTERM: what was asked for, whatever a library makes of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """A signal handler that raises KeyboardInterrupt, and remembers the signal.

    Code that is interrupted may lose the exception: HDF5 makes an error of its own of one that is
    raised in its callbacks, and finalisers ignore all.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.signal = signal.Signals(number)
        raise KeyboardInterrupt(self.signal.name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, as from `kill` or Slurm, do in this block what Ctrl-C does.

    An error that follows either becomes KeyboardInterrupt. Leaves signals alone in other threads
    than the main one, and Ctrl-C where it is ignored or handled by somebody else.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler, before = Interruption(), {}
    for number in (signal.SIGTERM, signal.SIGINT):
        if number is signal.SIGTERM or signal.getsignal(number) is signal.default_int_handler:
            before[number] = signal.signal(number, handler)
    try:
        yield
    except Exception as error:
        raise_if_interrupted(error)
        raise
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def raise_if_interrupted(error: Exception | None = None) -> None:
    """Raise KeyboardInterrupt if a signal asked this process to stop, be it lost or now `error`."""
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, Interruption) and handler.signal is not None:
        raise KeyboardInterrupt(handler.signal.name) from error
