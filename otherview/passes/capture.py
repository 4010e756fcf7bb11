"""Reads the input of every attention out-projection while a transformer runs.

    with capture(transformer, hook_sites(transformer.config)) as recorder:
        recorder.expect(layout)
        transformer(...)
        energy = recorder.take()

A hook keeps the sum of squares of every slice of channels and every token group, summed on the
device in float32 without a copy of the activation. Heads, slices and the group `all` are exact
re-readings of that array (otherview.passes.responses).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from otherview.models.sites import Site
from otherview.study import TOKEN_GROUPS
from otherview.study.errors import StudyError


@dataclass(frozen=True)
class TokenLayout:
    """Which positions of a pass belong to which token group.

    The text stream has `text_length` positions, of which the first `text_tokens[row]` hold the
    prompt of a row and the others are pad; the image stream has target, then reference tokens.
    """

    text_tokens: tuple[int, ...]
    text_length: int
    target: int
    reference: int

    def counts(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Tokens of every group, `[rows, token groups]`, groups in the order of TOKEN_GROUPS."""
        rows = [
            (text, self.text_length - text, self.target, self.reference)
            for text in self.text_tokens
        ]
        return np.array(rows, dtype=np.int32)


class NonFiniteActivationError(FloatingPointError):
    """An activation holds NaN or infinity; `row` of the batch and `site` say where."""

    def __init__(self, row: int, site: Site) -> None:
        super().__init__(f"activation of {site.module} ({site.address}) is not finite")
        self.row = row
        self.site = site


class Recorder:
    """Collects what the hooks of one transformer call leave; made by `capture`."""

    def __init__(self, sites: Sequence[Site], device: torch.device) -> None:
        self._sites = list(sites)
        self._device = device
        self._layout: TokenLayout | None = None
        self._text_groups: Tensor | None = None
        self._energies: dict[int, Tensor] = {}

    def expect(self, layout: TokenLayout) -> None:
        """Announces the tokens of the next transformer call."""
        self._layout = layout
        # made here: a copy to the device inside the forward would make the host wait for it
        self._text_groups = text_masks(layout, self._device)
        self._energies.clear()

    def take(self) -> Float[np.ndarray, "rows slices groups"]:
        """Sums of squares of the last call in float32, NaN where a site has no such tokens.

        Rows are the batch, slices run over all sites in order, groups are TOKEN_GROUPS. Raises
        NonFiniteActivationError for NaN or infinity, RuntimeError where a site was not reached.
        """
        reached = [self._energies.get(index) for index in range(len(self._sites))]
        missing = [s.address for s, e in zip(self._sites, reached, strict=True) if e is None]
        if missing:
            raise RuntimeError(f"the transformer call did not reach {', '.join(missing)}")
        measured = torch.cat([e.flatten(1) for e in reached if e is not None], 1).cpu().numpy()
        rows = measured.shape[0]
        slices = sum(site.slices for site in self._sites)
        energy = np.full((rows, slices, len(TOKEN_GROUPS)), np.nan, np.float32)
        column = first = 0
        for site in self._sites:
            values = len(site.token_groups) * site.slices
            part = measured[:, column : column + values].reshape(rows, -1, site.slices)
            finite = np.isfinite(part).all(axis=(1, 2))
            if not finite.all():
                raise NonFiniteActivationError(int(np.argmin(finite)), site)
            for index, group in enumerate(site.token_groups):
                place = TOKEN_GROUPS.index(group)
                energy[:, first : first + site.slices, place] = part[:, index]
            column += values
            first += site.slices
        self._energies.clear()
        return energy

    def record(self, index: int, activation: Tensor) -> None:
        """Reduces the `activation` `[rows, tokens, channels]` of site `index`, for its hook."""
        site, layout = self._sites[index], self._layout
        if layout is None or self._text_groups is None:
            raise RuntimeError("announce the tokens of a call with Recorder.expect before it")
        if index in self._energies:
            raise RuntimeError(
                f"{site.address} ran twice in one pass: guidance above 1 or more than one step "
                "mixes responses; take() after every transformer call"
            )
        text_length, image_length = positions(site, layout)
        if activation.shape[1] != text_length + image_length:
            raise RuntimeError(
                f"{site.address} sees {activation.shape[1]} tokens, "
                f"{text_length + image_length} were announced"
            )
        self._energies[index] = sums_of_squares(
            activation, site.slice_width, text_length, layout.target, self._text_groups
        )


def positions(site: Site, layout: TokenLayout) -> tuple[int, int]:
    """Text and image positions that a site sees."""
    return (
        layout.text_length if "text" in site.token_groups else 0,
        layout.target + layout.reference if "target" in site.token_groups else 0,
    )


def text_masks(layout: TokenLayout, device: torch.device) -> Float[Tensor, "rows 2 positions"]:
    """Which positions are prompt and which pad."""
    lengths = torch.tensor(layout.text_tokens).unsqueeze(1)
    is_text = torch.arange(layout.text_length).unsqueeze(0) < lengths
    return torch.stack([is_text, ~is_text], dim=1).to(device, torch.float32)


def sums_of_squares(
    activation: Float[Tensor, "rows tokens channels"],
    width: int,
    text_length: int,
    target: int,
    masks: Float[Tensor, "rows 2 positions"],
) -> Float[Tensor, "rows groups slices"]:
    """Sum of squares of every slice of `width` channels and every token group, in float32."""
    by_slice = activation.view(*activation.shape[:2], -1, width)
    parts = []
    if text_length:
        per_token = _norm(by_slice[:, :text_length], (3,)).square_()
        parts.append(torch.bmm(masks, per_token))
    if activation.shape[1] > text_length:
        target_end = text_length + target
        spans = by_slice[:, text_length:target_end], by_slice[:, target_end:]
        parts.append(torch.stack([_norm(span, (1, 3)).square() for span in spans], dim=1))
    return torch.cat(parts, dim=1)


def _norm(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values, dim=dims, dtype=torch.float32)
    return norm


@contextmanager
def capture(transformer: nn.Module, sites: Sequence[Site]) -> Iterator[Recorder]:
    """Hooks every site of `transformer` while the context lasts, whatever happens in it.

    Raises StudyError where a site is missing or its Linear has other input channels than the
    config promises, and for a compiled transformer, which would ignore the hooks in silence.
    """
    check_sites(transformer, sites)
    recorder = Recorder(sites, next(transformer.parameters()).device)
    handles = []
    try:
        for index, site in enumerate(sites):

            def hook(_: nn.Module, inputs: tuple[Tensor, ...], index: int = index) -> None:
                recorder.record(index, inputs[0])

            handles.append(transformer.get_submodule(site.module).register_forward_pre_hook(hook))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def check_sites(transformer: nn.Module, sites: Sequence[Site]) -> None:
    """Holds the sites that a config promises against the modules that are there.

    Works on the meta device. Raises StudyError for the first difference, and where the transformer
    has attention out-projections that no site names.
    """
    if isinstance(transformer, torch._dynamo.OptimizedModule) or any(
        module._compiled_call_impl is not None for module in transformer.modules()
    ):
        raise StudyError(
            "the transformer is compiled, and hooks registered after torch.compile are ignored: "
            "probe it before compiling, or let model.compile=true compile it"
        )
    modules = dict(transformer.named_modules())
    for site in sites:
        linear = modules.get(site.module)
        if not isinstance(linear, nn.Linear):
            raise StudyError(f"{site.module} is not a Linear of {type(transformer).__name__}")
        if linear.in_features != site.channels:
            raise StudyError(
                f"{site.module} has {linear.in_features} input channels; the config promises "
                f"{site.heads} heads x {site.head_dim} + {site.mlp_channels} MLP = {site.channels}"
            )
    named = {site.module for site in sites}
    outputs = ("attn.to_out.0", "attn.to_add_out", "attn.to_out")
    unnamed = [
        name
        for name, module in modules.items()
        if name.endswith(outputs) and isinstance(module, nn.Linear) and name not in named
    ]
    if unnamed:
        raise StudyError(f"{unnamed[0]} is an attention out-projection that no hook site names")
