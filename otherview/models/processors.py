"""Processors of text and pictures, without what they hold for videos.

In transformers a processor for videos is part of Qwen's, and that one needs torchvision. A study
has no videos: without torchvision such a processor is loaded by itself and handed to
`DiffusionPipeline.from_pretrained`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def without_video(processor: Any) -> Any:
    """Return the class `processor` of transformers with no video processor among its parts.

    What it makes is saved, and named in a pipeline's `model_index.json`, as a `processor` is.
    """
    parts = [part for part in processor.get_attributes() if part != "video_processor"]
    members = {"get_attributes": classmethod(lambda _: parts), "__module__": processor.__module__}
    return type(processor.__name__, (processor,), members)


def processors_without_video(folder: Path) -> dict[str, Any]:
    """Return by component the processors of the pipeline in `folder` that only torchvision loads.

    They are loaded without their part for videos. With torchvision installed there are none.
    """
    import transformers
    from transformers.utils import is_torchvision_available

    found: dict[str, Any] = {}
    if is_torchvision_available():
        return found
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    for component, entry in index.items():
        if not (isinstance(entry, list) and entry[0] == "transformers" and entry[1]):
            continue
        kind: Any = getattr(transformers, entry[1], None)
        is_processor = isinstance(kind, type) and issubclass(kind, transformers.ProcessorMixin)
        if is_processor and "video_processor" in kind.get_attributes():
            found[component] = without_video(kind).from_pretrained(folder / component)
    return found
