"""Video models, of which one frame is drawn."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import processors, schedulers, text_encoders, tokenizers, vaes
from tests.families.family import Family, Parts


def wan(channels: int = 4, **settings: Any) -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoders.t5(tokenizer, "UMT5"),
        "vae": vaes.wan(),
        "scheduler": schedulers.unipc_flow(3.0),
        "transformer": diffusers.WanTransformer3DModel(
            num_attention_heads=3,
            attention_head_dim=16,
            in_channels=channels,
            out_channels=4,
            text_dim=text_encoders.WIDTH,
            freq_dim=32,
            ffn_dim=48,
            num_layers=3,
            rope_max_seq_len=128,
            **settings,
        ),
        "transformer_2": None,
    }


def wan_i2v() -> Parts:
    """Return the parts of Wan 2.1: its text attention also reads the picture, by other keys."""
    image = {"image_dim": text_encoders.WIDTH, "added_kv_proj_dim": 48}
    return wan(3 * 4, **image) | {
        "image_encoder": text_encoders.clip_vision(),
        "image_processor": processors.clip(28),
    }


def hunyuan_video() -> Parts:
    tokenizer, clip = tokenizers.llama(), tokenizers.clip()
    return {
        "text_encoder": text_encoders.llama(tokenizer, layers=3),
        "tokenizer": tokenizer,
        "transformer": diffusers.HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=3,
            attention_head_dim=16,
            num_layers=2,
            num_single_layers=3,
            num_refiner_layers=2,
            text_embed_dim=text_encoders.WIDTH,
            pooled_projection_dim=text_encoders.WIDTH,
            rope_axes_dim=(4, 4, 8),
        ),
        "vae": vaes.hunyuan_video(4),
        "scheduler": schedulers.flow(shift=7.0),
        "text_encoder_2": text_encoders.clip(clip, projection=False),
        "tokenizer_2": clip,
    }


def ltx() -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "scheduler": schedulers.flow_to_terminal(0.1, base_shift=0.95, max_shift=2.05),
        "vae": vaes.ltx(8),
        "text_encoder": text_encoders.t5(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=3,
            attention_head_dim=16,
            cross_attention_dim=48,
            num_layers=3,
            caption_channels=text_encoders.WIDTH,
        ),
    }


LTX = {"height": 128, "width": 192, "max_sequence_length": 32, "num_inference_steps": 2}

FAMILIES = {
    "wan22": Family(
        "WanPipeline",
        lambda: wan() | {"transformer_2": wan()["transformer"], "boundary_ratio": 0.875},
        {"num_frames": 1, "max_sequence_length": 32},
        traps="two transformers: transformer above boundary_ratio, transformer_2 below",
    ),
    "wan_i2v": Family(
        "WanImageToVideoPipeline",
        wan_i2v,
        {"num_frames": 5},
        picture="image",
        needs_picture=True,
        traps=(
            "does not run without ftfy; the picture is channels of the target's tokens, and keys "
            "of its own in the attention to the text, whose out-projection gets the sum of both; "
            "the transformer counts on 512 tokens of text"
        ),
    ),
    "hunyuan_video": Family(
        "HunyuanVideoPipeline",
        hunyuan_video,
        {"num_frames": 1},
        {"guidance_scale": 1.0, "true_cfg_scale": 1.0},
        traps="guidance_scale is an embedding, times 1,000; a template is put around the prompt",
    ),
    "ltx": Family(
        "LTXPipeline",
        ltx,
        LTX | {"num_frames": 1},
        calls=2,
        traps="one step has a timestep of NaN; no mask reaches the text encoder; factor 32",
    ),
    "ltx_i2v": Family(
        "LTXImageToVideoPipeline",
        ltx,
        LTX | {"num_frames": 9},
        calls=2,
        picture="image",
        needs_picture=True,
        traps="as ltx; the picture is the first frame, at timestep 0: one timestep per token",
    ),
    "wan": Family(
        "WanPipeline",
        wan,
        {"num_frames": 1, "max_sequence_length": 32},
        traps="Wan 2.2 A14B has two transformers; latents have a time axis",
    ),
}
