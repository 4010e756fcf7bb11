"""FLUX.2: as FLUX.1 with text of three layers of a language model, and references as tokens."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import schedulers, text_encoders, tokenizers, vaes
from tests.families.family import Family, Parts

LATENTS = 4


def transformer(*, guidance: bool = False) -> Any:
    return diffusers.Flux2Transformer2DModel(
        in_channels=4 * LATENTS,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=3 * text_encoders.WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance,
    )


def around(transformer: Any, tokenizer: Any, text_encoder: Any) -> Parts:
    return {
        "scheduler": schedulers.flow(use_dynamic_shifting=True, shift=3.0),
        "vae": vaes.kl(LATENTS, kind="AutoencoderKLFlux2", quant_conv=True),
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "transformer": transformer,
    }


def klein() -> Parts:
    tokenizer = tokenizers.qwen()
    # the pipeline reads layers 9, 18 and 27
    text_encoder = text_encoders.qwen3(tokenizer, "Qwen3ForCausalLM", layers=28)
    return around(transformer(), tokenizer, text_encoder)


def dev() -> Parts:
    """Return the parts of FLUX.2 dev, with a tokenizer where it has a PixtralProcessor.

    transformers imports that one with torchvision only. The pipeline uses its chat template alone.
    """
    tokenizer = tokenizers.mistral()
    # the pipeline reads layers 10, 20 and 30
    text_encoder = text_encoders.mistral3(tokenizer, layers=31)
    return around(transformer(guidance=True), tokenizer, text_encoder)


FAMILIES = {
    "flux2_klein": Family(
        "Flux2KleinPipeline",
        lambda: klein() | {"is_distilled": False},
        {"max_sequence_length": 64},
        picture="image",
        traps="guidance is two calls; pictures above one megapixel are reduced",
    ),
    "flux2_klein_kv": Family(
        "Flux2KleinKVPipeline",
        lambda: klein() | {"is_distilled": True},
        {"max_sequence_length": 64},
        guidance_off={},
        picture="image",
        traps="no guidance at all; the reference is before the target, in the first step only",
    ),
    "flux2_dev": Family(
        "Flux2Pipeline",
        dev,
        picture="image",
        traps=(
            "PixtralProcessor needs torchvision; guidance_scale is an embedding; a system message "
            "is put before the prompt"
        ),
    ),
}
