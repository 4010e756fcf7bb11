"""FLUX.1 and its kin: a stream for text and one for the image, then blocks that join them."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import schedulers, text_encoders, tokenizers, vaes
from tests.families.family import HEIGHT, WIDTH, Family, Parts
from tests.families.pictures import mask

LATENTS = 4
PACKED = 4 * LATENTS
"""Channels of a token: a latent's, of two by two."""


def flux1_transformer(channels: int = PACKED, *, guidance: bool = False) -> Any:
    return diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=PACKED,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=text_encoders.WIDTH,
        pooled_projection_dim=text_encoders.WIDTH,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 4, 8),
    )


def flux1(channels: int = PACKED, *, guidance: bool = True, images: bool = False) -> Parts:
    """Return the parts of FLUX.1; `images` adds the empty seats that IP adapters may take."""
    tokenizer, tokenizer_2 = tokenizers.clip(), tokenizers.t5()
    return {
        "scheduler": schedulers.flow(shift=3.0 if guidance else 1.0, use_dynamic_shifting=guidance),
        "text_encoder": text_encoders.clip(tokenizer, projection=False),
        "text_encoder_2": text_encoders.t5(tokenizer_2),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "transformer": flux1_transformer(channels, guidance=guidance),
        "vae": vaes.kl(LATENTS, scaling_factor=0.3611, shift_factor=0.1159),
    } | ({"image_encoder": None, "feature_extractor": None} if images else {})


FAMILIES = {
    "flux1": Family(
        "FluxPipeline",
        lambda: flux1(images=True),
        {"max_sequence_length": 48},
        {"guidance_scale": 1.0, "true_cfg_scale": 1.0},
        traps="guidance_scale is an embedding, not a second call; no mask reaches the encoders",
    ),
    "flux1_schnell": Family(
        "FluxPipeline",
        lambda: flux1(guidance=False, images=True),
        {"max_sequence_length": 48},
        {"guidance_scale": 0.0, "true_cfg_scale": 1.0},
        traps="no guidance embedding; max_sequence_length is at most 256 in the published model",
    ),
    "flux1_kontext": Family(
        "FluxKontextPipeline",
        lambda: flux1(images=True),
        {"max_sequence_length": 48, "max_area": HEIGHT * WIDTH, "_auto_resize": False},
        {"guidance_scale": 1.0, "true_cfg_scale": 1.0},
        picture="image",
        traps=(
            "_auto_resize makes every picture one megapixel; max_area overrides height and width; "
            "without a picture it runs as FLUX.1"
        ),
    ),
    "flux1_fill": Family(
        "FluxFillPipeline",
        lambda: flux1(PACKED + PACKED + 4 * 64),
        {"max_sequence_length": 48, "mask_image": mask()},
        picture="image",
        needs_picture=True,
        traps="wants mask_image; picture and mask are channels of the target's tokens",
    ),
    "flux1_control": Family(
        "FluxControlPipeline",
        lambda: flux1(2 * PACKED),
        {"max_sequence_length": 48},
        picture="control_image",
        needs_picture=True,
        traps="the picture is called control_image, and is channels of the target's tokens",
    ),
}
