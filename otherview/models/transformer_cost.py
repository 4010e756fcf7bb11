"""Floating-point operations of any transformer, from its modules on the meta device.

Every matrix is counted once per token that passes it, and every attention by its queries and keys;
a multiply-add counts 2. Which tokens pass a module follows from the sites of its block and from its
name. torch counts the same to some percent (tests/models/test_transformer_cost.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from otherview.models.named_sites import named_sites, on_meta
from otherview.models.sites import BlockKind, Site

OF_TEXT = re.compile(
    r"add_[qkv]_proj|to_add_out|context|caption|txt|cap_embed|text_embed|to_[qkv]_t$|to_out_t"
    r"|norm\d?_t|ff_t\b"
)
"""Modules that text tokens pass, outside of blocks or in blocks with two streams."""
ONCE = re.compile(
    r"time|temb|guidance|pooled|t_embedder|ada|modulation|norm|img_mod|txt_mod|vector|approximator"
    r"|add_embedding"
)
"""Modules that a call passes once, whatever its tokens: modulation and embeddings of the time."""
EXPERT = re.compile(r"\.experts\.\d+")
LEVEL = re.compile(r"(?:(down|up)_blocks\.(\d+)|mid_block|conv_(?:in|out|norm_out))\b")


def transformer_flops(config: Mapping[str, Any], text: int, image: int) -> float:
    """Return the operations of one call for one prompt of `text` and `image` tokens.

    `config` has the `_class_name`. Image tokens of a U-Net are those of its outermost attention.
    """
    transformer = on_meta(config)
    sites = named_sites(transformer)
    blocks = {block_of(site.module): site.block_kind for site in sites}
    cross = {attention_of(site.module) for site in sites if site.block_kind == "cross"}
    tokens = {"text": text, "image": image, "all": text + image}
    levels = len(config.get("down_block_types", ()))
    flops = 0.0
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            stream = stream_of(name, blocks, cross)
            share = resolution(name, levels) if stream == "image" else 1.0
            if EXPERT.search(name):  # routed experts: only some of the tokens pass
                share *= config["num_activated_experts"] / config["num_routed_experts"]
            passing = tokens.get(stream, 1) * share
            flops += 2 * module.weight.numel() * passing
    own = [site for site in sites if site.stream != "text" or site.block_kind == "text"]
    modules = dict(transformer.named_modules())
    for name, site in {attention_of(site.module): site for site in own}.items():
        flops += attention_flops(site, modules.get(name), tokens) * resolution(name, levels) ** (
            1 if site.block_kind == "cross" else 2
        )
    return flops


def block_of(module: str) -> str:
    """Return the path of the block of an out-projection: up to its last number but that of a list.

    transformer_blocks.3 of transformer_blocks.3.attn.to_out.0
    """
    parts = module.split(".")
    last = max(place for place, part in enumerate(parts[:-1]) if part.isdigit())
    return ".".join(parts[: last + 1])


def attention_of(module: str) -> str:
    """Return the path of the attention of an out-projection, or of its block."""
    return re.sub(r"\.(?:to_out|to_add_out|out_layer|o_proj|proj_out|out_proj)\b.*", "", module)


def stream_of(name: str, blocks: Mapping[str, BlockKind], cross: Collection[str]) -> str:
    """Return which tokens pass a module: text, image or all; anything else counts once."""
    if ONCE.search(name):
        return "once"
    kind = next((kind for block, kind in blocks.items() if name.startswith(f"{block}.")), None)
    if kind in ("text", "single"):
        return "text" if kind == "text" else "all"
    attention, _, own = name.rpartition(".")
    of_keys = attention in cross and own in ("to_k", "to_v", "to_key", "to_value")
    return "text" if of_keys or OF_TEXT.search(name) else "image"


def resolution(name: str, levels: int) -> float:
    """Return the positions of a module of a U-Net, relative to its outermost attention."""
    level = LEVEL.match(name)
    if not levels or level is None:
        return 1.0
    if level[1] is None:
        depth = levels - 1 if name.startswith("mid_block") else 0
    else:
        depth = int(level[2]) if level[1] == "down" else levels - 1 - int(level[2])
    return float(4 ** (1 - depth))


def attention_flops(site: Site, attention: Any, tokens: Mapping[str, int]) -> float:
    """Return the operations of an attention: queries by keys, and the values' sum."""
    text, image = tokens["text"], tokens["image"]
    width = site.heads * site.head_dim
    if type(getattr(attention, "processor", None)).__name__.startswith("SanaLinear"):
        return 4.0 * image * site.head_dim * width
    queries = {"text": text, "joint": text + image, "single": text + image}
    keys = queries | {"cross": text, "self": image}
    return 4.0 * queries.get(site.block_kind, image) * keys[site.block_kind] * width
