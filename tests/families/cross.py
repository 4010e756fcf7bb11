"""Families whose image tokens read the text by cross-attention."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families import processors, schedulers, text_encoders, tokenizers, vaes
from tests.families.family import Family, Parts


def pixart() -> Parts:
    tokenizer = tokenizers.t5()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoders.t5(tokenizer),
        "vae": vaes.kl(4, quant_conv=True, scaling_factor=0.13025),
        "transformer": diffusers.PixArtTransformer2DModel(
            sample_size=8,
            num_layers=3,
            attention_head_dim=8,
            num_attention_heads=4,
            cross_attention_dim=32,
            caption_channels=text_encoders.WIDTH,
            use_additional_conditions=False,
        ),
        "scheduler": schedulers.dpm_trailing(beta_start=0.0001, beta_end=0.02),
    }


def sana(**settings: Any) -> Parts:
    tokenizer = tokenizers.gemma()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoders.gemma2(tokenizer),
        "vae": vaes.dc(4),
        "transformer": diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=3,
            num_attention_heads=4,
            attention_head_dim=12,
            num_cross_attention_heads=3,
            cross_attention_head_dim=16,
            cross_attention_dim=48,
            caption_channels=text_encoders.WIDTH,
            sample_size=4,
            **settings,
        ),
        "scheduler": schedulers.dpm_flow(),
    }


def sdxl() -> Parts:
    clip, big = tokenizers.clip(), tokenizers.clip(pad_token="!")
    width = text_encoders.WIDTH
    return {
        "vae": vaes.kl(4, quant_conv=True, scaling_factor=0.13025),
        "text_encoder": text_encoders.clip(clip, projection=False),
        "text_encoder_2": text_encoders.clip(big),
        "tokenizer": clip,
        "tokenizer_2": big,
        "unet": diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            cross_attention_dim=2 * width,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + width,
            norm_num_groups=4,
        ),
        "scheduler": schedulers.euler_leading(),
        "image_encoder": None,
        "feature_extractor": None,
    }


def sana_sprint() -> Parts:
    return sana(guidance_embeds=True, qk_norm="rms_norm_across_heads") | {
        "scheduler": diffusers.SCMScheduler()
    }


PIXART = {"max_sequence_length": 32, "use_resolution_binning": False, "clean_caption": False}

SANA = {
    "height": 128,
    "width": 192,
    "max_sequence_length": 32,
    "use_resolution_binning": False,
    "complex_human_instruction": None,
}


def hunyuan_dit() -> Parts:
    tokenizer, tokenizer_2 = tokenizers.bert(), tokenizers.t5()
    return {
        "vae": vaes.kl(4, quant_conv=True, scaling_factor=0.13025),
        "text_encoder": text_encoders.bert(tokenizer),
        "tokenizer": tokenizer,
        "transformer": diffusers.HunyuanDiT2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=4,
            attention_head_dim=16,
            num_attention_heads=3,
            hidden_size=48,
            cross_attention_dim=text_encoders.WIDTH,
            cross_attention_dim_t5=text_encoders.WIDTH,
            pooled_projection_dim=16,
        ),
        "scheduler": diffusers.DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.02,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            steps_offset=1,
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        "text_encoder_2": text_encoders.t5(tokenizer_2),
        "tokenizer_2": tokenizer_2,
    }


def prx() -> Parts:
    tokenizer = tokenizers.gemma(model_max_length=64)
    return {
        "transformer": diffusers.PRXTransformer2DModel(
            in_channels=4,
            patch_size=2,
            context_in_dim=text_encoders.WIDTH,
            hidden_size=48,
            mlp_ratio=2.0,
            num_heads=3,
            depth=3,
            axes_dim=[8, 8],
        ),
        "scheduler": schedulers.flow(shift=3.0),
        "text_encoder": text_encoders.t5_gemma(tokenizer),
        "tokenizer": tokenizer,
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "default_sample_size": 64,
    }


def kandinsky5() -> Parts:
    tokenizer, clip = tokenizers.qwen(), tokenizers.clip()
    return {
        "transformer": diffusers.Kandinsky5Transformer3DModel(
            in_visual_dim=4,
            out_visual_dim=4,
            in_text_dim=text_encoders.WIDTH,
            in_text_dim2=text_encoders.WIDTH,
            time_dim=16,
            model_dim=48,
            ff_dim=64,
            num_text_blocks=2,
            num_visual_blocks=3,
            axes_dims=(4, 4, 8),
        ),
        "vae": vaes.kl(4, scaling_factor=0.3611, shift_factor=0.1159),
        "text_encoder": text_encoders.qwen25_vl(tokenizer),
        "tokenizer": processors.qwen_vl(tokenizer),
        "text_encoder_2": text_encoders.clip(clip, projection=False),
        "tokenizer_2": clip,
        "scheduler": schedulers.flow(shift=3.0),
    }


FAMILIES = {
    "hunyuan_dit": Family(
        "HunyuanDiTPipeline",
        hunyuan_dit,
        {"use_resolution_binning": False},
        traps=(
            "both texts are one sequence of 77 + 256, and pooled in the timestep's embedding; "
            "sizes are moved to the nearest bin; the timestep of one step is 1"
        ),
    ),
    "prx": Family(
        "PRXPipeline",
        prx,
        {"use_resolution_binning": False, "skip_text_cleaning": True},
        traps="does not run without ftfy; queries are of the target alone, keys of text and target",
    ),
    "kandinsky5_t2i": Family(
        "Kandinsky5T2IPipeline",
        kandinsky5,
        traps=(
            "the processor needs torchvision; sizes are moved to the nearest of seven; heads are "
            "named nowhere: head_dim is the sum of axes_dims; queries and keys are rounded to "
            "bfloat16, so rows of a batch differ by 2e-4; texts of other lengths do not collate"
        ),
    ),
    "pixart_alpha": Family(
        "PixArtAlphaPipeline",
        pixart,
        PIXART | {"num_inference_steps": 2},
        calls=2,
        traps="as pixart_sigma; one step is taken for a distilled model's and fails after the call",
    ),
    "pixart_sigma": Family(
        "PixArtSigmaPipeline",
        pixart,
        PIXART,
        traps="sizes are moved to the nearest bin of the published model",
    ),
    "sana": Family(
        "SanaPipeline",
        sana,
        SANA,
        traps=(
            "self-attention is linear: no scaled_dot_product_attention to trace; an instruction is "
            "put before the prompt; factor 32"
        ),
    ),
    "sana_sprint": Family(
        "SanaSprintPipeline",
        sana_sprint,
        SANA | {"num_inference_steps": 2},
        {"guidance_scale": 1.0},
        calls=2,
        traps="two steps at least; guidance_scale is an embedding; timesteps are angles",
    ),
    "sdxl": Family(
        "StableDiffusionXLPipeline",
        sdxl,
        traps=(
            "a U-Net; the timestep of one step is 1; tokens and heads differ by site; "
            "attention_head_dim is the number of heads"
        ),
    ),
}
