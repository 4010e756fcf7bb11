"""Video models, of which one frame is drawn."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import schedulers, text_encoders, tokenizers, vaes
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


FAMILIES = {
    "wan": Family(
        "WanPipeline",
        wan,
        {"num_frames": 1, "max_sequence_length": 32},
        traps="Wan 2.2 A14B has two transformers; latents have a time axis",
    ),
}
