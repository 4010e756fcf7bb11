"""The tiny pipelines are quiet, and keep their reference pictures small."""

from __future__ import annotations

from collections.abc import Iterator

import diffusers
import pytest
import transformers

from tests.families.pictures import small_pictures


@pytest.fixture(scope="package", autouse=True)
def small_and_quiet() -> Iterator[None]:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with small_pictures():
        yield
    diffusers.utils.logging.enable_progress_bar()
    transformers.utils.logging.enable_progress_bar()
