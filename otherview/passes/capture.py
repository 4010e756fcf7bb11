"""Read the input of every attention out-projection while a transformer runs.

    with capture(transformer, hook_sites(transformer.config)) as recorder:
        run(transformer, call, recorder)
        energy = recorder.take()

A hook keeps the sum of squares of every slice of channels and every token group, summed on the
device in float32 without a copy of the activation: over tokens first on a GPU, over channels first
on a CPU, since each would take ten times as long the other way. The responses of heads, of slices
and over all tokens are exact functions of that array (otherview.passes.responses). With `means`, it
also keeps the mean of what every head writes over the tokens of a group, a vector.

Hooks registered after torch.compile are silently ignored, and different hooks per block would need
one compilation per block. So `compiled_capture` registers its hooks first, uses the same function
for all, and lets each write into buffers of its module, which a compiled block takes as inputs like
its weights. One graph serves all blocks of a kind, without a graph break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from otherview.models.calls import TokenLayout
from otherview.models.sites import Site
from otherview.passes.transformer import Reader, hooked
from otherview.study import TOKEN_GROUPS
from otherview.study.errors import StudyError

BUFFERS = ("otherview_sums", "otherview_calls", "otherview_masks")
WIDTH = "otherview_width"
Chunks = tuple[int, int]
"""How many chunks of how many positions."""
CHUNK = 256
"""Positions that are summed at once. From 1,024 on, torch splits sums on a GPU and takes memory."""
RAN_TWICE = (
    "guidance above 1 or more than one step mixes responses; take() after every transformer call"
)


class NonFiniteActivationError(FloatingPointError):
    """An activation holds NaN or infinity, in `row` of the batch at `site`."""

    def __init__(self, row: int, site: Site) -> None:
        super().__init__(f"activation of {site.module} ({site.address}) is not finite")
        self.row = row
        self.site = site


class Recorder(Reader):
    """Collects the sums of squares of one transformer call; made by `capture`."""

    def __init__(self, sites: Sequence[Site], *, means: bool = False) -> None:
        """With `means`, the mean vectors of heads are kept as well."""
        super().__init__()
        self._sites, self._keeps_means = list(sites), means
        self._vectors: dict[int, Float[Tensor, "rows groups channels"]] = {}
        self._energies: dict[int, Float[Tensor, "rows groups slices"]] = {}
        self._chunks: dict[str, tuple[list[Chunks], Float[Tensor, "rows groups chunks"]]] = {}

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call, and forget the last one."""
        super().expect(layout, device)
        self._energies.clear()
        self._vectors.clear()
        for sequence in layout.masks:
            runs, groups = layout.runs(sequence)
            chunks, counts = chunked(runs)
            of_chunks = torch.from_numpy(groups.repeat(counts, axis=2))
            self._chunks[sequence] = chunks, of_chunks.to(device, torch.float32)

    def take(self) -> Float[np.ndarray, "rows slices groups"]:
        """Return the sums of squares of the last call in float32.

        Rows are the batch, slices run over all sites in order, groups are TOKEN_GROUPS: NaN where
        a site does not see such tokens. Sums of sites at a lower resolution (of a UNet) are scaled
        to the number of tokens of the pass, so that one count serves all sites. Raises
        NonFiniteActivationError for NaN or infinity, RuntimeError if a site was not reached.
        """
        missing = [s.address for i, s in enumerate(self._sites) if i not in self._energies]
        if missing:
            raise RuntimeError(f"the transformer call did not reach {', '.join(missing)}")
        by_site = [self._energies[index] for index in range(len(self._sites))]
        measured = torch.cat(by_site, 2).cpu().numpy().transpose(0, 2, 1)
        energy = np.ascontiguousarray(measured)
        self._energies.clear()
        shares = {
            sequence: share
            for sequence in self._layout.masks
            if ((share := self._layout.share(sequence)) != 1).any()
        }
        first = 0
        for site in self._sites:
            part = energy[:, first : first + site.slices]
            finite = np.isfinite(part).all(axis=(1, 2))
            if not finite.all():
                raise NonFiniteActivationError(int(np.argmin(finite)), site)
            if (sequence := self._layout.sequence(site)) in shares:
                part *= shares[sequence][:, None]
            part[..., [group not in site.token_groups for group in TOKEN_GROUPS]] = np.nan
            first += site.slices
        return energy

    def take_means(self) -> Float[np.ndarray, "rows heads groups channels"]:
        """Return the mean vectors of the last call in float32, over the tokens of each group.

        Heads run over all sites in order. NaN where a head does not see a group, where a group has
        no tokens, and beyond the channels of heads that are narrower than others.
        """
        widest = max(site.head_dim for site in self._sites)
        found = []
        for index, site in enumerate(self._sites):
            sums = self._vectors[index].cpu().numpy()
            counts = self._layout.masks[self._layout.sequence(site)].sum(-1)[..., None]
            unseen = [group not in site.token_groups for group in TOKEN_GROUPS]
            means = np.full_like(sums, np.nan)
            np.divide(sums, counts, out=means, where=counts > 0, dtype=np.float32)
            means[:, unseen] = np.nan
            by_head = means.reshape(*sums.shape[:2], site.heads, site.head_dim)
            more = [(0, 0)] * 3 + [(0, widest - site.head_dim)]
            found.append(np.pad(by_head.swapaxes(1, 2), more, constant_values=np.nan))
        self._vectors.clear()
        return np.concatenate(found, axis=1)

    def record(self, index: int, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Reduce the activation of site `index`; its forward pre-hook."""
        site = self._sites[index]
        if index in self._energies:
            raise RuntimeError(f"{site.address} ran twice in one pass: {RAN_TWICE}")
        masks, activation = self.by_row(site, inputs[0])
        chunks, groups = self._chunks[self._layout.sequence(site)]
        groups = groups.to(activation.device)
        if activation.device.type == "cpu":
            self._energies[index] = sums_of_squares(activation, site.slice_width, masks)
        else:
            norms = over_chunks(torch.linalg.vector_norm, activation, chunks)
            by_slice = norms.square_().view(*norms.shape[:2], -1, site.slice_width).sum(3)
            self._energies[index] = torch.bmm(groups, by_slice)
        if self._keeps_means:
            written = activation[..., : site.heads * site.head_dim]
            self._vectors[index] = torch.bmm(groups, over_chunks(torch.sum, written, chunks))


def chunked(runs: Sequence[int]) -> tuple[list[Chunks], list[int]]:
    """Return runs of positions in chunks of CHUNK and what is left, and the chunks of every run."""
    chunks, counts = [], []
    for length in runs:
        whole, rest = divmod(length, CHUNK)
        chunks += [(count, size) for count, size in ((whole, CHUNK), (1, rest)) if count * size]
        counts.append(whole + (rest > 0))
    return chunks, counts


def over_chunks(
    reduce: Callable[..., Tensor],
    activation: Float[Tensor, "rows positions channels"],
    chunks: Sequence[Chunks],
) -> Float[Tensor, "rows chunks channels"]:
    """Return `reduce` over the positions of every chunk, in float32."""
    parts = torch.split(activation, [count * size for count, size in chunks], dim=1)
    reduced = [
        reduce(part.view(len(part), count, size, -1), dim=2, dtype=torch.float32)
        for part, (count, size) in zip(parts, chunks, strict=True)
    ]
    return torch.cat(reduced, dim=1)


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
def capture(
    transformer: nn.Module, sites: Sequence[Site], *, means: bool = False
) -> Iterator[Recorder]:
    """Hook every site of `transformer` while the context lasts.

    With `means`, the recorder also keeps the mean vectors of heads. Raises StudyError as
    `check_sites` does.
    """
    recorder = Recorder(sites, means=means)
    hooks = {site.module: partial(recorder.record, i) for i, site in enumerate(sites)}
    with hooked(transformer, sites, hooks):
        yield recorder


@contextmanager
def compiled_capture(
    transformer: Any, sites: Sequence[Site], **settings: Any
) -> Iterator[CompiledRecorder]:
    """As `capture`, with the repeated blocks of `transformer` compiled while the context lasts.

    `settings` go to torch.compile, with `fullgraph=True`. A pass may have any number of rows, but
    each new number needs another compilation. Raises StudyError as `capture` does, and for blocks
    that torch cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException

    with hooked(transformer, sites, {site.module: add_sums for site in sites}):
        linears = [transformer.get_submodule(site.module) for site in sites]
        try:
            transformer.compile_repeated_blocks(fullgraph=True, **settings)
            yield CompiledRecorder(sites, linears)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise StudyError(
                f"torch cannot compile the blocks of this transformer ({reason}): use "
                "model.compile=false",
                "model.compile",
            ) from error
        finally:
            for module in transformer.modules():
                module._compiled_call_impl = None
            for linear in linears:
                for name in BUFFERS:
                    linear._buffers.pop(name, None)
                    linear._non_persistent_buffers_set.discard(name)
                linear.__dict__.pop(WIDTH, None)


def add_sums(linear: Any, inputs: tuple[Any, ...]) -> None:
    """Add to the buffers of the module of a site, so that a second pass is noticed; its hook."""
    masks, width = linear.otherview_masks, getattr(linear, WIDTH)
    linear.otherview_sums.add_(sums_of_squares(inputs[0], width, masks))
    linear.otherview_calls.add_(1)


class CompiledRecorder(Recorder):
    """As `Recorder`, reading the buffers that compiled hooks fill."""

    def __init__(self, sites: Sequence[Site], linears: Sequence[nn.Module]) -> None:
        super().__init__(sites)
        self._linears = list(linears)

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call and empty the buffers."""
        super().expect(layout, device)
        for site, linear in zip(self._sites, self._linears, strict=True):
            masks = self._masks[self._layout.sequence(site)]
            made = (
                torch.zeros(*masks.shape[:2], site.slices, device=device),
                torch.zeros((), dtype=torch.int64, device=device),
                masks,
            )
            for name, buffer in zip(BUFFERS, made, strict=True):
                linear.register_buffer(name, buffer, persistent=False)
            setattr(linear, WIDTH, site.slice_width)

    def take(self) -> Any:
        """As `Recorder.take`; raises RuntimeError also where a site ran twice."""
        made: list[dict[str, Any]] = [linear._buffers for linear in self._linears]
        calls = torch.stack([buffers[BUFFERS[1]] for buffers in made]).tolist()
        for index, (site, buffers, times) in enumerate(zip(self._sites, made, calls, strict=True)):
            if times > 1:
                raise RuntimeError(f"{site.address} ran {times} times in one pass: {RAN_TWICE}")
            if times:
                self._energies[index] = buffers[BUFFERS[0]]
        return super().take()
