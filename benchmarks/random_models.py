"""Pipelines of FLUX.2 Klein's classes with random weights: speed needs no trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from otherview.models import weights
from otherview.study import Study
from otherview.study.compose import compose_study

POCKET = "otherview:pocket/checkpoints/pocket"
KLEIN_TEXT = {
    "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728,
    "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "klein": {
        "transformer": "flux2_klein_4b",
        "text": KLEIN_TEXT,
        "vae": {},
        "token_pixels": 16,
    },
    "middle": {
        "transformer": {
            "num_layers": 4, "num_single_layers": 8, "num_attention_heads": 12,
            "attention_head_dim": 64, "mlp_ratio": 3.0, "in_channels": 128,
            "joint_attention_dim": 768, "axes_dims_rope": [16, 16, 16, 16],
            "rope_theta": 2000, "guidance_embeds": False, "timestep_guidance_channels": 256,
        },
        "text": {
            **KLEIN_TEXT, "vocab_size": 1024, "hidden_size": 256, "intermediate_size": 768,
            "num_hidden_layers": 28, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 64,
        },
        "vae": {"block_out_channels": (32, 64, 128, 128), "layers_per_block": 1},
        "token_pixels": 16,
    },
    "small": {
        "transformer": {
            "num_layers": 1, "num_single_layers": 2, "num_attention_heads": 2,
            "attention_head_dim": 16, "mlp_ratio": 3.0, "in_channels": 32,
            "joint_attention_dim": 96, "axes_dims_rope": [4, 4, 4, 4],
            "rope_theta": 2000, "guidance_embeds": False, "timestep_guidance_channels": 32,
        },
        "text": {
            **KLEIN_TEXT, "vocab_size": 1024, "hidden_size": 32, "intermediate_size": 32,
            "num_hidden_layers": 28, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 16,
        },
        "vae": {
            "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "latent_channels": 8,
            "norm_num_groups": 4,
        },
        "token_pixels": 16,
    },
}  # fmt: skip
"""By name: the configs that differ from those of the classes. `klein` is that of Klein 4B."""


def architecture(size: str) -> dict[str, Any]:
    """Config of the transformer of a size."""
    given = SIZES[size]["transformer"]
    if isinstance(given, str):
        given = compose_study(["+experiment=kitchen", f"model={given}"]).model.architecture
    return {**given, "_class_name": "Flux2Transformer2DModel"}


def random_transformer(size: str, device: str, dtype: str) -> Any:
    """A transformer of a size, its weights drawn on `device`."""
    from diffusers import Flux2Transformer2DModel

    torch.manual_seed(0)
    with torch.device(device):
        made = Flux2Transformer2DModel.from_config(architecture(size))
    return made.to(getattr(torch, dtype)).eval()


def write_random_pipeline(size: str, folder: Path, device: str, dtype: str) -> None:
    """Writes a whole pipeline of random weights; Klein 4B takes 16 GB of disk in bfloat16.

    Tokenizer and scheduler are pocket's.
    """
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from transformers import Qwen3Config, Qwen3ForCausalLM

    pocket = weights.shipped_or_own(POCKET)
    torch.manual_seed(0)
    with torch.device(device):
        encoder = Qwen3ForCausalLM(Qwen3Config(**SIZES[size]["text"]))
        vae = AutoencoderKLFlux2(**SIZES[size]["vae"])
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(pocket / "scheduler"),
        vae=vae.to(getattr(torch, dtype)),
        text_encoder=encoder.to(getattr(torch, dtype)),
        tokenizer=weights.load_tokenizer(pocket),
        transformer=random_transformer(size, device, dtype),
    )
    pipeline.save_pretrained(folder)


def study_of(
    size: str, folder: Path | None, side: int, dtype: str, items: int, *overrides: str
) -> Study:
    """The kitchen study on `size` (`pocket`, or the random pipeline in `folder`).

    `side` is that of the square target and reference in pixels; `items` creatures of its thirty.
    """
    kitchen = ["+experiment=kitchen", "model=pocket", f"model.dtype={dtype}", *overrides]
    kitchen += [f"model.height={side}", f"model.width={side}", "published=null"]
    if folder is not None:
        shape = {k: v for k, v in architecture(size).items() if k != "_class_name"}
        kitchen += [f"model.path={folder}", f"model.name=random_{size}"]
        kitchen += [f"model.token_pixels={SIZES[size]['token_pixels']}"]
        kitchen += [f"model.architecture.{name}={value}" for name, value in shape.items()]
    creatures = compose_study(kitchen).creatures.items
    many = [f"creature number {n}" for n in range(len(creatures), items)]
    named = ",".join((creatures + many)[:items])
    return compose_study([*kitchen, f"creatures.items=[{named}]"])
