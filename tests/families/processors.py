"""Processors that give a text encoder both words and pictures."""

from __future__ import annotations

from typing import Any

import transformers

from otherview.models.processors import without_video


def clip(size: int) -> Any:
    sides = {"height": size, "width": size}
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=sides)


def qwen_vl(tokenizer: Any) -> Any:
    """Return Qwen's processor as it comes back from a folder, without its part for videos."""
    with_torchvision = transformers.utils.is_torchvision_available()
    kind = "Qwen2VLImageProcessor" if with_torchvision else "Qwen2VLImageProcessorPil"
    return without_video(transformers.Qwen2VLProcessor)(
        image_processor=getattr(transformers, kind)(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
