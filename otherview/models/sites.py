"""Where a transformer's heads can be read: the attention out-projections and their channels.

Everything here follows from the config of the transformer, so a plan needs neither torch nor
weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from otherview.study import TOKEN_GROUPS

KNOWN = "Flux2Transformer2DModel"
"""The class of the transformers whose sites follow from the config alone."""
PUBLISHED_SLICE = 16
"""Channels of a head as the published study counts them."""

BlockKind = Literal["joint", "single", "self", "cross", "text"]
"""By what an attention mixes: text and image in two streams, or in one; image tokens alone; image
tokens that read the text; text alone."""
Stream = Literal["image", "text", "all"]
ChannelKind = Literal["attention", "mlp"]


@dataclass(frozen=True)
class Site:
    """The input of one attention out-projection.

    Its channels are `heads * head_dim` attention channels, then `mlp_channels` MLP channels;
    its tokens are those of `token_groups`, in this order.
    """

    module: str
    """Path of the Linear inside the transformer."""
    block_kind: BlockKind
    block: int
    stream: Stream
    """Tokens that it sees: those of the image, of the text, or all in one sequence."""
    heads: int
    head_dim: int
    mlp_channels: int
    token_groups: tuple[str, ...]

    @property
    def address(self) -> str:
        """joint.2.image, joint.2.text, single.11 or cross.4."""
        stream = f".{self.stream}" if self.block_kind == "joint" else ""
        return f"{self.block_kind}.{self.block}{stream}"

    @property
    def channels(self) -> int:
        """Input channels of the out-projection."""
        return self.heads * self.head_dim + self.mlp_channels

    @property
    def slice_width(self) -> int:
        """Channels of a slice: 16, or the largest divisor that it shares with the head dim."""
        return math.gcd(PUBLISHED_SLICE, self.head_dim)

    @property
    def slices(self) -> int:
        """Slices of the site."""
        return self.channels // self.slice_width


@dataclass(frozen=True)
class Unit:
    """A range of channels of a site, for which one response is measured.

    `first_slice` and `last_slice` (exclusive) count over the slices of all sites, in their order.
    """

    site: Site
    channel_kind: ChannelKind
    head: int | None
    """Head that the channels belong to; None for MLP channels."""
    start: int
    stop: int
    """Channels [start, stop) of the site."""
    first_slice: int
    last_slice: int
    is_head: bool
    step: int = 0
    """Place among the measured steps (noise levels) at which the response is read."""

    @property
    def address(self) -> str:
        """joint.2.image.17 for a head, joint.2.image.272:288 for a slice."""
        if self.is_head:
            return f"{self.site.address}.{self.head}"
        return f"{self.site.address}.{self.start}:{self.stop}"


def hook_sites(config: Mapping[str, Any]) -> list[Site]:
    """Return the hook sites of a transformer, block by block.

    `config` is that of the transformer (`transformer.config`, or its config.json). FLUX.2 needs no
    torch; other transformers are built on the meta device and their sites found by name. Raises
    StudyError for a class that diffusers does not have, and as `named_sites` does.
    """
    if config.get("_class_name") != KNOWN:
        from otherview.models.named_sites import named_sites, on_meta

        return named_sites(on_meta(config))
    heads, head_dim = int(config["num_attention_heads"]), int(config["attention_head_dim"])
    mlp_channels = int(heads * head_dim * float(config["mlp_ratio"]))
    sites = []
    for block in range(int(config["num_layers"])):
        path = f"transformer_blocks.{block}.attn"
        image, text = ("target", "reference"), ("text", "pad")
        sites += [
            Site(f"{path}.to_out.0", "joint", block, "image", heads, head_dim, 0, image),
            Site(f"{path}.to_add_out", "joint", block, "text", heads, head_dim, 0, text),
        ]
    for block in range(int(config["num_single_layers"])):
        path = f"single_transformer_blocks.{block}.attn.to_out"
        sites.append(
            Site(path, "single", block, "all", heads, head_dim, mlp_channels, TOKEN_GROUPS)
        )
    return sites


def sites_of(transformer: Any) -> list[Site]:
    """Return the hook sites of a transformer: of FLUX.2 from its config, of others from names."""
    built = getattr(transformer, "_orig_mod", transformer)  # what torch.compile wraps
    if type(built).__name__ == KNOWN:
        return hook_sites({"_class_name": KNOWN, **built.config})
    from otherview.models.named_sites import named_sites

    return named_sites(built)


def is_linear(module: Any) -> bool:
    """Return whether a module is a Linear, quantised and adapted ones included."""
    return hasattr(module, "in_features") and hasattr(module, "out_features")


def heads(sites: Sequence[Site]) -> list[Unit]:
    """Return the true attention heads of all streams."""
    return [
        unit_at(site, first, head * site.head_dim, (head + 1) * site.head_dim, is_head=True)
        for site, first in zip(sites, first_slices(sites), strict=True)
        for head in range(site.heads)
    ]


def slices(sites: Sequence[Site], *, text_stream: bool = True) -> list[Unit]:
    """Return every slice of every site, MLP channels included.

    Without `text_stream`, as in the published study, leave out the text streams of joint blocks.
    """
    return [
        unit_at(site, first, start, start + site.slice_width, is_head=False)
        for site, first in zip(sites, first_slices(sites), strict=True)
        if text_stream or site.stream != "text"
        for start in range(0, site.channels, site.slice_width)
    ]


def unit_at(site: Site, first: int, start: int, stop: int, *, is_head: bool) -> Unit:
    """Return the unit of the channels [start, stop) of `site`, whose first slice is `first`."""
    is_attention = start < site.heads * site.head_dim
    return Unit(
        site,
        "attention" if is_attention else "mlp",
        start // site.head_dim if is_attention else None,
        start,
        stop,
        first + start // site.slice_width,
        first + stop // site.slice_width,
        is_head,
    )


def at_steps(units: Sequence[Unit], steps: int) -> list[Unit]:
    """Return `units` at each of a number of steps: all at the first, then all at the next."""
    return [replace(unit, step=step) for step in range(steps) for unit in units]


def units_of(sites: Sequence[Site], unit_set: str) -> list[Unit]:
    """Return the units of a `capture.units` entry: `heads`, or the published study's `slices16`."""
    return heads(sites) if unit_set == "heads" else slices(sites, text_stream=False)


def first_slices(sites: Sequence[Site]) -> list[int]:
    """Return the place of every site's first slice among the slices of all sites."""
    return list(accumulate((site.slices for site in sites), initial=0))[:-1]
