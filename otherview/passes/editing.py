"""Change the outputs of attention heads while a transformer runs.

    with ablate(transformer, ["single.1.2"]) as editing, capture(transformer, sites) as recorder:
        run(transformer, call, editing, recorder)

Heads are edited where `otherview.passes.capture` reads them: at the input of their out-projection.
Contexts act in the order in which they are entered. So a `capture` inside an intervention records
the input of the out-projection; one outside of it records the outputs of the heads. (In both cases,
later blocks see the edited activations.)

Every context refuses a compiled transformer, names the nearest head for an unknown address, and
always removes its hooks.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from otherview.models.sites import Site, Unit, heads, sites_of
from otherview.passes.transformer import Reader, hooked
from otherview.study import TOKEN_GROUPS
from otherview.study.errors import StudyError

Outputs = Mapping[str, Float[Tensor, "rows tokens width"]]
"""Outputs of heads, by address; models that fold tokens into rows have more of these per prompt."""

Change = Callable[[str, Float[Tensor, "rows tokens width"]], Float[Tensor, "rows tokens width"]]
"""Maps the address and the output of a head to its new output."""


class Editing(Reader):
    """The handle of an edit, which needs the layout of a call if it is restricted to tokens."""

    def __init__(self, tokens: Sequence[str] | None) -> None:
        super().__init__()
        self._groups = tokens

    def edited(self, site: Site, inputs: Tensor) -> Bool[Tensor, "rows positions 1"] | None:
        """Return which positions of `inputs` are edited; None for all. Raises as `by_row` does."""
        if self._groups is None:
            return None
        groups = [TOKEN_GROUPS.index(group) for group in self._groups]
        masks, _ = self.by_row(site, inputs)
        return masks[:, groups].any(1).reshape(*inputs.shape[:-1], 1)


def ablate(
    transformer: Any, addresses: Sequence[str], tokens: Sequence[str] | None = None
) -> AbstractContextManager[Editing]:
    """Write zeros in place of the outputs of heads.

    `tokens` restricts it to some of text, pad, target and reference. Raises StudyError for an
    unknown head.
    """
    return scale(transformer, addresses, 0.0, tokens)


def scale(
    transformer: Any,
    addresses: Sequence[str],
    factor: float,
    tokens: Sequence[str] | None = None,
) -> AbstractContextManager[Editing]:
    """Multiply the outputs of heads by `factor`; 1 changes no bit."""

    def change(_: str, written: Tensor) -> Tensor:
        return written * factor if factor else torch.zeros_like(written)

    return edit(transformer, addresses, change, tokens)


def patch(
    transformer: Any,
    addresses: Sequence[str],
    outputs: Outputs,
    tokens: Sequence[str] | None = None,
) -> AbstractContextManager[Editing]:
    """Replace the outputs of heads by `outputs` of another pass, from `record`.

    Row i takes row i of `outputs`; a single row is used for all. Raises ValueError if `outputs`
    lack a head or have another shape.
    """
    missing = [address for address in addresses if address not in outputs]
    if missing:
        raise ValueError(f"there are no outputs of {', '.join(missing)}")

    def change(address: str, written: Tensor) -> Tensor:
        given = outputs[address]
        if given.shape[1:] != written.shape[1:] or len(given) not in (1, len(written)):
            raise ValueError(
                f"outputs of {address} have the shape {tuple(given.shape)}, "
                f"the head writes {tuple(written.shape)}"
            )
        return given.to(written).expand_as(written)

    return edit(transformer, addresses, change, tokens)


@contextmanager
def add(
    transformer: Any,
    addresses: Sequence[str],
    vectors: Mapping[str, Float[Tensor, "rows groups width"]],
) -> Iterator[Editing]:
    """Add vectors to the outputs of heads: one per row and token group, at all tokens of the group.

    Groups are TOKEN_GROUPS. Sums are in float32. Raises StudyError for an unknown head.
    """
    editing = Editing(None)

    def act(inputs: Tensor, units: Sequence[Unit]) -> Tensor:
        changed, (masks, _) = inputs.clone(), editing.by_row(units[0].site, inputs)
        for unit in units:
            given = vectors[unit.address].to(inputs.device, torch.float32)
            written = inputs[..., unit.start : unit.stop]
            moved = torch.bmm(masks.transpose(1, 2), given).reshape(written.shape)
            changed[..., unit.start : unit.stop] = (written.float() + moved).to(inputs)
        return changed

    with head_hooks(transformer, addresses, None, act):
        yield editing


@contextmanager
def record(
    transformer: Any, addresses: Sequence[str]
) -> Iterator[dict[str, Float[Tensor, "rows tokens width"]]]:
    """Yield the outputs of heads in the last call, by address, on the device."""
    written: dict[str, Tensor] = {}

    def keep(inputs: Tensor, units: Sequence[Unit]) -> None:
        for unit in units:
            written[unit.address] = inputs[..., unit.start : unit.stop].clone()

    with head_hooks(transformer, addresses, None, keep):
        yield written


def head_units(sites: Sequence[Site], addresses: Sequence[str]) -> list[Unit]:
    """Return the heads with these addresses.

    Raises StudyError for an unknown address, with the nearest known one, and for one that is given
    twice.
    """
    known = {unit.address: unit for unit in heads(sites)}
    for place, address in enumerate(addresses):
        if address not in known:
            near = difflib.get_close_matches(address, known, n=1, cutoff=0.0)[0]
            raise StudyError(
                f"no head has the address {address!r}; the nearest is {near}; heads are "
                f"{head_ranges(sites)}"
            )
        if address in addresses[:place]:
            raise StudyError(f"the head {address} is given twice")
    return [known[address] for address in addresses]


def sees_tokens(unit: Unit, tokens: Sequence[str] | None) -> bool:
    """Return whether the site of a unit sees any of the token groups; None means all."""
    return tokens is None or any(group in unit.site.token_groups for group in tokens)


def check_tokens(units: Sequence[Unit], tokens: Sequence[str] | None) -> None:
    """Raise StudyError for an unknown token group, and for a unit that sees none of them."""
    unknown = [group for group in tokens or () if group not in TOKEN_GROUPS]
    if unknown:
        raise StudyError(f"no token group is called {unknown[0]}: {', '.join(TOKEN_GROUPS)}")
    for unit in units:
        if not sees_tokens(unit, tokens):
            raise StudyError(
                f"{unit.address} sees {' and '.join(unit.site.token_groups)} tokens, not "
                f"{' or '.join(tokens or ())}"
            )


@contextmanager
def edit(
    transformer: Any,
    addresses: Sequence[str],
    change: Change,
    tokens: Sequence[str] | None = None,
) -> Iterator[Editing]:
    """Replace the outputs of heads by `change(address, written)`; for ablate, scale and patch."""
    editing = Editing(tokens)

    def act(inputs: Tensor, units: Sequence[Unit]) -> Tensor:
        changed = inputs.clone()
        edited = editing.edited(units[0].site, inputs)
        for unit in units:
            written = inputs[..., unit.start : unit.stop]
            new = change(unit.address, written)
            new = new if edited is None else torch.where(edited, new, written)
            changed[..., unit.start : unit.stop] = new
        return changed

    with head_hooks(transformer, addresses, tokens, act):
        yield editing


@contextmanager
def head_hooks(
    transformer: Any,
    addresses: Sequence[str],
    tokens: Sequence[str] | None,
    act: Callable[[Tensor, Sequence[Unit]], Tensor | None],
) -> Iterator[None]:
    """Call `act` with the input of every out-projection that reads one of the heads.

    What it returns replaces the input; None keeps the input. Raises StudyError as
    `check_sites`, `head_units` and `check_tokens` do.
    """
    sites = sites_of(transformer)
    units = head_units(sites, addresses)
    check_tokens(units, tokens)
    by_module: dict[str, list[Unit]] = {}
    for unit in units:
        by_module.setdefault(unit.site.module, []).append(unit)

    def hook(there: Sequence[Unit], _: nn.Module, inputs: tuple[Any, ...]) -> Any:
        changed = act(inputs[0], there)
        return None if changed is None else (changed, *inputs[1:])

    hooks = {module: partial(hook, there) for module, there in by_module.items()}
    with hooked(transformer, sites, hooks):
        yield


def head_ranges(sites: Sequence[Site]) -> str:
    """Return joint.0-4.image.0-23, joint.0-4.text.0-23 and single.0-19.0-23.

    The last head is that of the block that has most.
    """
    ranges = []
    for kind, stream in dict.fromkeys((site.block_kind, site.stream) for site in sites):
        there = [site for site in sites if (site.block_kind, site.stream) == (kind, stream)]
        first, last = min(site.block for site in there), max(site.block for site in there)
        blocks = there[0].address.replace(f".{there[0].block}", f".{first}-{last}", 1)
        ranges.append(f"{blocks}.0-{max(site.heads for site in there) - 1}")
    return " and ".join([", ".join(ranges[:-1]), ranges[-1]] if len(ranges) > 1 else ranges)
