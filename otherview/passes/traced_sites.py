"""What flows into the out-projections of any transformer, and which tokens they see.

`trace` runs a transformer once. A Linear whose input holds, bit for bit, what an attention has just
returned is an out-projection; that gives its heads and the place of MLP channels without a line
about the family. `check_traced` compares it with what the names of modules say.

`token_groups` runs it with every attention returning its queries, so that tokens do not mix: the
positions of a site that change with the text, with the noise or with the picture are the tokens of
that group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from otherview.models.arguments import Arguments
from otherview.models.calls import Call, TokenLayout
from otherview.models.sites import Site, is_linear
from otherview.passes.transformer import run, watched
from otherview.study.errors import StudyError

RECENT = 3
"""Attentions that one out-projection may join: some blocks run several side by side."""
HASH_SEED = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Traced:
    """An out-projection as it was found by what flows into it."""

    module: str
    heads: int
    head_dim: int
    channels: int
    first_channel: int
    """Channel at which the attention's output starts."""
    gated: bool
    """Whether the input is the attention's output after a gate: as wide, with other values."""


class AttentionMode(TorchFunctionMode):
    """Sees every scaled dot product attention; with `unmixed`, each returns its queries."""

    def __init__(self, unmixed: bool = False) -> None:
        super().__init__()
        self._unmixed = unmixed
        self.outputs: list[Tensor] = []
        """`[rows, heads, tokens, width]` of the last attentions."""
        self.consumed = False
        """Whether the last of them was found in the input of an out-projection."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        query = args[0] if args else kwargs["query"]
        value = args[2] if len(args) > 2 else kwargs["value"]
        if self._unmixed and query.shape[-1] == value.shape[-1]:
            output = query.clone()
        else:
            output = func(*args, **kwargs)
        self.outputs, self.consumed = [*self.outputs[-RECENT + 1 :], output], False
        return output


@torch.no_grad()
def trace(transformer: nn.Module, call: Call, known: Sequence[Site]) -> dict[str, Traced]:
    """Return the out-projections that a pass of `call` reaches, by module.

    A site of `known` whose input is as wide as the attention before
    it, with other values, counts as gated.
    """
    found: dict[str, Traced] = {}
    names = {site.module for site in known}
    reached: set[str] = set()
    mode = AttentionMode()

    def look(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if name in reached or not inputs or not isinstance(inputs[0], Tensor):
            return
        if name in names:
            reached.add(name)
        match = matched(name, inputs[0], mode.outputs, name in names and not mode.consumed)
        if match is not None:
            found.setdefault(name, match)
            mode.consumed |= not match.gated

    linears: list[str] = []
    for name, module in transformer.named_modules():
        inside = bool(linears) and name.startswith(f"{linears[-1]}.")  # of one with an adapter
        if is_linear(module) and not inside:
            linears.append(name)
    with watched(transformer, {name: partial(look, name) for name in linears}), mode:
        run(transformer, call)
    missing = [site for site in known if site.module not in reached]
    if missing:
        raise StudyError(
            f"{missing[0].module} ({missing[0].address}) is an out-projection by its name, but the "
            "transformer did not run it"
        )
    return found


def matched(
    name: str, given: Tensor, outputs: Sequence[Tensor], may_be_gated: bool
) -> Traced | None:
    """Return `given` as the input of an out-projection: each token is one that attention gave."""
    if not outputs or not given.numel():
        return None
    heads, head_dim = outputs[-1].shape[1], outputs[-1].shape[-1]
    width, channels = heads * head_dim, given.shape[-1]
    if channels < width:
        return None
    alike = [o for o in outputs if o.shape[1] * o.shape[-1] == width]
    written = torch.cat([row_hashes(o.transpose(1, 2).reshape(-1, width)) for o in alike])
    rows = given.reshape(-1, channels)
    for first in dict.fromkeys((0, channels - width)):
        part = rows[:, first : first + width].to(outputs[-1].dtype)
        if torch.isin(row_hashes(part), written).all():
            return Traced(name, heads, head_dim, channels, first, gated=False)
    if may_be_gated and channels == width:
        return Traced(name, heads, head_dim, channels, 0, gated=True)
    return None


def row_hashes(rows: Tensor) -> Tensor:
    """Return an integer for every row, equal for rows of equal bits."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[rows.element_size()]
    factors = torch.arange(1, 2 * rows.shape[1], 2, dtype=torch.int64) * (HASH_SEED >> 1) | 1
    bits = rows.contiguous().view(whole).to(torch.int64)
    mixed: Tensor = (bits * factors.to(rows.device)).sum(1)
    return mixed


def check_traced(sites: Sequence[Site], traced: Mapping[str, Traced]) -> None:
    """Compare sites by name with those found by what flows.

    Raises StudyError for the first that differs. A named site that no attention's output reaches
    is accepted: linear attention (Sana) is no scaled dot product.
    """
    named = {site.module: site for site in sites}
    for module, found in traced.items():
        site = named.get(module)
        if site is None:
            raise StudyError(
                f"what an attention of {found.heads} heads returns flows into {module}, which is "
                "no known name of an out-projection: its heads would be missed"
            )
        if (site.heads, site.head_dim, 0) != (found.heads, found.head_dim, found.first_channel):
            raise StudyError(
                f"{module} ({site.address}) has {site.heads} heads x {site.head_dim} by its name, "
                f"but its attention returns {found.heads} x {found.head_dim} from channel "
                f"{found.first_channel}"
            )


@torch.no_grad()
def token_groups(
    transformer: nn.Module,
    sites: Sequence[Site],
    base: Arguments,
    varied: Mapping[str, Arguments],
) -> dict[str, dict[str, Bool[np.ndarray, " positions"]]]:
    """Return the positions of every site that belong to each token group, by module and group.

    `varied` has, by group, a call of one row that differs from `base` in that group alone.
    """
    with AttentionMode(unmixed=True):
        plain = site_hashes(transformer, sites, base)
    groups: dict[str, dict[str, Bool[np.ndarray, " positions"]]] = {name: {} for name in plain}
    for group, arguments in varied.items():
        with AttentionMode(unmixed=True):
            other = site_hashes(transformer, sites, arguments)
        for name in plain:
            groups[name][group] = np.asarray((plain[name] != other[name]).numpy())
    return groups


@torch.no_grad()
def equal_sites(
    transformer: nn.Module, sites: Sequence[Site], one: Arguments, other: Arguments
) -> list[Site]:
    """Return the sites whose input is bit for bit the same in two calls of equal shapes."""
    first, second = (site_hashes(transformer, sites, each) for each in (one, other))
    return [site for site in sites if torch.equal(first[site.module], second[site.module])]


def site_hashes(
    transformer: nn.Module, sites: Sequence[Site], arguments: Arguments
) -> dict[str, Int[Tensor, " positions"]]:
    """Return a hash of every position of the input of every site in a pass, by module.

    The activations of all sites together would not fit a small card.
    """
    read: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        rows = inputs[0].reshape(-1, inputs[0].shape[-1])
        read.setdefault(name, row_hashes(rows + 0).cpu())  # -0 and 0 are one value

    with watched(transformer, {site.module: partial(keep, site.module) for site in sites}):
        run(transformer, Call(arguments, TokenLayout({})))
    return read
