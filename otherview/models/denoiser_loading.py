"""Load a pipeline in two halves: what makes the arguments of its denoiser, and the denoiser.

    conditioning = load_conditioning(folder, model, device)  # text encoders and VAE
    ...                                                      # intercept its calls
    del conditioning
    transformer = load_denoiser(folder, model, device)

So a card needs memory for the larger half only. All functions follow `model.loading`. The halves of
FLUX.2 Klein, whose calls otherview makes itself, are `load_text_encoder` and `load_image_side`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from otherview.models.adapters import add_adapters, check_adapter, first_keys, read_adapter
from otherview.models.interception import without_weights
from otherview.models.library_messages import quieter
from otherview.models.named_sites import on_meta
from otherview.models.offloading import pin_device, place_in_turn, placed
from otherview.models.own_files import TRANSFORMER, own_files
from otherview.models.pipeline_folder import (
    SKIPPED,
    denoiser_of,
    denoisers_of,
    part_variant,
    parts_of,
    pipeline_class_name,
    read_index,
    read_json,
    variant_of,
)
from otherview.models.processors import torchvision_is_optional
from otherview.models.quantising import cast_layerwise, quantisation_config
from otherview.models.text_attention import NAME
from otherview.study import Model
from otherview.study.errors import StudyError

TEXT_LAYERS = (9, 18, 27)
"""Hidden states of the text encoder that FLUX.2 Klein is conditioned on."""


def load_denoiser(folder: Path, model: Model, device: str) -> Any:
    """Return the transformer (or U-Net) that is probed, alone, as `model` asks.

    With offload its weights stay in host memory and it runs on `device` all the same. Raises
    StudyError for weights that do not fit it.
    """
    denoiser = placed(read_denoiser(folder, model), device, model.loading.offload)
    use_torch_attention(denoiser)
    return denoiser


def use_torch_attention(denoiser: Any) -> None:
    """Have a transformer use torch's own attention, whatever its caller or environment chose.

    It takes masks, has a backward pass and can be traced; not all of the others do.
    """
    with quieter():  # diffusers warns that its interface is experimental
        denoiser.set_attention_backend("native")


def load_conditioning(folder: Path, model: Model, device: str) -> Any:
    """Return the pipeline with denoisers that have no weights in place of its own."""
    stubs = {
        part.name: without_weights(
            getattr(diffusers, part.class_name),
            denoiser_config(folder, part.name),
            getattr(torch, model.dtype),
            device,
        )
        for part in denoisers_of(folder)
    }
    pipeline, offload = assembled(folder, model, stubs), model.loading.offload
    modules = [
        module
        for name, module in pipeline.components.items()
        if isinstance(module, nn.Module) and name not in stubs
    ]
    if offload == "model":
        place_in_turn(modules, device)
    else:
        for module in modules:
            placed(module, device, offload)
    return pin_device(pipeline, device)


def load_whole(folder: Path, model: Model, device: str) -> Any:
    """Return the whole pipeline, to draw with; on a GPU one part at a time is on the device."""
    offload, denoiser = model.loading.offload, denoiser_of(folder).name
    pipeline = assembled(folder, model, {denoiser: read_denoiser(folder, model)})
    shared = device.startswith(("cpu", "mps"))  # memory of host and device is the same
    if offload in ("none", "model") and not shared:
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    for module in pipeline.components.values():
        if isinstance(module, nn.Module):
            placed(module, device, offload)
    return pin_device(pipeline, device)


def load_image_side(folder: Path, model: Model, device: str) -> Any:
    """Return a FLUX.2 Klein without its text side: transformer, VAE and scheduler."""
    transformer = load_denoiser(folder, model, device)
    parts = {"transformer": transformer, "text_encoder": None, "tokenizer": None}
    pipeline = assembled(folder, model, parts)
    pipeline.vae.to(device)
    return pin_device(pipeline, device)


def load_text_encoder(folder: Path, model: Model, device: str) -> Any:
    """Return Klein's text encoder up to the last layer that is read, without vocabulary head."""
    dtype, loading = getattr(torch, model.dtype), model.loading
    quantised = quantisation_config(loading.quantisation.text_encoder, "transformers", dtype)
    config = AutoConfig.from_pretrained(folder / "text_encoder", local_files_only=True)
    config.num_hidden_layers = max(TEXT_LAYERS)
    config.layer_types = config.layer_types[: max(TEXT_LAYERS)]
    with quieter():  # it reports the omitted layers
        encoder = AutoModel.from_pretrained(
            folder / "text_encoder",
            config=config,
            dtype=dtype,
            attn_implementation=NAME,
            variant=part_variant(folder, "text_encoder"),
            local_files_only=True,
            use_safetensors=True,
            **({} if quantised is None else {"quantization_config": quantised}),
        )
    encoder.norm = nn.Identity()  # the pipeline reads the hidden state before the last norm
    if loading.quantisation.text_encoder == "fp8_layerwise":
        cast_layerwise(encoder, dtype)
    return placed(encoder.eval(), device, loading.offload)


def assembled(folder: Path, model: Model, parts: Mapping[str, nn.Module | None]) -> Any:
    """Return the pipeline in host memory, with `parts` in place of its own."""
    dtype, method = getattr(torch, model.dtype), model.loading.quantisation.text_encoder
    encoders = [
        name for name in parts_of(folder) if name.startswith("text_encoder") and name not in parts
    ]
    quantised = quantisation_config(method, "transformers", dtype)
    options: dict[str, Any] = dict.fromkeys(name for name in SKIPPED if name in read_index(folder))
    if quantised is not None and encoders:
        options["quantization_config"] = diffusers.PipelineQuantizationConfig(
            quant_mapping=dict.fromkeys(encoders, quantised)
        )
    with quieter(), torchvision_is_optional():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            variant=variant_of(folder),
            **parts,
            **options,
        )
    pipeline.set_progress_bar_config(disable=True)
    for name, module in pipeline.components.items():
        if isinstance(module, nn.Module):
            module.eval().requires_grad_(requires_grad=False)
            if name in encoders and method == "fp8_layerwise":
                cast_layerwise(module, dtype)
    return pipeline


def read_denoiser(folder: Path, model: Model) -> Any:
    """Return the denoiser in host memory, quantised and with its adapters."""
    files, loading, dtype = own_files(model), model.loading, getattr(torch, model.dtype)
    denoiser = read_weights(folder, model, files.pop(TRANSFORMER, None)).eval()
    adapters = {file: lora.weight for file, lora in zip(files.values(), loading.loras, strict=True)}
    if adapters:
        add_adapters(denoiser, adapters, pipeline_class(folder), denoiser_of(folder).name)
    if loading.quantisation.transformer == "fp8_layerwise":
        cast_layerwise(denoiser, dtype)
    return denoiser.requires_grad_(requires_grad=False)


def read_weights(folder: Path, model: Model, own: Path | None) -> Any:
    """Return the denoiser of the pipeline, or one from a file or folder of its own."""
    part, dtype = denoiser_of(folder), getattr(torch, model.dtype)
    kind = getattr(diffusers, part.class_name)
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    if model.loading.is_gguf:
        options["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    else:
        method = model.loading.quantisation.transformer
        quantised = quantisation_config(method, "diffusers", dtype)
        options |= {} if quantised is None else {"quantization_config": quantised}
    with quieter():
        if own is not None and own.is_file():
            return from_file(kind, own, folder / part.name, options)
        source = folder / part.name if own is None else own_folder(own, part.class_name)
        denoiser, info = kind.from_pretrained(
            source,
            use_safetensors=True,
            variant=part_variant(source.parent, source.name),
            output_loading_info=True,
            **options,
        )
    check_keys(source, info["missing_keys"], info["unexpected_keys"])
    return denoiser


def own_folder(own: Path, class_name: str) -> Path:
    """Return the folder of a transformer: `own`, or the transformer of a pipeline in it.

    Raises StudyError for one of another class.
    """
    source = own if (own / "config.json").is_file() else own / denoiser_of(own).name
    found = read_json(source / "config.json").get("_class_name")
    if found != class_name:
        raise StudyError(
            f"{TRANSFORMER}={own} holds a {found}, but the pipeline has a {class_name}", TRANSFORMER
        )
    return source


def from_file(kind: Any, file: Path, config: Path, options: dict[str, Any]) -> Any:
    """Return a transformer from one file, built by the config of the pipeline's own.

    diffusers would guess the config from the weights, and takes every FLUX.2 for dev. Raises
    StudyError for a class that has no such files, and for a file that lacks weights.
    """
    try:
        denoiser = kind.from_single_file(str(file), config=str(config), **options)
    except NotImplementedError as error:  # a layer without weights is still on the meta device
        raise StudyError(f"{file} lacks weights of a {kind.__name__}", TRANSFORMER) from error
    except (ValueError, KeyError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(
            f"{TRANSFORMER}={file} cannot be loaded as a {kind.__name__} ({reason}): give a folder "
            "that diffusers has saved",
            TRANSFORMER,
        ) from error
    left = [name for name, value in denoiser.state_dict().items() if value.is_meta]
    check_keys(file, left, [])
    return denoiser


def check_keys(source: Path, missing: list[str], unexpected: list[str]) -> None:
    """Raise StudyError for weights that are missing, or that no layer takes."""
    left, over = "has no weights for", "has weights for no layer:"
    for keys, reason in ((missing, left), (unexpected, over)):
        if keys:
            raise StudyError(f"{source} {reason} {first_keys(sorted(keys))}", TRANSFORMER)


def pipeline_class(folder: Path) -> type[Any]:
    """Return the class of the pipeline in `folder`, which `check_classes` has found."""
    with quieter():  # transformers warns of processors without torchvision
        found: type[Any] = getattr(diffusers, pipeline_class_name(folder))
    return found


def denoiser_config(folder: Path, name: str) -> dict[str, Any]:
    """Return the config of a part that denoises, without how its weights are quantised."""
    config = read_json(folder / name / "config.json")
    config.pop("quantization_config", None)
    return config


def check_adapters(folder: Path, model: Model) -> None:
    """Raise StudyError for adapters that do not fit the denoiser; needs no weights."""
    files, part = own_files(model), denoiser_of(folder)
    files.pop(TRANSFORMER, None)
    if not files:
        return
    empty = on_meta(denoiser_config(folder, part.name))
    if not hasattr(empty, "load_lora_adapter"):
        raise StudyError(
            f"diffusers has no adapters for a {type(empty).__name__}: merge them into its weights, "
            "and name these in model.loading.transformer",
            "model.loading.loras",
        )
    for file in files.values():
        state, _ = read_adapter(file, pipeline_class(folder), part.name)
        check_adapter(file, state, empty)
