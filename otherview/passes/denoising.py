"""Renders prompts with heads edited, at some or all denoising steps.

The loop is that of `Flux2KleinPipeline.__call__`; it is written out here so that donors of patched
activations can run beside the pass that receives them, and so that the reference is encoded once.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from otherview.passes.batches import halving
from otherview.passes.capture import TokenLayout
from otherview.passes.editing import Editing, patch, record, scale
from otherview.passes.probe import Noises, ReferenceTokens, TextEncodings, reference_tokens

KEPT_BYTES = 1 << 30
"""Head outputs of donors that are kept, at most; beyond it donors run anew for every edit."""

Latents = Float[Tensor, "rows tokens channels"]


@dataclass(frozen=True)
class Edit:
    """What is done to heads: exactly one of `factor`, `donors` and `mean`."""

    addresses: tuple[str, ...]
    factor: float | None = None
    """Multiplies what the heads write, in the passes with and without the prompt."""
    donors: tuple[int, ...] | None = None
    """Prompt whose head outputs each prompt takes, by prompt; in the pass with the prompt."""
    mean: tuple[int, ...] | None = None
    """Prompts over whose head outputs the mean is taken; in the pass with the prompt."""
    tokens: tuple[str, ...] | None = None
    """Token groups that are edited; None for all."""
    at: tuple[int, ...] = ()
    """Steps at which heads are edited; empty for every step."""


@dataclass(frozen=True)
class Rendering:
    """How a picture is rendered."""

    height: int
    width: int
    batch_size: int
    seed: int
    noise: str
    """same or per_item, as `probe` takes it."""
    steps: int = 1
    guidance_scale: float = 1.0


class Denoiser:
    """A pipeline's transformer, a reference image and prompts, ready to be rendered.

    `items` holds the item of every prompt, for its noise; `empty` is the encoded empty prompt that
    guidance needs. Gives displacements: starting noise minus final latents, which after one step is
    the predicted velocity and after several its mean over them.
    """

    def __init__(
        self,
        pipeline: Any,
        encodings: TextEncodings,
        items: Sequence[int],
        reference: Image | ReferenceTokens,
        rendering: Rendering,
        empty: TextEncodings | None = None,
    ) -> None:
        if rendering.guidance_scale > 1 and empty is None:
            raise ValueError("guidance above 1 needs the encoded empty prompt")
        self.pipeline = pipeline
        self.passes = 0
        """Prompts that went through the transformer."""
        self._encodings, self._items, self._empty = encodings, tuple(items), empty
        self._rendering = rendering
        with torch.inference_mode():
            self._reference = reference_tokens(pipeline, reference)
            self._noises = Noises(
                pipeline, rendering.height, rendering.width, rendering.seed, rendering.noise
            )
        self._kept: dict[tuple[int, str], Tensor] = {}
        self._means: dict[tuple[int, str, tuple[int, ...]], Tensor] = {}

    @torch.inference_mode()
    def displace(self, prompts: Sequence[int], edit: Edit | None = None) -> Latents:
        """Displacement of every prompt in float32, on the host.

        A batch that does not fit into the device's memory is run in halves.
        """

        def run(rows: range) -> tuple[range, Latents]:
            return rows, self._displace(prompts[rows.start : rows.stop], edit)

        size = self._rendering.batch_size
        return torch.cat([moved for _, moved in halving(len(prompts), size, run)])

    @torch.inference_mode()
    def pictures(
        self, displacements: Latents, prompts: Sequence[int]
    ) -> Float[np.ndarray, "rows height width 3"]:
        """The pictures of displacements, in [0, 1]."""
        pipeline, size, decoded = self.pipeline, self._rendering.batch_size, []
        vae = pipeline.vae
        high, wide = (side // (pipeline.vae_scale_factor * 2) for side in self._size)
        deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)[:, None, None]
        for start in range(0, len(prompts), size):
            moved = displacements[start : start + size].to(pipeline.device)
            latents = (self._noise(prompts[start : start + size]).float() - moved).to(vae.dtype)
            ids = self._noises.ids.expand(len(latents), -1, -1)
            grid = pipeline._unpack_latents_with_ids(latents, ids, high, wide)
            grid = grid * deviation.to(grid) + vae.bn.running_mean[:, None, None].to(grid)
            image = vae.decode(pipeline._unpatchify_latents(grid), return_dict=False)[0]
            decoded.append(pipeline.image_processor.postprocess(image, output_type="np"))
        return np.concatenate(decoded)

    @torch.inference_mode()
    def keep(self, prompts: Sequence[int], addresses: Sequence[str]) -> bool:
        """Runs `prompts` once and keeps what the heads write for them, as donors.

        Does so for renderings of one step and where it fits into KEPT_BYTES; says whether it did.
        """
        if self._rendering.steps > 1:
            return False
        size = self._rendering.batch_size
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            with record(self.pipeline.transformer, addresses) as outputs:
                self._velocity(Trajectory(self, batch), 0)
            needed = sum(output[0].nbytes for output in outputs.values()) * len(prompts)
            if needed > KEPT_BYTES:
                return False
            for address, output in outputs.items():
                kept = zip(batch, output.cpu(), strict=True)
                self._kept |= {(prompt, address): written for prompt, written in kept}
        return True

    @property
    def _size(self) -> tuple[int, int]:
        return self._rendering.height, self._rendering.width

    def _displace(self, prompts: Sequence[int], edit: Edit | None) -> Latents:
        ours, donors = Trajectory(self, prompts), None
        if edit is not None and edit.mean is not None:
            self._remember_means(edit)
        if edit is not None and edit.donors is not None:
            sources = [edit.donors[prompt] for prompt in prompts]
            wanted = itertools.product(sources, edit.addresses)
            if any(output not in self._kept for output in wanted):
                donors = Trajectory(self, sources)
        for step in range(self._rendering.steps):
            edited = edit is not None and (not edit.at or step in edit.at)
            outputs = None
            if donors is not None:
                assert edit is not None
                with record(self.pipeline.transformer, edit.addresses) as recorded:
                    velocity = self._velocity(donors, step)
                donors.advance(step, velocity)
                outputs = recorded
            if edited:
                assert edit is not None
                ours.advance(step, self._velocity(ours, step, edit, outputs))
            else:
                ours.advance(step, self._velocity(ours, step))
        return (ours.noise.float() - ours.latents.float()).cpu()

    def _velocity(
        self,
        of: Trajectory,
        step: int,
        edit: Edit | None = None,
        outputs: dict[str, Tensor] | None = None,
    ) -> Latents:
        """Velocity at a step, guided where the rendering is.

        The pass without the prompt comes first, so that a recorder around both is left with what
        heads write for the prompt.
        """
        guidance, unprompted = self._rendering.guidance_scale, None
        if guidance > 1:
            assert self._empty is not None
            embeddings = self._empty.embeddings[0].expand(len(of.prompts), -1, -1)
            lengths = self._empty.tokens * len(of.prompts)
            without = edit if edit is not None and edit.factor is not None else None
            with self._context(without, of, step, None) as editing:
                unprompted = self._call(of, step, embeddings, lengths, editing, "uncond")
        embeddings = torch.stack([self._encodings.embeddings[prompt] for prompt in of.prompts])
        lengths = tuple(self._encodings.tokens[prompt] for prompt in of.prompts)
        with self._context(edit, of, step, outputs) as editing:
            prompted = self._call(of, step, embeddings, lengths, editing, "cond")
        return prompted if unprompted is None else unprompted + guidance * (prompted - unprompted)

    def _call(
        self,
        of: Trajectory,
        step: int,
        embeddings: Float[Tensor, "rows positions width"],
        lengths: tuple[int, ...],
        editing: Editing | None,
        cache: str,
    ) -> Latents:
        pipeline, rows = self.pipeline, len(of.prompts)
        transformer, reference = pipeline.transformer, self._reference
        target, text_length = of.latents.shape[1], embeddings.shape[1]
        if editing is not None:
            editing.expect(
                TokenLayout(lengths, text_length, target, int(reference.latents.shape[1]))
            )
        self.passes += rows
        timestep = of.scheduler.timesteps[step].expand(rows).to(of.latents.dtype) / 1000
        image_ids = torch.cat([self._noises.ids, reference.ids], 1).expand(rows, -1, -1)
        text_ids = pipeline._prepare_text_ids(embeddings).to(pipeline.device)
        images = [of.latents, reference.latents.expand(rows, -1, -1)]
        with transformer.cache_context(cache):
            output = transformer(
                hidden_states=torch.cat(images, 1).to(transformer.dtype),
                timestep=timestep,
                guidance=None,
                encoder_hidden_states=embeddings.to(pipeline.device, transformer.dtype),
                txt_ids=text_ids,
                img_ids=image_ids,
                return_dict=False,
            )[0]
        velocity: Latents = output[:, :target]
        return velocity

    def _context(
        self, edit: Edit | None, of: Trajectory, step: int, outputs: dict[str, Tensor] | None
    ) -> AbstractContextManager[Editing | None]:
        transformer = self.pipeline.transformer
        if edit is None:
            return nullcontext()
        if edit.factor is not None:
            return scale(transformer, edit.addresses, edit.factor, edit.tokens)
        if edit.mean is not None:
            means = {a: self._means[step, a, edit.mean] for a in edit.addresses}
            return patch(transformer, edit.addresses, means, edit.tokens)
        if outputs is None:
            assert edit.donors is not None
            sources = [edit.donors[prompt] for prompt in of.prompts]
            outputs = {
                address: torch.stack([self._kept[source, address] for source in sources])
                for address in edit.addresses
            }
        return patch(transformer, edit.addresses, outputs, edit.tokens)

    def _remember_means(self, edit: Edit) -> None:
        """Mean outputs of the heads over `edit.mean`, at every step of intact renderings."""
        prompts, size = edit.mean, self._rendering.batch_size
        assert prompts is not None
        missing = [a for a in edit.addresses if (0, a, prompts) not in self._means]
        if not missing:
            return
        sums: dict[tuple[int, str], Tensor] = {}
        for start in range(0, len(prompts), size):
            of = Trajectory(self, prompts[start : start + size])
            for step in range(self._rendering.steps):
                with record(self.pipeline.transformer, missing) as outputs:
                    of.advance(step, self._velocity(of, step))
                for address, output in outputs.items():
                    total = output.float().sum(0, keepdim=True)
                    sums[step, address] = sums.get((step, address), 0) + total
        for (step, address), total in sums.items():
            self._means[step, address, prompts] = total / len(prompts)

    def _noise(self, prompts: Sequence[int]) -> Latents:
        return torch.cat([self._noises.of(self._items[prompt]) for prompt in prompts])


class Trajectory:
    """Latents of a batch of prompts on their way from noise to picture."""

    def __init__(self, denoiser: Denoiser, prompts: Sequence[int]) -> None:
        self.prompts = tuple(prompts)
        self.noise = denoiser._noise(prompts)
        self.latents = self.noise
        self.scheduler = copy.deepcopy(denoiser.pipeline.scheduler)  # it counts its own steps
        steps = denoiser._rendering.steps
        self.scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / steps, steps),
            mu=compute_empirical_mu(image_seq_len=self.noise.shape[1], num_steps=steps),
            device=denoiser.pipeline.device,
        )
        self.scheduler.set_begin_index(0)

    def advance(self, step: int, velocity: Latents) -> None:
        """One step along `velocity`."""
        timestep = self.scheduler.timesteps[step]
        moved = self.scheduler.step(velocity, timestep, self.latents, return_dict=False)[0]
        self.latents = moved.to(self.noise.dtype)
