"""Render prompts with edited heads, at some or all denoising steps.

The loop is that of the pipeline. It is repeated here so that donors of patched activations can run
along with the pass that receives them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.models.calls import Calls
from otherview.models.image_latents import Latents
from otherview.passes.batches import halving_by_group
from otherview.passes.editing import Editing, add, patch, record, scale
from otherview.passes.steps import Trajectory
from otherview.passes.transformer import run

MAX_KEPT_BYTES = 1 << 30
"""Maximal size of the kept head outputs. Beyond it, donors run again for every edit."""


@dataclass(frozen=True)
class Shift:
    """Vectors that are added to what heads write."""

    vectors: Mapping[str, Float[np.ndarray, "groups channels"]]
    """By head, one per token group of TOKEN_GROUPS."""
    doses: Mapping[int, float]
    """By prompt, how many times they are added."""

    def rows(
        self, addresses: Sequence[str], prompts: Sequence[int]
    ) -> dict[str, Float[Tensor, "rows groups channels"]]:
        """Return what is added in the passes of `prompts`, by head."""
        doses = np.array([self.doses[prompt] for prompt in prompts])[:, None, None]
        return {
            address: torch.from_numpy((doses * self.vectors[address]).astype(np.float32))
            for address in addresses
        }


@dataclass(frozen=True)
class Edit:
    """An edit of heads: exactly one of `factor`, `donors`, `mean` and `shift`."""

    addresses: tuple[str, ...]
    factor: float | None = None
    """Multiplies the outputs of the heads, in the passes with and without the prompt."""
    donors: tuple[int, ...] | None = None
    """By prompt, the prompt whose head outputs it takes, in the pass with the prompt."""
    mean: tuple[int, ...] | None = None
    """Prompts over whose head outputs the mean is taken; in the pass with the prompt."""
    tokens: tuple[str, ...] | None = None
    """Token groups that are edited; None for all."""
    at: tuple[int, ...] = ()
    """Steps at which heads are edited; empty for every step."""
    shift: Shift | None = None
    """What is added to head outputs, in the pass with the prompt; `tokens` do not apply."""


class Denoiser:
    """Renders the prompts of `calls`.

    A displacement is the starting noise minus the final latents: the predicted velocity after one
    step, its mean over the steps after several.
    """

    def __init__(
        self, calls: Calls, batch_size: int, steps: int = 1, guidance_scale: float = 1.0
    ) -> None:
        if guidance_scale > 1 and not calls.guided:
            raise ValueError("guidance above 1 needs the encoded empty prompt")
        self.decodes = calls.decodes
        """Whether pictures can be made."""
        self.passes = 0
        """Number of prompts that went through the transformer."""
        self._calls, self._transformer = calls, calls.transformer
        self._batch_size, self._steps, self._guidance = batch_size, steps, guidance_scale
        groups = enumerate(calls.groups())
        self._group = {prompt: number for number, group in groups for prompt in group}
        self._kept: dict[tuple[int, str], Tensor] = {}
        self._means: dict[tuple[int, str, tuple[int, ...]], Tensor] = {}

    @torch.no_grad()
    def displace(self, prompts: Sequence[int], edit: Edit | None = None) -> Latents:
        """Return the displacement of every prompt in float32, on the host.

        Prompts that cannot share a batch run in groups. A batch that does not fit into device
        memory is split in halves.
        """
        groups = self._grouped(prompts)
        order = [place for group in groups for place in group]
        found: list[Latents] = []

        def displaced(rows: range) -> tuple[range, Latents]:
            batch = [prompts[order[row]] for row in rows]
            return rows, self._displace(batch, edit)

        lengths = [len(group) for group in groups]
        for _, moved in halving_by_group(lengths, self._batch_size, displaced):
            found.append(moved)
        return torch.cat(found)[torch.tensor(order).argsort()]

    @torch.no_grad()
    def pictures(
        self, displacements: Latents, prompts: Sequence[int]
    ) -> Float[np.ndarray, "rows height width 3"]:
        """Return the images of displacements, in [0, 1]."""
        decoded = []
        for start in range(0, len(prompts), self._batch_size):
            batch = range(start, min(start + self._batch_size, len(prompts)))
            noise = self._calls.noise([prompts[row] for row in batch]).float()
            moved = displacements[batch[0] : batch[-1] + 1].to(noise.device)
            decoded.append(self._calls.pictures(noise - moved))
        return np.concatenate(decoded)

    @torch.no_grad()
    def keep(self, prompts: Sequence[int], addresses: Sequence[str]) -> bool:
        """Run `prompts` once and keep the outputs of the heads, as donors.

        Return whether they are kept: only for one step, and within MAX_KEPT_BYTES.
        """
        if self._steps > 1:
            return False
        for batch in self._batches(prompts):
            with record(self._transformer, addresses) as outputs:
                self._velocity(Trajectory(self._calls, batch, 1), 0)
            taken = sum(output.nbytes for output in outputs.values()) // len(batch)
            if taken * len(prompts) > MAX_KEPT_BYTES:
                return False
            for address, output in outputs.items():
                kept = zip(batch, output.cpu().chunk(len(batch)), strict=True)
                self._kept |= {(prompt, address): written for prompt, written in kept}
        return True

    def _grouped(self, prompts: Sequence[int]) -> list[list[int]]:
        """Return the places of `prompts`, in groups of those that may share a batch."""
        groups: dict[int, list[int]] = {}
        for place, prompt in enumerate(prompts):
            groups.setdefault(self._group[prompt], []).append(place)
        return list(groups.values())

    def _batches(self, prompts: Sequence[int]) -> list[list[int]]:
        """Return `prompts` in batches."""
        size = self._batch_size
        return [
            [prompts[place] for place in group[start : start + size]]
            for group in self._grouped(prompts)
            for start in range(0, len(group), size)
        ]

    def _displace(self, prompts: Sequence[int], edit: Edit | None) -> Latents:
        ours, donors = Trajectory(self._calls, prompts, self._steps), None
        if edit is not None and edit.mean is not None:
            self._remember_means(edit)
        if edit is not None and edit.donors is not None:
            sources = [edit.donors[prompt] for prompt in prompts]
            wanted = itertools.product(sources, edit.addresses)
            if any(output not in self._kept for output in wanted):
                donors = Trajectory(self._calls, sources, self._steps)
        for step in range(self._steps):
            outputs: Mapping[str, Tensor] = {}
            if donors is not None and edit is not None:
                with record(self._transformer, edit.addresses) as outputs:
                    donors.advance(step, self._velocity(donors, step))
            here = edit if edit is not None and (not edit.at or step in edit.at) else None
            ours.advance(step, self._velocity(ours, step, here, outputs))
        return (ours.noise.float() - ours.latents.float()).cpu()

    def _velocity(
        self,
        of: Trajectory,
        step: int,
        edit: Edit | None = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Return the velocity at a step, with guidance if there is any.

        The pass without the prompt runs first, so that a recorder around both keeps the outputs of
        the pass with the prompt.
        """
        prompted = self._context(edit, of, step, outputs or {})
        if self._guidance <= 1:
            return self._predict(of, step, prompted)
        without = edit if edit is not None and edit.factor is not None else None
        context = self._context(without, of, step, {})
        unguided = self._predict(of, step, context, unprompted=True)
        return unguided + self._guidance * (self._predict(of, step, prompted) - unguided)

    def _predict(
        self,
        of: Trajectory,
        step: int,
        context: AbstractContextManager[Editing | None],
        *,
        unprompted: bool = False,
    ) -> Latents:
        timestep = of.scheduler.timesteps[step]
        call = self._calls.call(of.prompts, of.latents, timestep, unprompted=unprompted)
        self.passes += len(of.prompts)
        with context as editing:
            output = run(self._transformer, call, *([] if editing is None else [editing]))
        return self._calls.velocity(output, of.latents)

    def _context(
        self, edit: Edit | None, of: Trajectory, step: int, outputs: Mapping[str, Tensor]
    ) -> AbstractContextManager[Editing | None]:
        if edit is None:
            return nullcontext()
        if edit.factor is not None:
            return scale(self._transformer, edit.addresses, edit.factor, edit.tokens)
        if edit.shift is not None:
            added = edit.shift.rows(edit.addresses, of.prompts)
            return add(self._transformer, edit.addresses, added)
        if edit.mean is not None:
            means = {a: self._means[step, a, edit.mean] for a in edit.addresses}
            outputs = {  # one row serves all, but where tokens are folded into rows
                address: mean if len(mean) == 1 else mean.repeat(len(of.prompts), 1, 1)
                for address, mean in means.items()
            }
        elif not outputs:
            assert edit.donors is not None
            sources = [edit.donors[prompt] for prompt in of.prompts]
            outputs = {
                address: torch.cat([self._kept[source, address] for source in sources])
                for address in edit.addresses
            }
        return patch(self._transformer, edit.addresses, outputs, edit.tokens)

    def _remember_means(self, edit: Edit) -> None:
        """Keep mean outputs of the heads over `edit.mean`, at every step of intact renderings."""
        prompts = edit.mean
        assert prompts is not None
        missing = [a for a in edit.addresses if (0, a, prompts) not in self._means]
        if not missing:
            return
        sums: dict[tuple[int, str], Tensor] = {}
        for batch in self._batches(prompts):
            of = Trajectory(self._calls, batch, self._steps)
            for step in range(self._steps):
                with record(self._transformer, missing) as outputs:
                    of.advance(step, self._velocity(of, step))
                for address, output in outputs.items():
                    total = torch.stack(output.float().chunk(len(batch))).sum(0)
                    sums[step, address] = sums.get((step, address), 0) + total
        for (step, address), total in sums.items():
            self._means[step, address, prompts] = total / len(prompts)
