"""Processors of text and pictures, without what they hold for videos.

transformers loads the processors of Qwen and Mistral only with torchvision: the first has a part
for videos, the module of the second imports it. No study needs either. Without torchvision the
processors are loaded here and handed to `DiffusionPipeline.from_pretrained`.
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


def processors_without_torchvision(folder: Path) -> dict[str, Any]:
    """Return by component the processors of the pipeline in `folder` that only torchvision loads.

    Qwen's come without their part for videos. Of Mistral's, of which FLUX.2 dev uses the chat
    template alone, it is the tokenizer. With torchvision installed there are none.
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
        if entry[1].endswith("Processor") and "torchvision" in getattr(kind, "_backends", ()):
            found[component] = transformers.AutoTokenizer.from_pretrained(folder / component)
        elif isinstance(kind, type) and issubclass(kind, transformers.ProcessorMixin):
            kind = without_video(kind)
            found[component] = kind.from_pretrained(folder / component)
    return found
