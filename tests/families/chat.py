"""Families that read the prompt with a chat model, wrapped in words of the pipeline's own."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import processors, schedulers, text_encoders, tokenizers, vaes
from tests.families.family import Family, Parts

DOUBLE_AND_SINGLE: dict[str, Any] = {
    "num_layers": 2,
    "num_single_layers": 3,
    "attention_head_dim": 16,
    "num_attention_heads": 3,
}


def ovis_image() -> Parts:
    tokenizer = tokenizers.qwen()
    return {
        "scheduler": schedulers.flow(use_dynamic_shifting=True),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.qwen3(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.OvisImageTransformer2DModel(
            in_channels=16,
            out_channels=16,
            joint_attention_dim=text_encoders.WIDTH,
            axes_dims_rope=(4, 4, 8),
            **DOUBLE_AND_SINGLE,
        ),
    }


def longcat_image() -> Parts:
    tokenizer = tokenizers.qwen()
    return {
        "scheduler": schedulers.flow(use_dynamic_shifting=True),
        "vae": vaes.kl(16, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.qwen25_vl(tokenizer),
        "tokenizer": tokenizer,
        "text_processor": processors.qwen_vl(tokenizer),
        "transformer": diffusers.LongCatImageTransformer2DModel(
            in_channels=64,  # the pipeline does not ask
            joint_attention_dim=text_encoders.WIDTH,
            pooled_projection_dim=text_encoders.WIDTH,
            axes_dims_rope=(4, 4, 8),
            **DOUBLE_AND_SINGLE,
        ),
    }


def krea2() -> Parts:
    tokenizer = tokenizers.qwen()
    return {
        "scheduler": schedulers.flow(use_dynamic_shifting=True),
        "vae": vaes.wan("AutoencoderKLQwenImage"),
        "text_encoder": text_encoders.qwen3_vl(tokenizer, layers=3),
        "tokenizer": tokenizer,
        "transformer": diffusers.Krea2Transformer2DModel(
            in_channels=16,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            timestep_embed_dim=16,
            text_hidden_dim=text_encoders.WIDTH,
            num_text_layers=3,
            text_num_attention_heads=4,
            text_num_key_value_heads=2,
            text_intermediate_size=48,
            num_layerwise_text_blocks=2,
            num_refiner_text_blocks=2,
            axes_dims_rope=(4, 4, 8),
        ),
        "text_encoder_select_layers": (1, 2, 3),
    }


def cogview4() -> Parts:
    tokenizer = tokenizers.glm()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoders.glm(tokenizer),
        "vae": vaes.kl(4, scaling_factor=1.0, shift_factor=0.0),
        "transformer": diffusers.CogView4Transformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            text_embed_dim=text_encoders.WIDTH,
            time_embed_dim=16,
            condition_dim=8,
            sample_size=8,
            rope_axes_dim=(64, 64),
        ),
        "scheduler": schedulers.flow(
            base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    }


def bria_fibo() -> Parts:
    tokenizer = tokenizers.llama3()
    return {
        "transformer": diffusers.BriaFiboTransformer2DModel(
            in_channels=4,
            joint_attention_dim=2 * text_encoders.WIDTH,
            text_encoder_dim=text_encoders.WIDTH,
            axes_dims_rope=[0, 8, 8],
            **DOUBLE_AND_SINGLE,
        ),
        "scheduler": schedulers.flow(use_dynamic_shifting=True),
        "vae": vaes.wan(
            in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16, is_residual=True
        ),
        "text_encoder": text_encoders.smol(tokenizer, layers=5),
        "tokenizer": tokenizer,
    }


def hidream() -> Parts:
    clip, big, t5 = tokenizers.clip(), tokenizers.clip(pad_token="!"), tokenizers.t5()
    llama = tokenizers.llama3()
    return {
        "scheduler": schedulers.flow(shift=3.0),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.clip(clip),
        "tokenizer": clip,
        "text_encoder_2": text_encoders.clip(big),
        "tokenizer_2": big,
        "text_encoder_3": text_encoders.t5(t5),
        "tokenizer_3": t5,
        "text_encoder_4": text_encoders.llama(llama, "LlamaForCausalLM", layers=5),
        "tokenizer_4": llama,
        "transformer": diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            caption_channels=[text_encoders.WIDTH, text_encoders.WIDTH],
            text_emb_dim=2 * text_encoders.WIDTH,
            num_routed_experts=4,
            num_activated_experts=2,
            axes_dims_rope=(8, 4, 4),
            max_resolution=(16, 16),
            llama_layers=[0, 1, 2, 3, 4],
            **DOUBLE_AND_SINGLE,
        ),
    }


def hunyuan_image() -> Parts:
    tokenizer, glyphs = tokenizers.qwen(), tokenizers.byt5()
    guider = diffusers.AdaptiveProjectedMixGuidance
    return {
        "scheduler": schedulers.flow(shift=5.0),
        "vae": vaes.hunyuan_image(4),
        "text_encoder": text_encoders.qwen25_vl(tokenizer, layers=3),
        "tokenizer": tokenizer,
        "text_encoder_2": text_encoders.t5(glyphs),
        "tokenizer_2": glyphs,
        "transformer": diffusers.HunyuanImageTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_refiner_layers=2,
            text_embed_dim=text_encoders.WIDTH,
            text_embed_2_dim=text_encoders.WIDTH,
            rope_axes_dim=(8, 8),
            **DOUBLE_AND_SINGLE,
        ),
        "guider": guider(adaptive_projected_guidance_start_step=2),
        "ocr_guider": guider(adaptive_projected_guidance_start_step=3),
    }


FAMILIES = {
    "ovis_image": Family(
        "OvisImagePipeline",
        ovis_image,
        traps="a system prompt is put before the prompt; pads are zeroed in the text",
    ),
    "longcat_image": Family(
        "LongCatImagePipeline",
        longcat_image,
        {"enable_prompt_rewrite": False},
        traps=(
            "the processor needs torchvision; the pipeline has its text encoder rewrite the prompt "
            "unless enable_prompt_rewrite=False; quoted words are spelled"
        ),
    ),
    "longcat_image_edit": Family(
        "LongCatImageEditPipeline",
        longcat_image,
        picture="image",
        needs_picture=True,
        traps="as longcat_image, never rewritten; every picture is made one megapixel",
    ),
    "krea2": Family(
        "Krea2Pipeline",
        krea2,
        {"max_sequence_length": 64},
        {"guidance_scale": 0.0},
        traps="1.0 is guidance: off is 0.0; gated heads; pads in the middle of the text",
    ),
    "cogview4": Family(
        "CogView4Pipeline",
        cogview4,
        traps="text is padded on the left, to a multiple of 16; no mask reaches the text encoder",
    ),
    "bria_fibo": Family(
        "BriaFiboPipeline",
        bria_fibo,
        traps=(
            "text of every layer is an argument, a list; texts of other lengths do not collate; "
            "prompts are JSON; factor 16"
        ),
    ),
    "hidream": Family(
        "HiDreamImagePipeline",
        hidream,
        {"max_sequence_length": 32},
        traps=(
            "every size is scaled to one megapixel; text is T5, then Llama's last layer and each "
            "block's own; experts are chosen by token"
        ),
    ),
    "hunyuan_image": Family(
        "HunyuanImagePipeline",
        hunyuan_image,
        {"height": 128, "width": 192},
        guidance_off={},
        calls=2,
        traps=(
            "guidance is a component, guider: two calls, the first with the prompt; the "
            "transformer reorders text by its mask; quoted words go through ByT5; factor 32"
        ),
    ),
}
