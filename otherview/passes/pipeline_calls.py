"""The calls of any pipeline of diffusers: intercepted, and collated into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.models.any_model import PassInput
from otherview.models.arguments import (
    changed_paths,
    collated,
    noised,
    on_device,
    rows_of,
    signature,
    taken,
    tensors,
    text_paths,
)
from otherview.models.calls import Call, Calls, TokenLayout
from otherview.models.image_latents import Latents
from otherview.models.named_sites import named_sites
from otherview.models.sites import Site
from otherview.models.text_tokens import text_positions
from otherview.passes.call_tokens import CallTokens, Probes, batch_key
from otherview.passes.noised_arguments import Noising, noising
from otherview.passes.steps import OneStep
from otherview.passes.traced_sites import check_traced, equal_sites, trace
from otherview.study import Sampling
from otherview.study.errors import StudyError


class PipelineCalls(Calls):
    """The calls of a study's prompts, as their pipeline makes them at its first step.

    `load` returns the transformer, on the device; it is called when the first pass needs it. Calls
    of any other step, and pictures, are not made. Raises StudyError for prompts whose first
    transformer call has other rows than one, which is guidance.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        passes: Sequence[PassInput],
        probes: Probes,
        device: torch.device | str,
    ) -> None:
        self._load, self._passes, self._probes, self._device = load, passes, probes, device
        self._text = text_paths(passes[0].arguments, probes.other_text)
        self.remarks: list[str] = []
        """What a reader should know, complete once `sites` were found."""
        for each in passes:
            rows = rows_of(each.arguments)
            if rows != 1:
                raise StudyError(
                    f"the pipeline runs its transformer with {rows} rows for one prompt: it has "
                    "guidance on; turn it off with an argument of its call in model.call, such as "
                    "+model.call.guidance_scale=0",
                    "model.call",
                )
        if not self._text:
            raise StudyError(
                "the first transformer call of this pipeline does not depend on the prompt: it is "
                "the pass of guidance without a prompt (turn guidance off in model.call), or the "
                "text is cut off before the prompt begins (use a larger model.text_length or "
                "intervention.text_length)",
                "model.call",
            )

    @cached_property
    def transformer(self) -> Any:
        """The transformer, loaded where it is first used."""
        return self._load()

    @cached_property
    def sites(self) -> list[Site]:
        """Hook sites by name, compared with what flows in a traced pass of the first prompt.

        Raises StudyError for the first difference.
        """
        for group in self.groups():  # before anybody hooks it
            self._tokens.positions(group[0])
        self._remark_on_tokens()
        return self._sites

    @cached_property
    def _tokens(self) -> CallTokens:
        return CallTokens(
            self.transformer, self._sites, self._passes, self._probes, self._text, self._device
        )

    @cached_property
    def _sites(self) -> list[Site]:
        sites = named_sites(self.transformer)
        call = Call(on_device(self._passes[0].arguments, self._device), TokenLayout({}))
        traced = trace(self.transformer, call, sites)
        check_traced(sites, traced)
        gated = [s.address for s in sites if s.module in traced and traced[s.module].gated]
        untraced = [site.address for site in sites if site.module not in traced]
        if gated:
            self.remarks.append(
                f"{len(gated)} of {len(sites)} sites gate their heads before the out-projection "
                f"({ranges(gated)}): what is read is the gated output."
            )
        if untraced:
            self.remarks.append(
                f"{len(untraced)} of {len(sites)} sites are known by name alone "
                f"({ranges(untraced)}): their attention is linear and cannot be traced."
            )
        if self.unreached:
            self.remarks.append(
                f"{len(self.unreached)} of {len(sites)} sites come before any text "
                f"({ranges([site.address for site in self.unreached])}): what a prompt says cannot "
                "reach them. Heads that its length does not move either have no t."
            )
        return sites

    @cached_property
    def unreached(self) -> list[Site]:
        """Sites whose heads no prompt can change: image tokens before they meet the text."""
        base, other = self._passes[0].arguments, self._probes.other_text
        sources, own = tensors(other), tensors(base)
        fitting = {
            path
            for path in changed_paths(base, other) - self._text
            if path in sources and sources[path].shape == own[path].shape
        }
        varied = taken(noised(base, self._text), other, fitting)
        sites = named_sites(self.transformer)
        return equal_sites(
            self.transformer, sites, *(on_device(each, self._device) for each in (base, varied))
        )

    def moment(self, level: float) -> tuple[float | None, float]:
        """Return noise level and timestep of the passes at a level; at 1 as the pipeline begins."""
        start, timestep = self._passes[0].start
        return (start, timestep) if level == 1 else (level, timestep * level)

    @cached_property
    def _noising(self) -> Noising:
        return noising(self._passes[0], self._probes.other_noise, self._probes.other_picture)

    def check_levels(self, sampling: Sampling) -> None:
        """Raise StudyError for levels whose latents do not follow from the intercepted calls."""
        if sampling.needs_picture:
            for each in self._passes:
                self._noising.check(each.arguments)

    def _remark_on_tokens(self) -> None:
        """Say how many tokens belong to no group."""
        layouts = (self.layout(group[:1]) for group in self.groups())
        free = (~mask[0].any(0) for layout in layouts for mask in layout.masks.values())
        if most := max(int(tokens.sum()) for tokens in free):
            self.remarks.append(
                f"Up to {most} tokens of a pass belong to no group: registers, or pads that the "
                "transformer makes itself. They are not counted."
            )

    def groups(self) -> list[list[int]]:
        """Return the prompts in groups of equal shapes, which may share a batch."""
        by_key: dict[Any, list[int]] = {}
        for prompt in range(len(self._passes)):
            key = batch_key(self.transformer, self._passes[prompt].arguments)
            by_key.setdefault(key, []).append(prompt)
        return list(by_key.values())

    def at_level(self, prompts: Sequence[int], level: float) -> Call:
        """Return the call of `prompts` with their reference noised to `level`.

        Raises StudyError if they cannot share a batch.
        """
        calls = [self._passes[prompt].arguments for prompt in prompts]
        if level < 1:
            calls = [self._noising.at(level, arguments) for arguments in calls]
        if any(signature(call) != signature(calls[0]) for call in calls[1:]):
            raise StudyError(
                "this model does not pad its prompts, and prompts of different lengths cannot "
                "share a pass: use model.batch_size=1 or wordings of one length"
            )
        return Call(on_device(collated(calls, self._text), self._device), self.layout(prompts))

    def call(
        self,
        prompts: Sequence[int],
        latents: Latents,
        timestep: Any,
        *,
        unprompted: bool = False,
    ) -> Call:
        """Return the call of `prompts`; latents and timestep are those of the pipeline."""
        del latents, timestep
        assert not unprompted
        return self.first(prompts)

    def layout(self, prompts: Sequence[int]) -> TokenLayout:
        """Return the token groups of the call of `prompts`."""
        return self._tokens.layout(prompts)

    def noise(self, prompts: Sequence[int]) -> Latents:
        """Return zeros: displacements are counted from there."""
        return torch.zeros(len(prompts), 1, 1)

    def scheduler(self, steps: int) -> OneStep:
        """Return a scheduler of one whole step."""
        assert steps == 1
        return OneStep(torch.tensor([self._passes[0].start[1]]))

    def velocity(self, output: Tensor, latents: Latents) -> Latents:
        """Return the whole output, on the host, `[rows, values, 1]`."""
        del latents
        return output.float().cpu().flatten(1)[..., None]

    def pictures(self, latents: Latents) -> Float[np.ndarray, "rows height width 3"]:
        """Raise StudyError: pictures of other models than FLUX.2 Klein are not decoded."""
        del latents
        raise StudyError("pictures of edited heads are drawn for FLUX.2 Klein only")

    def text_means(self) -> Float[Tensor, "prompts channels"]:
        """Return the mean of every prompt's text over its tokens, without pads, float64.

        Where several text encoders feed the transformer, the text with the most values counts.
        """
        means = []
        for each in self._passes:
            texts = [tensors(each.arguments)[path] for path in sorted(self._text)]
            text = max(texts, key=lambda tensor: tensor.numel()).double()
            rows = text.reshape(-1, text.shape[-1])
            is_text = text_positions(len(rows), each.arguments, each.real)
            means.append((rows if is_text is None else rows[torch.from_numpy(is_text)]).mean(0))
        return torch.stack(means)


def ranges(addresses: Sequence[str]) -> str:
    """Return the first and the last of some addresses."""
    return addresses[0] if len(addresses) == 1 else f"{addresses[0]} to {addresses[-1]}"
