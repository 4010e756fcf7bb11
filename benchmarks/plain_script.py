"""The peer of the probe: a pipeline call a prompt, with hooks that copy activations to float32."""

from __future__ import annotations

from typing import Any

import torch

from otherview.sites import hook_sites
from otherview.study import Model


def plain_script(pipeline: Any, texts: list[str], reference: Any, model: Model) -> None:
    """Runs every prompt by itself and keeps the RMS of every slice of 16 channels on the host."""
    kept = []

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
            generator=torch.Generator().manual_seed(0),
        )
    for handle in handles:
        handle.remove()
