"""Reads the input of every attention out-projection while a transformer runs.

    with capture(transformer, hook_sites(transformer.config)) as recorder:
        run(transformer, call, recorder)
        energy = recorder.take()

A hook keeps the sum of squares of every slice of channels and every token group, summed on the
device in float32 without a copy of the activation. Heads, slices and the group `all` are exact
re-readings of that array (otherview.passes.responses).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from otherview.models.sites import Site
from otherview.models.tokens import TokenLayout
from otherview.passes.transformer import hooked
from otherview.study import TOKEN_GROUPS

RAN_TWICE = (
    "guidance above 1 or more than one step mixes responses; take() after every transformer call"
)


class NonFiniteActivationError(FloatingPointError):
    """An activation holds NaN or infinity; `row` of the batch and `site` say where."""

    def __init__(self, row: int, site: Site) -> None:
        super().__init__(f"activation of {site.module} ({site.address}) is not finite")
        self.row = row
        self.site = site


class Recorder:
    """Collects what the hooks of one transformer call leave; made by `capture`."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = list(sites)
        self._masks: dict[str, Float[Tensor, "rows groups positions"]] = {}
        self._energies: dict[int, Float[Tensor, "rows groups slices"]] = {}

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call. The masks go to the device before it runs, since a
        copy inside of it would make the host wait for the device."""
        streams = {site.stream for site in self._sites}
        self._masks = {
            stream: torch.from_numpy(layout.masks[stream]).to(device, torch.float32)
            for stream in streams
        }
        self._energies.clear()

    def take(self) -> Float[np.ndarray, "rows slices groups"]:
        """Return the sums of squares of the last call in float32.

        Rows are the batch, slices run over all sites in order, groups are TOKEN_GROUPS: NaN where
        a site does not see such tokens. Raises NonFiniteActivationError for NaN or infinity,
        RuntimeError where a site was not reached.
        """
        missing = [s.address for i, s in enumerate(self._sites) if i not in self._energies]
        if missing:
            raise RuntimeError(f"the transformer call did not reach {', '.join(missing)}")
        by_site = [self._energies[index] for index in range(len(self._sites))]
        measured = torch.cat(by_site, 2).cpu().numpy().transpose(0, 2, 1)
        energy = np.ascontiguousarray(measured)
        self._energies.clear()
        first = 0
        for site in self._sites:
            part = energy[:, first : first + site.slices]
            finite = np.isfinite(part).all(axis=(1, 2))
            if not finite.all():
                raise NonFiniteActivationError(int(np.argmin(finite)), site)
            part[..., [group not in site.token_groups for group in TOKEN_GROUPS]] = np.nan
            first += site.slices
        return energy

    def record(self, index: int, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Reduce the activation of site `index`; its forward pre-hook."""
        site, activation = self._sites[index], inputs[0]
        if site.stream not in self._masks:
            raise RuntimeError("announce the tokens of a call with Recorder.expect before it")
        if index in self._energies:
            raise RuntimeError(f"{site.address} ran twice in one pass: {RAN_TWICE}")
        masks = self._masks[site.stream].to(activation.device)
        if masks.shape[2] != activation.shape[1]:
            raise RuntimeError(
                f"{site.address} sees {activation.shape[1]} tokens, {masks.shape[2]} were announced"
            )
        self._energies[index] = sums_of_squares(activation, site.slice_width, masks)


def sums_of_squares(
    activation: Float[Tensor, "rows positions channels"],
    width: int,
    masks: Float[Tensor, "rows groups positions"],
) -> Float[Tensor, "rows groups slices"]:
    """Return the sum of squares of every slice of `width` channels and token group, in float32."""
    by_slice = activation.view(*activation.shape[:2], -1, width)
    norms = torch.linalg.vector_norm(by_slice, dim=3, dtype=torch.float32)
    return torch.bmm(masks, norms.square_())


@contextmanager
def capture(transformer: nn.Module, sites: Sequence[Site]) -> Iterator[Recorder]:
    """Hook every site of `transformer` while the context lasts.

    Raises StudyError as `check_sites` does.
    """
    recorder = Recorder(sites)
    hooks = {site.module: partial(recorder.record, i) for i, site in enumerate(sites)}
    with hooked(transformer, sites, hooks):
        yield recorder
