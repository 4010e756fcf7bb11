"""`make` a tiny pipeline by its family's name."""

from __future__ import annotations

import inspect
import zlib
from dataclasses import dataclass
from typing import Any

import diffusers
import torch

from tests.families import chat, cross, flux, flux2, joint, video
from tests.families.family import HEIGHT, WIDTH, Family
from tests.families.pictures import picture
from tests.families.sites import SITES, Sites

FAMILIES: dict[str, Family] = {
    name: family
    for kin in (flux2, flux, joint, chat, cross, video)
    for name, family in kin.FAMILIES.items()
}
NAMES = tuple(FAMILIES)

NUDGE = 0.02
"""Noise on every weight of a transformer: gates that start at zero would hide its blocks."""


@dataclass(frozen=True)
class Tiny:
    """A pipeline with random weights, and how it is called."""

    name: str
    pipeline: Any

    inputs: dict[str, Any]
    """One cheap call, but for prompt, generator and picture. Guidance is as the pipeline has it."""

    guidance_off: dict[str, float]
    """Arguments with which the pipeline calls its transformer for the prompt only."""

    calls: int
    """Calls of the transformer in one call of the pipeline with guidance off."""

    picture: str | None
    """Argument that takes a reference picture."""

    needs_image: bool
    traps: str

    sites: Sites
    """Where heads are read, and which tokens are there."""

    @property
    def takes_image(self) -> bool:
        return self.picture is not None

    @property
    def transformer(self) -> Any:
        """The module that denoises: the U-Net of SDXL."""
        return getattr(self.pipeline, "transformer", None) or self.pipeline.unet

    def arguments(self, prompt: str, seed: int = 0, image: int = 0) -> dict[str, Any]:
        """Return the arguments of one call without guidance; `image` draws a reference picture."""
        given = {self.picture: picture(image)} if self.picture else {}
        generator = torch.Generator().manual_seed(seed)
        return self.inputs | self.guidance_off | given | {"prompt": prompt, "generator": generator}


def make(name: str) -> Tiny:
    """Return the pipeline of family `name`, with the same weights every time, in float32."""
    family = FAMILIES[name]
    cls = getattr(diffusers, family.pipeline)
    with torch.random.fork_rng():
        torch.manual_seed(zlib.crc32(name.encode()))
        pipeline = cls(**family.parts())
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                fill_pads(part.eval().requires_grad_(requires_grad=False))
        tiny = Tiny(
            name=name,
            pipeline=pipeline,
            inputs=shared_inputs(cls) | family.inputs,
            guidance_off=family.guidance_off,
            calls=family.calls,
            picture=family.picture,
            needs_image=family.needs_picture,
            traps=family.traps,
            sites=SITES[name],
        )
        for parameter in tiny.transformer.parameters():
            parameter += NUDGE * torch.randn_like(parameter)
    pipeline.set_progress_bar_config(disable=True)
    return tiny


def fill_pads(model: torch.nn.Module) -> None:
    """Give pads an embedding, as trained text encoders have one: new ones have zeros."""
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None:
            part.weight[part.padding_idx] = NUDGE * torch.randn(part.embedding_dim)


def shared_inputs(cls: Any) -> dict[str, Any]:
    inputs = {"num_inference_steps": 1, "output_type": "latent", "height": HEIGHT, "width": WIDTH}
    return {k: v for k, v in inputs.items() if k in inspect.signature(cls.__call__).parameters}
