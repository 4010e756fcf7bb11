"""Imports that take seconds, without the garbage collector walking through them.

    with importing():
        from otherview.results.run_study import make_result

torch, diffusers and transformers make a million objects that live as long as the process. The
collector, which starts whenever enough of them are new, finds nothing among them and takes a fifth
of the time between the command and its first table.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage while the context lasts, and leave what it made out of later collections.

    In a process that has imported diffusers already it does nothing: what else lives there, such as
    the tensors of a notebook, must be collected later.
    """
    if "diffusers" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
