"""Count the rows that go through a transformer, forward and backward, whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook


@dataclass
class Passes:
    """Rows of a batch count one each."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """The cost in forward passes: a backward pass counts two."""
        return self.forward + 2 * self.backward

    def add(self, other: Passes) -> None:
        """Add the rows of `other`."""
        self.forward += other.forward
        self.backward += other.backward


class PassCounter:
    """Counts into the innermost `apart`."""

    def __init__(self) -> None:
        self._open: list[Passes] = []

    @contextmanager
    def apart(self) -> Iterator[Passes]:
        """Count what runs inside, and not in the counts outside."""
        self._open.append(Passes())
        try:
            yield self._open[-1]
        finally:
            self._open.pop()

    def ran(self, output: Any) -> None:
        """Count a forward pass, and each backward pass from its output, a tensor."""
        if not self._open:
            return
        self._open[-1].forward += len(output)
        if output.requires_grad:
            output.register_hook(self._went_back)

    def _went_back(self, gradient: Tensor) -> None:
        if self._open:
            self._open[-1].backward += len(gradient)


@contextmanager
def counted(kind: type[nn.Module]) -> Iterator[PassCounter]:
    """Count the passes of every transformer of a class, until the end of the context.

    Blocks that gradient checkpointing runs again are part of the backward pass.
    """
    counter = PassCounter()

    def after(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(module, kind):
            counter.ran(output[0])

    handle = register_module_forward_hook(after)
    try:
        yield counter
    finally:
        handle.remove()
