"""Autoencoders of a few channels, each with the spatial factor of the real one."""

from __future__ import annotations

from typing import Any

import diffusers


def kl(
    latent_channels: int, *, kind: str = "AutoencoderKL", quant_conv: bool = False, **settings: Any
) -> Any:
    """Return the image autoencoder of Stable Diffusion, FLUX and many others: factor 8."""
    return getattr(diffusers, kind)(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latent_channels,
        norm_num_groups=2,
        use_quant_conv=quant_conv,
        use_post_quant_conv=quant_conv,
        **settings,
    )


def wan(kind: str = "AutoencoderKLWan", **settings: Any) -> Any:
    """Return the video autoencoder of Wan or, as `AutoencoderKLQwenImage`, of Qwen-Image."""
    channels = 4
    return getattr(diffusers, kind)(
        base_dim=4,
        z_dim=channels,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1] * channels,
        latents_std=[1.5] * channels,
        **settings,
    )


def dc(latent_channels: int = 4) -> Any:
    """Return the deep-compression autoencoder of Sana: factor 32."""
    stages = 6
    return diffusers.AutoencoderDC(
        latent_channels=latent_channels,
        attention_head_dim=2,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4,) * stages,
        decoder_block_out_channels=(4,) * stages,
        encoder_layers_per_block=(1,) * stages,
        decoder_layers_per_block=(1,) * stages,
        encoder_qkv_multiscales=((),) * stages,
        decoder_qkv_multiscales=((),) * stages,
        scaling_factor=0.41407,
    )


def hunyuan_image(latent_channels: int) -> Any:
    """Return the autoencoder of HunyuanImage 2.1: factor 32."""
    return diffusers.AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=latent_channels,
        block_out_channels=(32,) * 6,
        layers_per_block=1,
        spatial_compression_ratio=32,
        sample_size=128,
        scaling_factor=0.75,
    )


def hunyuan_video(latent_channels: int) -> Any:
    stages = 4
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=latent_channels,
        down_block_types=("HunyuanVideoDownBlock3D",) * stages,
        up_block_types=("HunyuanVideoUpBlock3D",) * stages,
        block_out_channels=(4,) * stages,
        layers_per_block=1,
        norm_num_groups=2,
    )


def ltx(latent_channels: int) -> Any:
    """Return the video autoencoder of LTX: factor 32, eight frames in one."""
    stages = 4
    return diffusers.AutoencoderKLLTXVideo(
        latent_channels=latent_channels,
        block_out_channels=(8,) * stages,
        decoder_block_out_channels=(8,) * stages,
        layers_per_block=(1,) * (stages + 1),
        decoder_layers_per_block=(1,) * (stages + 1),
    )
