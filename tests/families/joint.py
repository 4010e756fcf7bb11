"""Families that denoise text and image in one sequence or in two streams."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import processors, schedulers, text_encoders, tokenizers, vaes
from tests.families.family import Family, Parts


def sd3(**settings: Any) -> Parts:
    clip, big, t5 = tokenizers.clip(), tokenizers.clip(pad_token="!"), tokenizers.t5()
    return {
        "transformer": diffusers.SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=3,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=3 * text_encoders.WIDTH,
            pooled_projection_dim=2 * text_encoders.WIDTH,
            pos_embed_max_size=24,
            **settings,
        ),
        "scheduler": schedulers.flow(shift=3.0),
        "vae": vaes.kl(4, scaling_factor=1.5305, shift_factor=0.0609),
        "text_encoder": text_encoders.clip(clip),
        "tokenizer": clip,
        "text_encoder_2": text_encoders.clip(big),
        "tokenizer_2": big,
        "text_encoder_3": text_encoders.t5(t5, width=3 * text_encoders.WIDTH),
        "tokenizer_3": t5,
        "image_encoder": None,
        "feature_extractor": None,
    }


def qwen_image(**settings: Any) -> Parts:
    tokenizer = tokenizers.qwen()
    return {
        "scheduler": schedulers.flow_to_terminal(0.02, max_shift=0.9),
        "vae": vaes.wan("AutoencoderKLQwenImage"),
        "text_encoder": text_encoders.qwen25_vl(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=text_encoders.WIDTH,
            axes_dims_rope=(4, 4, 8),
            **settings,
        ),
    }


def qwen_image_edit(**settings: Any) -> Parts:
    parts = qwen_image(**settings)
    return parts | {"processor": processors.qwen_vl(parts["tokenizer"])}


def z_image() -> Parts:
    tokenizer = tokenizers.qwen()
    return {
        "scheduler": schedulers.flow(shift=3.0),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.qwen3(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=48,
            n_layers=3,
            n_refiner_layers=2,
            n_heads=3,
            n_kv_heads=3,
            cap_feat_dim=text_encoders.WIDTH,
            axes_dims=[4, 4, 8],
            axes_lens=[512, 64, 64],
        ),
    }


def chroma() -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "scheduler": schedulers.flow(),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.t5(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.ChromaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=text_encoders.WIDTH,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=16,
            approximator_hidden_dim=48,
            approximator_layers=1,
        ),
        "image_encoder": None,
        "feature_extractor": None,
    }


def lumina2() -> Parts:
    tokenizer = tokenizers.gemma()
    return {
        "transformer": diffusers.Lumina2Transformer2DModel(
            sample_size=8,
            in_channels=4,
            hidden_size=64,
            num_layers=3,
            num_refiner_layers=2,
            num_attention_heads=4,
            num_kv_heads=2,
            multiple_of=16,
            axes_dim_rope=(4, 4, 8),
            axes_lens=(300, 64, 64),
            cap_feat_dim=text_encoders.WIDTH,
        ),
        "scheduler": schedulers.flow(shift=6.0),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.gemma2(tokenizer),
        "tokenizer": tokenizer,
    }


def aura_flow() -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoders.t5(tokenizer, "UMT5"),
        "vae": vaes.kl(4, quant_conv=True, scaling_factor=0.13025),
        "transformer": diffusers.AuraFlowTransformer2DModel(
            sample_size=8,
            in_channels=4,
            num_mmdit_layers=2,
            num_single_dit_layers=3,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=text_encoders.WIDTH,
            caption_projection_dim=32,
            pos_embed_max_size=256,
        ),
        "scheduler": schedulers.flow(shift=1.73),
    }


def bria() -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "transformer": diffusers.BriaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=text_encoders.WIDTH,
            axes_dims_rope=[0, 8, 8],
        ),
        "scheduler": schedulers.flow(use_dynamic_shifting=True),
        "vae": vaes.kl(4, quant_conv=True, scaling_factor=0.13025, shift_factor=0.0),
        "text_encoder": text_encoders.t5(tokenizer),
        "tokenizer": tokenizer,
        "image_encoder": None,
        "feature_extractor": None,
    }


FAMILIES = {
    "sd3": Family(
        "StableDiffusion3Pipeline",
        lambda: sd3(qk_norm="rms_norm"),
        {"max_sequence_length": 32},
        traps="text is 77 CLIP positions, then those of T5; no mask; target before text",
    ),
    "sd35_medium": Family(
        "StableDiffusion3Pipeline",
        lambda: sd3(qk_norm="rms_norm", dual_attention_layers=(0, 1)),
        {"max_sequence_length": 32},
        traps="as sd3; the first blocks attend a second time, over the target alone",
    ),
    "qwen_image": Family(
        "QwenImagePipeline",
        qwen_image,
        {"num_inference_steps": 2},
        {"true_cfg_scale": 1.0},
        calls=2,
        traps=(
            "one step has a timestep of NaN, as shift_terminal stretches it; texts of other "
            "lengths do not collate; true_cfg_scale is 4.0 but works with a negative prompt only"
        ),
    ),
    "qwen_image_edit": Family(
        "QwenImageEditPipeline",
        qwen_image_edit,
        {"num_inference_steps": 2},
        {"true_cfg_scale": 1.0},
        calls=2,
        picture="image",
        needs_picture=True,
        traps=(
            "as qwen_image; the processor needs torchvision; every picture is made one megapixel, "
            "and is in the text, too"
        ),
    ),
    "qwen_image_edit_plus": Family(
        "QwenImageEditPlusPipeline",
        lambda: qwen_image_edit(zero_cond_t=True),
        {"num_inference_steps": 2},
        {"true_cfg_scale": 1.0},
        calls=2,
        picture="image",
        needs_picture=True,
        traps=(
            "as qwen_image_edit; the text reads the picture at 384² pixels; with zero_cond_t the "
            "reference has timestep 0"
        ),
    ),
    "z_image": Family(
        "ZImagePipeline",
        z_image,
        {"max_sequence_length": 64},
        {"guidance_scale": 0.0},
        traps=(
            "1.0 is guidance: off is 0.0; lists of tensors; timestep is 1 − t; it pads "
            "sequences to multiples of 32"
        ),
    ),
    "chroma": Family(
        "ChromaPipeline",
        chroma,
        {"max_sequence_length": 48},
        traps="a mask lets one pad of the text through; no pooled text",
    ),
    "lumina2": Family(
        "Lumina2Pipeline",
        lumina2,
        traps=(
            "the transformer drops masked text: rows of other lengths have another layout; a "
            "system prompt is put before the prompt; timestep is 1 − t"
        ),
    ),
    "aura_flow": Family(
        "AuraFlowPipeline",
        aura_flow,
        {"max_sequence_length": 32},
        traps="registers stand before the text; zero-padded text without a mask",
    ),
    "bria": Family(
        "BriaPipeline",
        bria,
        {"max_sequence_length": 48},
        traps="no mask reaches the text encoder; guidance 5 by default is two rows",
    ),
}
