"""Floating-point operations and bytes of a study, from the architecture alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otherview.models.sites import KNOWN, Site, heads, hook_sites
from otherview.study import TOKEN_GROUPS, Model, Scene, Study
from otherview.study.attribution import MAX_SOURCES, TOWARD_POINTS


@dataclass(frozen=True)
class ImageTokens:
    """Tokens of an image in a pass."""

    target: int
    reference: int


def image_tokens(model: Model, references: Sequence[tuple[int, int]]) -> ImageTokens:
    """Return the tokens of the target and of its references of `(height, width)` pixels.

    A larger reference is reduced to one megapixel.
    """
    pixels = model.token_pixels
    target = (model.size[0] // pixels) * (model.size[1] // pixels)
    tokens = 0
    for height, width in references:
        scale = min(1.0, (1024 * 1024 / (height * width)) ** 0.5)
        tokens += (int(height * scale) // pixels) * (int(width * scale) // pixels)
    return ImageTokens(target, tokens)


def forward_flops(config: Mapping[str, Any], text_length: int, image: ImageTokens) -> float:
    """Return the floating-point operations of one transformer call for one prompt.

    Matrix products and attention of every block, and the projections into and out of them; a
    multiply-add counts 2. Norms, activations and modulation are omitted (below 1%). FLUX.2 needs
    no torch; other transformers are built on the meta device.
    """
    if config.get("_class_name", KNOWN) != KNOWN:
        from otherview.models.transformer_cost import transformer_flops

        return transformer_flops(config, text_length, image.target + image.reference)
    dim = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    mlp_ratio = float(config["mlp_ratio"])
    blocks = int(config["num_layers"]) + int(config["num_single_layers"])
    image_length = image.target + image.reference
    tokens = text_length + image_length
    # q, k, v and output; the gated MLP has two matrices in and one out.
    per_token = 2 * dim * dim * (4 + 3 * mlp_ratio)
    attention = 4 * tokens * tokens * dim
    channels = int(config["in_channels"])
    embedding = 2 * dim * (
        text_length * int(config["joint_attention_dim"]) + 2 * image_length * channels
    )  # fmt: skip
    return blocks * (tokens * per_token + attention) + embedding


def responses_bytes(sites: Sequence[Site], passes: int) -> int:
    """Return the bytes of the responses of measured passes, as `Responses.save` writes them."""
    all_slices = sum(site.slices for site in sites)
    per_pass = all_slices * len(TOKEN_GROUPS) + len(heads(sites)) * (len(TOKEN_GROUPS) + 1)
    return 4 * passes * per_pass


def vectors_bytes(sites: Sequence[Site], passes: int) -> int:
    """Return the bytes of the mean vectors of measured passes, as `vectors.nc` holds them."""
    widest = max(site.head_dim for site in sites)
    return 4 * passes * len(heads(sites)) * len(TOKEN_GROUPS) * widest


def study_flops(
    study: Study, config: Mapping[str, Any], references: Sequence[Sequence[tuple[int, int]]]
) -> float:
    """Return the floating-point operations of the transformer calls of a study.

    `references` are the `(height, width)` of the pictures of every prompt. The calls that draw
    scenes count too. `config` is the transformer's.
    """
    model = study.model
    length = model.text_positions
    flops = 0.0
    asks = study.attribution.kind != "none"  # sites of some transformers take seconds to find
    more = attribution_passes(study, hook_sites(config)).expected / len(references) if asks else 0
    for images, prompts in Counter(image_tokens(model, each) for each in references).items():
        passes = prompts * (study.sampling.passes_per_prompt + more)
        flops += passes * forward_flops(config, length, images)
    drawn = [scene for scene in study.scenery if scene.prompt is not None and study.needs_scene]
    if any(references):
        target = ImageTokens(image_tokens(model, []).target, 0)
        calls = sum(drawing_calls(scene) for scene in drawn)
        flops += calls * forward_flops(config, length, target)
    return flops


@dataclass(frozen=True)
class AttributionPasses:
    """Transformer passes of an attribution; a backward pass counts two."""

    gradients: int
    """One per prompt for mean outputs, one with gradients, and a backward pass per cotangent."""
    zeroed: int
    """One per checked prompt and site, and one without an edit."""
    zeroed_alone: int
    """One per head and prompt, if first order held at no site."""
    toward: int
    """Two with gradients per prompt and site, and one without."""

    edges: int = 0
    """At most: one per prompt of the items of `toward`, and eleven per head that is traced."""

    @property
    def expected(self) -> int:
        """All but those with heads zeroed alone, and edges, which depend on what is found."""
        return self.gradients + self.zeroed + self.toward


def attribution_passes(study: Study, sites: Sequence[Site]) -> AttributionPasses:
    """Return the passes of an attribution of the study's own contrast; all 0 without one."""
    asked, items = study.attribution, len(study.creatures.items)
    if asked.kind == "none":
        return AttributionPasses(0, 0, 0, 0)
    wordings = len(study.templates.test) + len(study.templates.control)
    prompts = items * wordings * len(study.scenery)
    checked = 2 * min(asked.check_items, items)
    alone = 2 * min(asked.check_items, asked.check_heads_items, items)
    pairs = 2 * min(asked.toward_items, items)
    return AttributionPasses(
        prompts * (2 + 2 * asked.cotangents),
        checked * (1 + len(sites)),
        alone * (1 + len(heads(sites))) if alone else 0,
        pairs * (1 + 3 * len(TOWARD_POINTS) * len(sites)),
        pairs * (1 + MAX_SOURCES * (1 + 5 * len(TOWARD_POINTS))) if asked.edges else 0,
    )


def drawing_calls(scene: Scene) -> int:
    """Return the transformer calls that draw a scene from its prompt."""
    return scene.steps * (2 if scene.guidance_scale > 1 else 1)
