"""What diffusers and transformers print: warnings and progress bars that are not about a study."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Silence warnings and progress bars by the `logging` of diffusers or transformers."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


@contextmanager
def quieter() -> Iterator[None]:
    """Silence warnings and progress bars of diffusers and transformers."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    with quiet(of_diffusers), quiet(of_transformers), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # quanto is deprecated in diffusers
        yield
