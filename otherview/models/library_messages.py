"""What diffusers and transformers print: warnings and progress bars that are not about a study."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quieter() -> Iterator[None]:
    """Silence warnings and progress bars of diffusers and transformers."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    verbosities = [(each, each.get_verbosity()) for each in (of_diffusers, of_transformers)]
    try:
        for logging, _ in verbosities:
            logging.set_verbosity_error()
            logging.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # quanto is deprecated in diffusers
            yield
    finally:
        for logging, verbosity in verbosities:
            logging.set_verbosity(verbosity)
            logging.enable_progress_bar()
