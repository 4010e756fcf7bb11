"""How long work reports what it has done."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and its total."""


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""
