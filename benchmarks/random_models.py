"""Pipelines of FLUX.2 Klein's classes with random weights."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from otherview.models import weights
from otherview.models.library_messages import quieter
from otherview.study import Study
from otherview.study.compose import compose_study

POCKET = "otherview:pocket/checkpoints/pocket"
KLEIN_TEXT = {
    "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728,
    "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "tie_word_embeddings": True,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "klein": {
        "transformer": "flux2_klein_4b",
        "text": KLEIN_TEXT,
        "vae": {},
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
    },
}  # fmt: skip
"""By name: the configs that differ from those of the classes. `klein` is that of Klein 4B."""


PARTS = ("vae", "transformer", "text_encoder")
"""Parts with weights, in the order in which they are written."""

SHARD = "1GB"
"""Size of a file of weights. Saving may copy one file's tensors, never a whole part."""


def architecture(size: str) -> dict[str, Any]:
    """Config of the transformer of a size."""
    given = SIZES[size]["transformer"]
    if isinstance(given, str):
        given = compose_study(["+experiment=kitchen", f"model={given}"]).model.architecture
    return {**given, "_class_name": "Flux2Transformer2DModel"}


def part_config(part: str, size: str) -> dict[str, Any]:
    """Config of a part of a size, or of the pocket model's for size "pocket"."""
    if size == "pocket":
        shipped = weights.shipped_or_own(POCKET) / part / "config.json"
        config: dict[str, Any] = json.loads(shipped.read_text())
        return config
    if part == "transformer":
        return architecture(size)
    return dict(SIZES[size]["vae" if part == "vae" else "text"])


def drawn_part(part: str, size: str) -> Any:
    """A part as its class initialises it, on torch's default device and in its default dtype."""
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = part_config(part, size)
    if part == "vae":
        return AutoencoderKLFlux2.from_config(config)
    if part == "transformer":
        return Flux2Transformer2DModel.from_config(config)
    return Qwen3ForCausalLM(Qwen3Config(**config))


def random_transformer(size: str, device: str, dtype: str) -> Any:
    """A transformer of a size, its weights drawn on `device`."""
    torch.manual_seed(0)
    with torch.device(device):
        made = drawn_part("transformer", size)
    with quieter():  # diffusers warns of modules to keep in float32, and names none
        return made.to(getattr(torch, dtype)).eval()


def write_random_pipeline(size: str, folder: Path, device: str, dtype: str, seed: int = 0) -> None:
    """Write a whole pipeline of random weights; Klein 4B takes 16 GB of disk in bfloat16.

    Tokenizer and scheduler are pocket's. Weights are drawn part by part in a process of its own,
    each part from its own seed, so that memory holds one part at a time and none afterwards. A
    part that is in `folder` already stays; `model_index.json` comes last, and where it is there
    nothing is written. Raises SystemExit where a part could not be written.
    """
    if (folder / "model_index.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pocket = weights.shipped_or_own(POCKET)
    for part in ("scheduler", "tokenizer"):
        shutil.copytree(pocket / part, folder / part, dirs_exist_ok=True)
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    process = multiprocessing.get_context("spawn").Process(
        target=write_parts, args=(missing, size, folder, device, dtype, seed), daemon=True
    )
    handled = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process alone
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handled)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{folder} was not written: exit code {process.exitcode}")
    shutil.copy(pocket / "model_index.json", folder)


def write_parts(
    parts: Sequence[str], size: str, folder: Path, device: str, dtype: str, seed: int
) -> None:
    """Draw parts in `dtype` and write them into `folder`, each whole or not at all.

    Parts are drawn in the precision in which they are written: float32 first would take twice the
    memory.
    """
    torch.set_default_dtype(getattr(torch, dtype))
    for part in parts:
        torch.manual_seed(len(PARTS) * seed + PARTS.index(part))
        unfinished = folder / f"{part}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with torch.device(device):
            drawn = drawn_part(part, size)
        with quieter():  # a progress bar per part
            drawn.save_pretrained(unfinished, max_shard_size=SHARD)
        unfinished.rename(folder / part)


def study_of(
    size: str, folder: Path | None, side: int, dtype: str, items: int, *overrides: str
) -> Study:
    """The kitchen study of `study_words`."""
    return compose_study(study_words(size, folder, side, dtype, items, *overrides))


def study_words(
    size: str, folder: Path | None, side: int, dtype: str, items: int, *overrides: str
) -> list[str]:
    """Overrides of the kitchen study on `size` (`pocket`, or the random pipeline in `folder`).

    `side` is that of the square target and reference in pixels; `items` creatures of its thirty.
    """
    kitchen = ["+experiment=kitchen", "model=pocket", f"model.dtype={dtype}", *overrides]
    kitchen += [f"model.height={side}", f"model.width={side}", "published=null"]
    if folder is not None:
        shape = {k: v for k, v in architecture(size).items() if k != "_class_name"}
        kitchen += [f"model.path={folder}", f"model.name=random_{size}", "model.token_pixels=16"]
        kitchen += [f"model.architecture.{name}={value}" for name, value in shape.items()]
    creatures = compose_study(kitchen).creatures.items
    many = [f"creature number {n}" for n in range(len(creatures), items)]
    named = ",".join((creatures + many)[:items])
    return [*kitchen, f"creatures.items=[{named}]"]
