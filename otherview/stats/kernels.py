"""Compile a kernel with numba, with its machine code kept on disk."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, cast

import numba

Integer: TypeAlias = Any
"""A whole number inside a kernel: Python's or NumPy's, which numba does not tell apart."""

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def inlined(kernel: Kernel) -> Kernel:
    """`kernel` pasted into the kernels that use it: a call that hands on arrays costs more than
    a short loop over them."""
    return cast(Kernel, numba.njit(inline="always", error_model="numpy")(kernel))


def compiled(kernel: Kernel) -> Kernel:
    """`kernel` as machine code that releases the GIL, cached next to its source.

    Where the source directory is read-only numba uses the user's cache directory; where no
    directory can be written the kernel is compiled again in every process. A file of the cache
    that cannot be read is thrown away and the kernel compiled again.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        dispatcher = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:
        return cast(Kernel, numba.njit(**options)(kernel))
    survive_damage(dispatcher._cache)
    return cast(Kernel, dispatcher)


def survive_damage(cache: Any) -> None:
    """Let a cache of numba whose files are damaged (a crash) start again, empty, and let one that
    cannot be written (a full disk) be without."""
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception:  # whatever reading garbage raises
            with suppress(OSError):
                cache.flush()
            return None

    def save_overload(*arguments: Any) -> None:
        with suppress(OSError):
            save(*arguments)

    cache.load_overload, cache.save_overload = load_overload, save_overload
