"""Predict what edits of heads would do to the output, to first order, from one backward pass.

    with taps(transformer, sites, donors) as reader:
        output = run(transformer, call, reader)
        products = reader.products(output, cotangent)

An edit Δz of the output z of a head moves the prediction v by JΔz, to first order. A tap at the
input of an out-projection multiplies Δz with the gradient of uᵀv, for every edit at once: uᵀJΔz.
Over random u of independent ±1, E(uᵀJΔz)² = ‖JΔz‖² (Hutchinson 1989), so that the squared products
estimate how far each edit moves the prediction.

A tap keeps its input as a tensor saved for backward. So it works under gradient checkpointing,
which frees such tensors and computes them again: each backward pass reaches a tap once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from otherview.models.calls import Calls, TokenLayout
from otherview.models.sites import Site
from otherview.passes.batches import Argument, Done, within_memory
from otherview.passes.predicted_changes import EDITS, READ_GROUPS
from otherview.passes.transformer import Reader, hooked, run
from otherview.study.errors import StudyError

NO_BACKWARD = ("not implemented", "not registered to the Autograd", "does not require grad")
"""What torch says of an operation without a backward pass."""

Products = Float[np.ndarray, "rows heads groups edits"]


class Tap(torch.autograd.Function):
    """Passes activations on; in the backward pass, gives them and their gradient to a reader."""

    @staticmethod
    def forward(
        context: Any, inputs: Tensor, anchor: Tensor, reader: TapReader, index: int
    ) -> Tensor:
        """Return `inputs`; `anchor` makes the result need a gradient."""
        site = reader.sites[index]
        context.save_for_backward(inputs[..., : site.heads * site.head_dim].contiguous())
        context.reader, context.index = reader, index
        context.anchor_shape = anchor.shape
        return inputs.view_as(inputs)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        """Read the gradient and pass it on."""
        (gradient,) = gradients
        (written,) = context.saved_tensors
        context.reader.add(context.index, written, gradient)
        anchor = torch.zeros(context.anchor_shape, device=gradient.device)
        return (gradient if context.needs_input_grad[0] else None), anchor, None, None


class TapReader(Reader):
    """Collects the products of edits and gradients at every site; made by `taps`.

    `means` are the mean outputs of all heads of a site by its module, `[positions, channels]`, or
    any others that replace them, by row;
    `donors` is for every row the row whose outputs a patch takes. An edit without them is NaN.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        super().__init__()
        self.sites = list(sites)
        self.anchor = torch.zeros((), requires_grad=True)
        self.means: Mapping[str, Tensor] = {}
        self.donors: Int[np.ndarray, " rows"] | None = None
        self._products: dict[int, Float[Tensor, "rows heads groups edits"]] = {}

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call."""
        super().expect(layout, device)
        self.anchor = torch.zeros((), device=device, requires_grad=True)

    def products(self, output: Tensor, cotangent: Tensor, *, keep_graph: bool = False) -> Products:
        """Return uᵀJΔz of every edit, in float32, for the cotangent u of `output`, which it made.

        NaN where a head sees no tokens of a group, 0 where the output does not depend on a head.
        With `keep_graph`, products with another cotangent can follow. Raises RuntimeError if a
        site ran twice in one pass, StudyError for an operation without a backward pass.
        """
        self._products.clear()
        gradient = cotangent.to(output)
        try:
            torch.autograd.grad(
                output, self.anchor, gradient, retain_graph=keep_graph, allow_unused=True
            )
        except RuntimeError as error:
            told = any(text in str(error) for text in NO_BACKWARD)
            if not (told or isinstance(error, NotImplementedError)):
                raise
            raise StudyError(
                f"attribution needs gradients, which this transformer does not have: {error}"
            ) from error
        rows = len(next(iter(self._masks.values())))
        found = []
        for index, site in enumerate(self.sites):
            shape = (rows, site.heads, len(READ_GROUPS), len(EDITS))
            one = self._products.get(index)
            made = np.zeros(shape, np.float32) if one is None else one.cpu().numpy()
            unseen = [group not in (*site.token_groups, "all") for group in READ_GROUPS]
            made[:, :, unseen] = np.nan
            if self.donors is None:
                made[..., EDITS.index("patch")] = np.nan
            if site.module not in self.means:
                made[..., EDITS.index("mean")] = np.nan
            found.append(made)
        self._products.clear()
        return np.concatenate(found, axis=1)

    def tap(self, index: int, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put a tap on the input of site `index`; its forward pre-hook."""
        self.masks(self.sites[index], inputs[0])  # there must be some
        put: Any = Tap.apply
        anchor = self.anchor.to(inputs[0].device)
        return (put(inputs[0], anchor, self, index), *inputs[1:])

    def add(self, index: int, written: Tensor, gradient: Tensor) -> None:
        """Take the outputs of the heads of site `index` and the gradient of its input."""
        site = self.sites[index]
        if index in self._products:
            raise RuntimeError(f"{site.address} ran twice in one pass")
        masks, written = self.by_row(site, written)
        masks = torch.cat([masks, torch.ones_like(masks[:, :1])], 1)  # READ_GROUPS
        slope = gradient[..., : written.shape[-1]].reshape(written.shape)
        shape = len(masks), site.heads, len(READ_GROUPS), len(EDITS)
        found = torch.zeros(shape, device=written.device)
        own, slope = written.float(), slope.float()
        for place, edit in enumerate(EDITS):
            # few large tensors at a time: at one megapixel each is 0.2 GiB for a pair of prompts
            if edit == "zero":
                change = own.neg()
            elif edit == "mean" and site.module in self.means:
                change = self.means[site.module].to(own) - own
            elif edit == "patch" and self.donors is not None:
                change = own[torch.from_numpy(self.donors).to(own.device)].sub_(own)
            else:
                continue
            by_head = change.mul_(slope).reshape(*own.shape[:2], site.heads, -1).sum(3)
            found[..., place] = torch.bmm(masks, by_head).transpose(1, 2)
        self._products[index] = found


@contextmanager
def taps(
    transformer: nn.Module, sites: Sequence[Site], tapped: Sequence[Site] | None = None
) -> Iterator[TapReader]:
    """Tap every site of `transformer`, whose parameters need no gradient while this lasts.

    With `tapped`, tap only these of its `sites`. The graph of a pass starts at the first taps.
    Raises StudyError as `check_sites` does.
    """
    reader = TapReader(sites if tapped is None else tapped)
    hooks = {site.module: partial(reader.tap, index) for index, site in enumerate(reader.sites)}
    learned = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    with hooked(transformer, sites, hooks), torch.enable_grad():
        try:
            for parameter in learned:
                parameter.requires_grad_(False)
            yield reader
        finally:
            for parameter in learned:
                parameter.requires_grad_(True)


@torch.no_grad()
def mean_outputs(
    calls: Calls, prompts: Sequence[int], size: int
) -> dict[str, Float[Tensor, "positions channels"]]:
    """Return by module what the heads of every site write, averaged over prompts of one length.

    Passes are in batches of `size`, sums in float32, and means in the precision of the activations.
    Raises StudyError as `check_sites` does.
    """
    sums: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}

    def add(site: Site, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        written = inputs[0][..., : site.heads * site.head_dim]
        by_row = written.reshape(len(batch), -1, written.shape[-1])
        total = by_row.sum(0, dtype=torch.float32)
        known = sums.get(site.module)
        sums[site.module] = total if known is None else known.add_(total)
        dtypes[site.module] = written.dtype

    hooks = {site.module: partial(add, site) for site in calls.sites}
    with hooked(calls.transformer, calls.sites, hooks):
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            run(calls.transformer, calls.first(batch))
    return {module: (total / len(prompts)).to(dtypes[module]) for module, total in sums.items()}


class BackwardMemory:
    """Remembers whether blocks of `transformer` must keep only their inputs for backward."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer
        self._saves = not getattr(transformer, "_supports_gradient_checkpointing", False)

    def run(self, run: Callable[[Argument], Done], argument: Argument) -> Done:
        """Return `run(argument)`; where memory runs out, again with gradient checkpointing.

        All later ones then start with it. Raises the device's error where that is not enough.
        """
        can_save = bool(getattr(self._transformer, "_supports_gradient_checkpointing", False))
        if not self._saves:
            done = within_memory(run, argument)
            if done is not None:
                return done
            self._saves = True
        with checkpointing(self._transformer) if can_save else nullcontext():
            return run(argument)


@contextmanager
def checkpointing(transformer: Any) -> Iterator[None]:
    """Have the blocks of a transformer of diffusers keep only their inputs for backward."""
    before = transformer.is_gradient_checkpointing
    transformer.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            transformer.disable_gradient_checkpointing()
