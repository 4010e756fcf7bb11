"""Processors of text and pictures, with torchvision and without.

transformers makes Qwen's processors only with their part for videos, which needs torchvision, and
imports Mistral's only with torchvision. No study needs either. A folder that was saved without
torchvision has no part for videos, so it is not loaded where torchvision is installed either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

WITH_VIDEO = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")
TEMPLATE_ALONE = ("PixtralProcessor",)
"""Processors of which the pipelines (here: FLUX.2 dev) use the tokenizer and its chat template."""


@contextmanager
def torchvision_is_optional() -> Iterator[None]:
    """Have `from_pretrained` load the processors of pipelines without torchvision, too.

    Meanwhile transformers has Qwen's processors without their part for videos, and, without
    torchvision, the tokenizer in place of Mistral's.
    """
    import transformers
    from transformers.utils import is_torchvision_available

    instead = {name: without_video(getattr(transformers, name)) for name in WITH_VIDEO}
    if not is_torchvision_available():
        instead |= dict.fromkeys(TEMPLATE_ALONE, transformers.PreTrainedTokenizerFast)
    with patch.multiple(transformers, **instead):
        yield


def without_video(processor: Any) -> Any:
    """Return the class `processor` of transformers with no video processor among its parts.

    What it makes is saved, and named in a pipeline's `model_index.json`, as a `processor` is.
    """
    parts = [part for part in processor.get_attributes() if part != "video_processor"]
    members = {"get_attributes": classmethod(lambda _: parts), "__module__": processor.__module__}
    return type(processor.__name__, (processor,), members)
