"""Load the sides of any pipeline of diffusers: conditioning, transformer, or all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from otherview.models.interception import DENOISERS, without_weights
from otherview.models.pipeline_folder import pipeline_class_name, read_index
from otherview.models.processors import torchvision_is_optional
from otherview.models.weights import quieter
from otherview.study import Model
from otherview.study.errors import StudyError


def pipeline_class(folder: Path) -> type[Any]:
    """Return the class of the pipeline in a folder. Raises StudyError if diffusers has none."""
    import diffusers

    name = pipeline_class_name(folder)
    found = getattr(diffusers, name, None)
    if not isinstance(found, type):
        raise StudyError(f"diffusers {diffusers.__version__} has no pipeline {name}", "model.path")
    return found


def denoiser_classes(folder: Path) -> dict[str, type[Any]]:
    """Return the classes of the parts that denoise, by their names in the pipeline."""
    import diffusers

    return {
        name: getattr(diffusers, entry[1])
        for name, entry in read_index(folder).items()
        if name.startswith(DENOISERS) and isinstance(entry, list) and entry[1]
    }


def load_conditioning(folder: Path, model: Model, device: str) -> Any:
    """Return the pipeline with its transformer on the meta device, everything else on `device`."""
    dtype = getattr(torch, model.dtype)
    stubs = {}
    for name, part in denoiser_classes(folder).items():
        config = json.loads((folder / name / "config.json").read_text())
        stubs[name] = without_weights(part, config, dtype)
        stubs[name].placed = torch.device(device)
    pipeline = from_folder(folder, dtype, **stubs)
    for name, module in pipeline.components.items():
        if isinstance(module, nn.Module) and name not in stubs:
            module.to(device)
    return pipeline


def load_denoiser(folder: Path, model: Model, device: str) -> Any:
    """Return the transformer alone, on `device`."""
    name, part = next(iter(denoiser_classes(folder).items()))
    with quieter():
        loaded = part.from_pretrained(
            folder / name,
            dtype=getattr(torch, model.dtype),
            local_files_only=True,
            use_safetensors=True,
        )
    return loaded.to(device).eval().requires_grad_(False)


def load_whole(folder: Path, model: Model, device: str) -> Any:
    """Return the whole pipeline; on a GPU, one part at a time is on the device."""
    pipeline = from_folder(folder, getattr(torch, model.dtype))
    if device.startswith("cuda"):
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    return pipeline.to(device)


def from_folder(folder: Path, dtype: torch.dtype, **parts: Any) -> Any:
    """Return the pipeline in a folder, with `parts` in place of its own."""
    from diffusers import DiffusionPipeline

    with quieter(), torchvision_is_optional():
        pipeline = DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True, **parts
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
