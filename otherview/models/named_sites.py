"""The attention out-projections of any transformer of diffusers, from the names of its modules.

Works on the meta device, so that a plan needs no weights. What a name says is compared with what
flows before a study runs (otherview.passes.traced_sites).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from otherview.models.sites import BlockKind, Site, Stream, is_linear
from otherview.study.errors import StudyError

PROJECTIONS = ("to_q", "to_qkv", "to_qkv_mlp_proj", "to_query", "qkv", "img_qkv_proj", "q_proj")
"""Names of the projection that makes an attention's queries."""
OUTPUTS = ("to_out.0", "to_out", "out_layer", "o_proj", "out_proj", "proj", "to_out_mlp_proj")
"""Names of the out-projection of the first stream, inside of an attention."""
TEXT_OUTPUTS = ("to_add_out", "to_out_t", "txt_out_proj")
"""Names of the out-projection of the text stream of a joint attention."""
OUTSIDE = "proj_out"
"""The out-projection of a single block of the FLUX.1 kind, next to its attention."""
UNET_ORDER = ("down_blocks", "mid_block", "up_blocks")
SEES: dict[BlockKind, dict[Stream, tuple[str, ...]]] = {
    "joint": {"image": ("target", "reference"), "text": ("text", "pad")},
    "single": {"all": ("text", "pad", "target", "reference")},
    "self": {"image": ("target", "reference")},
    "cross": {"image": ("target", "reference")},
    "text": {"text": ("text", "pad")},
}
"""Token groups that a site may see, by kind of block and stream."""
TEXT_BLOCKS = re.compile(r"context_refiner|token_refiner|text_transformer|text_fusion|text_blocks")
IMAGE_BLOCKS = re.compile(r"noise_refiner|visual_transformer|ref_image_refiner|x_embedder")


def named_sites(transformer: nn.Module) -> list[Site]:
    """Return the sites of a transformer, in the order of its modules.

    Raises StudyError where it has none, and for an attention whose heads do not divide its width.
    """
    modules = dict(transformer.named_modules())
    attentions = {name: module for name, module in in_order(modules) if is_attention(module)}
    sites: list[Site] = []
    counts: Counter[BlockKind] = Counter()
    cross = {name for name, module in attentions.items() if is_cross(name, module, attentions)}
    joint = {name.rpartition(".")[0] for name, module in attentions.items() if is_joint(module)}
    for name, attention in attentions.items():
        image, text = outputs(name, modules)
        if image is None:
            continue
        kind = block_kind(name, attention, cross, joint)
        for stream, path in zip(SEES[kind], (image, text), strict=False):
            if path is None:
                continue  # the last joint block of SD3 writes no text
            sites.append(site_at(path, kind, counts[kind], stream, attention, modules))
        counts[kind] += 1
    if not sites:
        raise StudyError(
            f"no attention out-projection of {type(transformer).__name__} is known by its name"
        )
    return sites


def on_meta(config: Mapping[str, Any]) -> nn.Module:
    """Return the transformer of a config (with its `_class_name`) without weights.

    Raises StudyError for a class that diffusers does not have, and for a config that it refuses.
    """
    import diffusers

    name = str(config.get("_class_name"))
    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StudyError(
            f"model.architecture: diffusers {diffusers.__version__} has no transformer {name}",
            "model.architecture",
        )
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    try:
        with torch.device("meta"):
            return found(**settings)
    except (TypeError, ValueError) as error:
        raise StudyError(
            f"model.architecture: {name} refuses its config: {error}", "model.architecture"
        ) from error


def is_attention(module: nn.Module) -> bool:
    """Return whether a module has heads and makes queries."""
    return heads_of(module) is not None and any(hasattr(module, name) for name in PROJECTIONS)


def heads_of(module: nn.Module) -> int | None:
    for name in ("heads", "num_heads", "n_heads", "num_attention_heads"):
        value = vars(module).get(name)  # getattr warns at the root, which forwards to its config
        if isinstance(value, int):
            return value
    return None


def outputs(name: str, modules: Mapping[str, nn.Module]) -> tuple[str | None, str | None]:
    """Return the paths of the out-projections of an attention: of the first stream, of the text."""

    def named(endings: tuple[str, ...]) -> str | None:
        paths = (f"{name}.{ending}" for ending in endings)
        return next((path for path in paths if is_linear(modules.get(path))), None)

    first, text = named(OUTPUTS), named(TEXT_OUTPUTS)
    if first is None:
        sibling = f"{name.rpartition('.')[0]}.{OUTSIDE}".lstrip(".")
        first = sibling if is_linear(modules.get(sibling)) else None
    return first, text


def is_cross(name: str, attention: nn.Module, others: Mapping[str, nn.Module]) -> bool:
    """Return whether keys and values come from other tokens than the queries."""
    block, _, own = name.rpartition(".")
    if "cross" in own or (own == "attn2" and f"{block}.attn1" in others):
        return True
    if is_linear(getattr(attention, "txt_kv_proj", None)):
        return True  # PRX: queries of the image, keys of image and text
    query, key = getattr(attention, "to_q", None), getattr(attention, "to_k", None)
    widths_differ = (
        is_linear(query)
        and is_linear(key)
        and getattr(query, "in_features", 0) != getattr(key, "in_features", 0)
    )
    return widths_differ or bool(getattr(attention, "is_cross_attention", False))


def is_joint(attention: nn.Module) -> bool:
    """Return whether an attention has queries of its own for the text."""
    names = ("add_q_proj", "to_q_t", "to_added_qkv", "to_add_out", "txt_qkv_proj")
    return any(is_linear(getattr(attention, name, None)) for name in names)


def in_order(modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module]]:
    """Return modules as they run: a UNet lists its middle block last."""

    def place(item: tuple[str, nn.Module]) -> int:
        part = item[0].split(".")[0]
        return UNET_ORDER.index(part) if part in UNET_ORDER else -1

    return sorted(modules.items(), key=place)


def block_kind(name: str, attention: nn.Module, cross: set[str], joint: set[str]) -> BlockKind:
    if name in cross:
        return "cross"
    if is_joint(attention):
        return "joint"
    if TEXT_BLOCKS.search(name):
        return "text"
    if IMAGE_BLOCKS.search(name) or name.rpartition(".")[0] in joint:
        return "self"  # a second attention of an image stream, in a block that has a joint one
    return "self" if cross and "single" not in name else "single"


def site_at(
    path: str,
    kind: BlockKind,
    block: int,
    stream: Stream,
    attention: nn.Module,
    modules: Mapping[str, nn.Module],
) -> Site:
    linear: Any = modules[path]
    heads, channels = heads_of(attention), int(linear.in_features)
    assert heads is not None
    width = query_width(attention) or channels
    if width % heads or channels < width:
        raise StudyError(f"{path}: {heads} heads do not divide {width} of {channels} channels")
    return Site(
        path, kind, block, stream, heads, width // heads, channels - width, SEES[kind][stream]
    )


def query_width(attention: nn.Module) -> int | None:
    """Return the channels of all heads together, from the projection of the queries."""
    query = getattr(attention, "to_q", None) or getattr(attention, "to_query", None)
    if query is not None and is_linear(query):
        return int(query.out_features)
    head_dim = getattr(attention, "head_dim", None) or getattr(attention, "dim_head", None)
    heads = heads_of(attention)
    if isinstance(head_dim, int) and heads is not None:
        return head_dim * heads
    inner = getattr(attention, "inner_dim", None)
    return inner if isinstance(inner, int) else None
