"""Compile a kernel with numba, with its machine code kept on disk."""

from collections.abc import Callable
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
    """`kernel` as machine code that releases the GIL, cached beside its source.

    Where the source directory is read-only numba uses the user's cache directory; where no
    directory can be written the kernel is compiled anew in every process.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Kernel, numba.njit(cache=True, **options)(kernel))
    except RuntimeError:
        return cast(Kernel, numba.njit(**options)(kernel))
