"""Compile a kernel with numba, with its machine code kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


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
