"""Backward passes within the memory of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from otherview.passes.batches import within_memory

Argument = TypeVar("Argument")
Done = TypeVar("Done")


class BackwardMemory:
    """Remembers whether blocks of `transformer` must keep only their inputs for backward."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer
        self._saves = not getattr(transformer, "_supports_gradient_checkpointing", False)

    def run(self, run: Callable[[Argument], Done], argument: Argument) -> Done:
        """Return `run(argument)`; where memory runs out, again with gradient checkpointing.

        All later ones then start with it. Raises the device's error where that is not enough.
        """
        can_save = bool(getattr(self._transformer, "_supports_gradient_checkpointing", False))
        if not self._saves:
            done = within_memory(run, argument)
            if done is not None:
                return done
            self._saves = True
        with checkpointing(self._transformer) if can_save else nullcontext():
            return run(argument)


@contextmanager
def checkpointing(transformer: Any) -> Iterator[None]:
    """Have the blocks of a transformer of diffusers keep only their inputs for backward."""
    before = transformer.is_gradient_checkpointing
    transformer.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            transformer.disable_gradient_checkpointing()
