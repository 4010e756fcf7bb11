"""The peer of the probe: a pipeline call a prompt, with hooks that copy activations to float32.

    python benchmarks/plain_script.py SEED OUTPUT

By itself it is what a process of a sweep would be without otherview: it loads the pipeline, runs
the kitchen study on pocket, flips whole pairs 200 times and writes the t of every slice.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from otherview.models import hub
from otherview.models.scene import open_reference
from otherview.models.sites import hook_sites
from otherview.study import Model
from otherview.study.compose import compose_study
from otherview.study.prompts import study_prompts

FLIPS = 200


def plain_script(
    pipeline: Any, texts: list[str], reference: Any, model: Model, seed: int = 0
) -> Float[np.ndarray, "texts slices"]:
    """Runs every prompt by itself and keeps the RMS of every slice of 16 channels on the host."""
    rows, kept = [], []

    def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        copy = inputs[0].detach().to(torch.float32, copy=True)
        slices = copy.reshape(*copy.shape[:2], -1, 16)
        kept.append(slices.pow(2).mean(dim=(1, 3)).sqrt().cpu())

    handles = [
        pipeline.transformer.get_submodule(site.module).register_forward_pre_hook(hook)
        for site in hook_sites(pipeline.transformer.config)
    ]
    for text in texts:
        pipeline(
            prompt=text,
            image=reference,
            height=model.height,
            width=model.width,
            num_inference_steps=1,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(seed),
        )
        rows.append(torch.cat(kept, dim=1)[0].numpy())
        kept.clear()
    for handle in handles:
        handle.remove()
    return np.stack(rows)


def whole_pipeline(folder: Path, device: str = "cpu", dtype: str = "float32") -> Any:
    """The pipeline as diffusers loads it, without its progress bars."""
    from diffusers import Flux2KleinPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipeline = Flux2KleinPipeline.from_pretrained(
        folder, local_files_only=True, dtype=getattr(torch, dtype)
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def paired_t(differences: Float[np.ndarray, "pairs slices"]) -> Float[np.ndarray, " slices"]:
    """t as the published study computes it."""
    spread = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
    return np.asarray(differences.mean(axis=0) / spread)


def main(seed: int, output: Path) -> None:
    study = compose_study(["+experiment=kitchen", "model=pocket", f"seed={seed}"])
    texts = [prompt.text for prompt in study_prompts(study).prompts]
    pipeline = whole_pipeline(hub.weights_folder(study.model))
    responses = plain_script(pipeline, texts, open_reference(study.scenery[0]), study.model, seed)
    differences = responses[::2] - responses[1::2]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (FLIPS, len(differences), 1))
    null = np.stack([paired_t(differences * flips) for flips in signs])
    np.savez(output, t=paired_t(differences), null=null)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
