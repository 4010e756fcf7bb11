"""Predict for every prompt of a contrast what editing each head would change.

Rows come in pairs, the same item under a wording of either role, so that each is the donor of the
other's patch. Sites and single heads are also zeroed exactly, to see where first order does not
hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.sites import Site, heads
from otherview.passes.batches import halving_by_group, within_memory
from otherview.passes.editing import scale
from otherview.passes.gradients import BackwardMemory, mean_outputs, taps
from otherview.passes.predicted_changes import EDITS, READ_GROUPS, PredictedChanges
from otherview.passes.toward_points import pairs_of_items, predicted_toward
from otherview.passes.transformer import run
from otherview.study import Attribution, Study
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    from otherview.passes.unfinished import Unfinished

Block = tuple[int, ...]
"""Prompts that run in one batch: a pair, or one prompt whose partner has another length."""


def attribution_of(
    study: Study,
    calls: Calls,
    prompts: PromptSet,
    batch_size: int,
    progress: Progress,
    unfinished: Unfinished | None,
) -> PredictedChanges:
    """Return the predicted changes that `study` asks for, of its own contrast.

    Sites and heads are zeroed exactly as `attribution.check_items` and `check_heads_items` say, and
    patches are predicted for `toward_items`.
    """
    found = attribute(
        calls,
        prompts,
        cotangents=study.attribution.cotangents,
        seed=study.seed,
        batch_size=batch_size,
        progress=progress,
        unfinished=unfinished,
    )
    beyond = BeyondFirstOrder(study.attribution, calls, prompts, batch_size, progress)
    return beyond.with_ways(beyond.checked(found))


@dataclass(frozen=True)
class BeyondFirstOrder:
    """The passes that `asked` wants of a few prompts of the first contrast, to see how far first
    order holds, and what patches do."""

    asked: Attribution
    calls: Calls
    prompts: PromptSet
    batch_size: int
    progress: Progress = silent

    def with_ways(self, found: PredictedChanges) -> PredictedChanges:
        """Return `found` with the ways that patches are predicted to go, for a few items."""
        pairs = pairs_of_items(self.prompts, self.calls.groups(), self.asked.toward_items)
        if not pairs:
            return found
        way = predicted_toward(self.calls, pairs, self.batch_size, self.progress)
        return replace(found, toward=self._by_prompt([p for pair in pairs for p in pair], way))

    def checked(self, found: PredictedChanges) -> PredictedChanges:
        """Return `found` with every site zeroed exactly, and heads of sites where that differs."""
        few = self._few(self.asked.check_items)
        if not few:
            return found
        sites = [[unit.address for unit in heads([site])] for site in found.sites]
        exact = self._zeroed(few, sites, "zeroing sites")
        found = replace(found, exact_site_change=self._by_prompt(few, exact))
        holds, fewer = found.first_order_holds(self.asked.floor), self.asked.check_heads_items
        few = self._few(min(fewer, self.asked.check_items))
        units = heads(found.sites)
        assert holds is not None
        failing = np.repeat(~holds, [site.heads for site in found.sites])
        if not failing.any() or not few:
            return found
        alone = [[unit.address] for unit, fails in zip(units, failing, strict=True) if fails]
        measured = np.full((len(few), len(units)), np.nan, np.float32)
        measured[:, failing] = self._zeroed(few, alone, "zeroing heads")
        return replace(found, exact_head_change=self._by_prompt(few, measured))

    def _few(self, items: int) -> list[int]:
        """Return the first wording of each role, for items evenly spread.

        At most `items` of them; none for 0.
        """
        contrast, every = self.prompts.contrasts[0], len(self.prompts.conditions)
        there = len(self.prompts.items)
        spread = np.linspace(0, there - 1, min(items, there)).round().astype(int)
        first = (contrast.test[0], contrast.control[0])
        return [int(item) * every + condition for item in spread for condition in first]

    @torch.no_grad()
    def _zeroed(
        self, prompts: Sequence[int], sets: Sequence[Sequence[str]], stage: str
    ) -> Float[np.ndarray, "prompts sets"]:
        """Return the change of the prediction, over its norm, with each set of heads zeroed.

        `sets` holds addresses of heads. One pass per prompt and set, and one without an edit.
        Raises StudyError for a compiled transformer.
        """
        calls = self.calls
        groups = [[p for p in group if p in set(prompts)] for group in calls.groups()]
        order = [prompt for group in groups for prompt in group]
        found = np.zeros((len(order), len(sets)), np.float32)

        def predicted(batch: Sequence[int], addresses: Sequence[str]) -> Tensor:
            with scale(calls.transformer, addresses, 0.0):
                output = run(calls.transformer, calls.first(batch))
            return calls.velocity(output, calls.noise(batch)).float().flatten(1)

        def measured(rows: range) -> tuple[range, None]:
            batch = [order[row] for row in rows]
            intact = predicted(batch, [])
            for place, addresses in enumerate(sets):
                moved = (predicted(batch, addresses) - intact).norm(dim=1) / intact.norm(dim=1)
                found[rows.start : rows.stop, place] = moved.cpu().numpy()
            return rows, None

        lengths = [len(group) for group in groups]
        for rows, _ in halving_by_group(lengths, self.batch_size, measured):
            self.progress(stage, rows.stop, len(order))
        return found[[order.index(prompt) for prompt in prompts]]

    def _by_prompt(
        self, few: Sequence[int], values: Float[np.ndarray, "few units"]
    ) -> Float[np.ndarray, "items conditions units"]:
        """Return values of a few prompts by item and condition; NaN elsewhere."""
        own = self.prompts.of(self.prompts.contrasts[0])
        places = self.prompts.places(self.prompts.contrasts[0])
        found = np.full((len(places), values.shape[1]), np.nan, np.float32)
        found[[places.index(prompt) for prompt in few]] = values
        return found.reshape(len(own.items), len(own.conditions), -1)


def attribute(
    calls: Calls,
    prompts: PromptSet,
    *,
    cotangents: int = 8,
    seed: int = 0,
    batch_size: int = 4,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> PredictedChanges:
    """Return the predicted changes for the first contrast of `prompts`, which `calls` has.

    Each prompt takes one pass for the mean outputs, one with gradients, and a backward pass per
    cotangent, which all wordings of an item share. Where memory runs out, blocks keep only their
    inputs (gradient checkpointing); where it still does, batches are halved. Batches are written
    into `unfinished`, and those that it already contains are not run again. Raises StudyError for a
    compiled transformer, and where the attention has no backward pass.
    """
    attributing = Attributing(calls, prompts, cotangents, seed, batch_size)
    memory = BackwardMemory(calls.transformer)
    blocks = attributing.blocks
    keys = [attributing.key(block) for block in blocks]
    lengths = [len(list(alike)) for _, alike in groupby(keys)]
    found: dict[int, Float[np.ndarray, " values"]] = {}

    def attributed(rows: range) -> tuple[range, None]:
        kept = unfinished.get(rows.start) if unfinished else None
        width = len(blocks[rows.start])
        if kept is None:
            changes = memory.run(attributing.attribute, [blocks[row] for row in rows])
            kept = {"changes": changes}
            if unfinished:
                unfinished.put(rows.start, kept)
        rows = range(rows.start, rows.start + len(kept["changes"]) // width)
        done = [prompt for row in rows for prompt in blocks[row]]
        for prompt, values in zip(done, kept["changes"], strict=True):
            found.setdefault(prompt, values)
        return rows, None

    for rows, _ in halving_by_group(lengths, max(1, batch_size // 2), attributed):
        progress("attributing prompts", rows.stop, len(blocks))
    places = prompts.places(prompts.contrasts[0])
    return attributing.result(np.stack([found[place] for place in places]))


class Attributing:
    """The passes of an attribution."""

    def __init__(
        self, calls: Calls, prompts: PromptSet, cotangents: int, seed: int, batch_size: int
    ) -> None:
        self._calls, self._transformer, self._sites = calls, calls.transformer, calls.sites
        self._prompts, self._cotangents, self._seed = prompts, cotangents, seed
        self._batch_size = batch_size
        self._group = {p: n for n, group in enumerate(calls.groups()) for p in group}
        self._own = prompts.places(prompts.contrasts[0])
        self._means: dict[str, Tensor] | None = None
        self.passes = 0
        self.blocks = sorted(self._pairs(), key=self.key)

    def _pairs(self) -> list[Block]:
        """Return the prompts of every item under a wording of either role, paired in order."""
        contrast, every = self._prompts.contrasts[0], len(self._prompts.conditions)
        many = max(len(contrast.test), len(contrast.control))
        pairs = [
            tuple(item * every + side[n % len(side)] for side in (contrast.test, contrast.control))
            for item in range(len(self._prompts.items))
            for n in range(many)
        ]
        blocks: list[Block] = []
        for pair in pairs:
            alike = len({self._group[prompt] for prompt in pair}) == 1
            blocks += [pair] if alike else [(prompt,) for prompt in pair]
        return list(dict.fromkeys(blocks))

    def key(self, block: Block) -> tuple[int, int]:
        """Return what blocks that share a batch have in common."""
        return self._group[block[0]], len(block)

    def attribute(self, blocks: Sequence[Block]) -> Float[np.ndarray, "rows values"]:
        """Return by prompt the squared changes: of heads, groups and edits, then of whole sites."""
        means = self._mean_outputs()
        prompts = [prompt for block in blocks for prompt in block]
        call = self._calls.first(prompts)
        noise, zero = self._calls.noise(prompts), EDITS.index("zero")
        squares: Any = 0.0
        site_squares: Any = 0.0
        with taps(self._transformer, self._sites) as reader:
            reader.means = means
            if len(blocks[0]) == 2:
                reader.donors = np.arange(len(prompts)) ^ 1
            velocity = self._calls.velocity(run(self._transformer, call, reader), noise)
            for number in range(self._cotangents):
                last = number + 1 == self._cotangents
                cotangent = self._cotangent(prompts, velocity.shape[1:], number)
                products = reader.products(velocity, cotangent, keep_graph=not last)
                squares += products.astype(np.float64) ** 2
                whole = products[:, :, READ_GROUPS.index("all"), zero]
                site_squares += by_site(whole, self._sites) ** 2
        self.passes += (1 + 2 * self._cotangents) * len(prompts)
        norm = velocity.detach().float().square().flatten(1).sum(1).cpu().numpy()
        scale = np.sqrt(1 / (self._cotangents * norm.astype(np.float64)))[:, None]
        both = np.concatenate([squares.reshape(len(prompts), -1), site_squares], axis=1)
        return np.asarray(np.sqrt(both) * scale, dtype=np.float32)

    def _cotangent(self, prompts: Sequence[int], shape: Sequence[int], number: int) -> Tensor:
        """Return independent random ±1, the same for all wordings of an item."""
        conditions = len(self._prompts.conditions)
        rows = []
        for prompt in prompts:
            seed = [self._seed, prompt // conditions, number]
            signs = np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8) * 2 - 1
            rows.append(torch.from_numpy(signs.astype(np.float32)))
        return torch.stack(rows)

    def _mean_outputs(self) -> dict[str, Tensor]:
        """Return the mean outputs over all prompts; none if these have several lengths.

        Where a batch runs out of memory, all begin again with half its size.
        """
        own, size = list(dict.fromkeys(self._own)), self._batch_size
        if self._means is None and len({self._group[prompt] for prompt in own}) > 1:
            self._means = {}
        average = partial(mean_outputs, self._calls, own)
        while self._means is None:
            self._means = average(1) if size == 1 else within_memory(average, size)
            self.passes += 0 if self._means is None else len(own)
            size = max(1, size // 2)
        return self._means

    def result(self, values: Float[np.ndarray, "prompts values"]) -> PredictedChanges:
        """Return the values of the contrast's prompts, by item and condition."""
        own = self._prompts.of(self._prompts.contrasts[0])
        shape = len(own.items), len(own.conditions)
        units = len(heads(self._sites))
        split = units * len(READ_GROUPS) * len(EDITS)
        return PredictedChanges(
            own,
            tuple(self._sites),
            values[:, :split].reshape(*shape, units, len(READ_GROUPS), len(EDITS)),
            values[:, split:].reshape(*shape, len(self._sites)),
            self._cotangents,
            self.passes,
        )


def by_site(
    of_heads: Float[np.ndarray, "rows heads"], sites: Sequence[Site]
) -> Float[np.ndarray, "rows sites"]:
    """Return sums over the heads of every site, float64."""
    starts = np.cumsum([0, *(site.heads for site in sites)])[:-1]
    return np.asarray(np.add.reduceat(of_heads.astype(np.float64), starts, axis=1))
