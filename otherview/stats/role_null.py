"""The null of the role test: resampled items added to relabelled wordings."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.multisets import multisets, orders
from otherview.stats.paired import NEAR_TIE
from otherview.stats.wordings import (
    MAX_RELABELLINGS,
    WordingDesign,
    all_contrasts,
    drawn_contrasts,
    observed_error,
    own_labels,
    relabelled,
)

DRAWS = 20_000
"""Randomisations that "auto" draws: a p of .05 has a standard error of .0015."""
ROWS = 256
UNITS = 1008
"""Randomisations and units worked on at a time; 1 MB per array."""
LEAST_PILOT, PILOT = 500, 2048
"""Randomisations from which the width of each unit's null is read: a quarter of all, within these
limits."""
WIDTH_TAIL = 0.05
"""Share of them beyond the width, besides the data's own labels."""
WIDE = 1.25
"""A null wider than this times the typical one is wide."""
BINS_FROM, BINS_TO = (int(np.float32(edge).view(np.int32)) >> 20 for edge in (2.0**-4, 2.0**20))
"""Bins of t² for that, 8 per octave."""
NEAR_SQUARE = 1e-5
"""Share by which t² may differ and tie: above the rounding of 32-bit sums."""
FAR_SQUARE = 1e6
"""t² above this tie: a unit without variance has an infinite one."""


@dataclass(frozen=True)
class RoleUnits:
    """Units, ready to be randomised; each scaled so that its largest number is about 1."""

    difference: Float[np.ndarray, " units"]
    """In the caller's scale, as the next two."""
    error_items: Float[np.ndarray, " units"]
    """Squared standard error over items."""
    error_wordings: Float[np.ndarray, " units"]
    """Squared standard error over wordings."""
    t: Float[np.ndarray, " units"]
    deviations: Float[np.ndarray, "items units"]
    """Items' differences around their mean, 32-bit."""
    means: Float[np.ndarray, "wordings units"]
    """Wordings around their frame's mean, with as much of the roles' difference as wordings
    explain, 32-bit."""
    cutoff: Float[np.ndarray, " units"]
    """t² that a randomisation must reach to count, 32-bit; -1 where t is NaN, which all reach."""
    sign: Float[np.ndarray, " units"]
    """Of t, 1 where that is 0 or NaN, 32-bit."""
    width: Float[np.ndarray, " units"]
    """Of the unit's own null, over 1.25 times that of the typical unit; 1 or more."""

    @property
    def scale(self) -> Float[np.ndarray, " units"]:
        """Of t², 32-bit."""
        return np.asarray(1 / self.width**2, dtype=np.float32)

    @property
    def scaled_cutoff(self) -> Float[np.ndarray, " units"]:
        """What scaled t² must reach, 32-bit."""
        return np.asarray(self.cutoff * self.scale)


class Reached(NamedTuple):
    """Randomisations in which t is at least as far from zero as it was."""

    same: Int[np.ndarray, " units"]
    """With the unit's own sign."""
    other: Int[np.ndarray, " units"]
    rising: Float[np.ndarray, "rows groups"]
    """Largest signed scaled t² of a group of units, one row per randomisation with other labels
    than the data's own."""
    falling: Float[np.ndarray, "rows groups"]
    """The same of -t."""
    weights: Int[np.ndarray, " rows"]
    """How often each of these counts."""
    own: int
    """Randomisations with the data's own labels: any |t| counts as reached."""
    mirrored: int
    """Those with the roles exchanged: the same, with the other sign."""


def role_units(
    differences: Float[np.ndarray, "items units"],
    means: Float[np.ndarray, "wordings units"],
    design: WordingDesign,
) -> RoleUnits:
    """Difference, its two errors and t of each unit, and what randomisations are made of.

    `differences` are the items' differences of roles and `means` the wordings' means over items;
    all are at most about 1. No items: wordings alone are randomised.

    t = D / √(error_items + error_wordings), the root of min F' (Clark 1973) with Welch's error
    over wordings. Relabelled wordings keep the share √(error_wordings / both) of D: all of it
    where items respond alike to the role, which makes the test the relabelling test of wordings,
    and none where wordings of one role do not differ. In between, relabelled wordings have the
    variance that wordings alone have.
    """
    items = len(differences)
    difference = (design.contrast / design.information) @ means
    difference[np.abs(difference) <= NEAR_TIE] = 0.0
    deviations = differences - differences.mean(axis=0) if items else differences.copy()
    if items:
        deviations[:, np.abs(deviations).max(axis=0) <= NEAR_TIE] = 0.0
    error_items = (deviations**2).sum(axis=0) / max(1, items * (items - 1))
    error_wordings = observed_error(means, design, NEAR_TIE)
    error = error_items + error_wordings
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(error)
        kept = np.sqrt(np.where(error > 0, error_wordings / error, 1.0))
    centred = design.centred(means) - design.contrast[:, None] * ((1 - kept) * difference)
    centred[:, np.abs(centred).max(axis=0) <= NEAR_TIE] = 0.0
    largest = np.maximum(np.abs(centred).max(axis=0), np.abs(deviations).max(axis=0, initial=0.0))
    exponent = -np.frexp(largest)[1]
    cutoff = np.minimum(t**2 * (1 - NEAR_SQUARE), FAR_SQUARE)
    return RoleUnits(
        difference,
        error_items,
        error_wordings,
        t,
        np.ldexp(deviations, exponent).astype(np.float32),
        np.ldexp(centred, exponent).astype(np.float32),
        np.where(np.isnan(t), -1.0, cutoff).astype(np.float32),
        np.where(t < 0, -1.0, 1.0).astype(np.float32),
        np.ones_like(t),
    )


@dataclass(frozen=True)
class Randomisations:
    """Which randomisations are taken, row by row: labels of wordings, and items drawn.

    items - 1 items are drawn with replacement: the mean of so many varies as the mean of all
    items does (Rao & Wu 1988).
    """

    design: WordingDesign
    items: int
    rows: int
    exact: bool
    seed: tuple[int, int]
    """Seed and stream."""
    listed: Float[np.ndarray, "contrasts wordings"] | None
    """Every relabelling, taken in turn; None where they are drawn."""
    multisets: Int[np.ndarray, "multisets items"] | None
    """How often each item is drawn, every possibility; None where items are drawn at random."""

    @property
    def blocks(self) -> int:
        return -(-self.rows // ROWS)

    @property
    def drawn_items(self) -> int:
        return max(1, self.items - 1)

    @property
    def number(self) -> int:
        """Randomisations, each as likely as the next."""
        if self.multisets is None:
            return self.rows
        return self.design.contrasts * int(self.items ** max(0, self.items - 1))

    def block(
        self, index: int
    ) -> tuple[
        Float[np.ndarray, "r wordings"], Float[np.ndarray, "r items"], Int[np.ndarray, " r"]
    ]:
        """Labels, times each item is drawn, and weights of the rows of one block."""
        rows = np.arange(index * ROWS, min(self.rows, (index + 1) * ROWS))
        draws = np.random.default_rng([*self.seed, index])
        if self.listed is not None:
            contrasts = self.listed[rows % len(self.listed)]
        else:
            contrasts = drawn_contrasts(self.design, len(rows), draws)
        weights = np.ones(len(rows), np.int32)
        if self.multisets is None:
            even = np.full(self.items, 1 / max(1, self.items))
            times = np.zeros((len(rows), 0), np.int64)
            if self.items:
                times = draws.multinomial(self.drawn_items, even, size=len(rows))
        else:
            assert self.listed is not None
            times = self.multisets[rows // len(self.listed)]
            weights *= orders(times)
        return contrasts.astype(np.float32), times.astype(np.float32), weights


def randomisations(
    design: WordingDesign, items: int, flips: str | int, seed: int, stream: int = 0
) -> Randomisations:
    """All relabellings with all draws of items where they are at most 50,000, else random ones.

    As many as `flips` says, or `DRAWS`. Where that is as many as there are relabellings or more,
    each of these is taken equally often, and only the items are random.
    """
    listable = design.contrasts <= MAX_RELABELLINGS
    draws = math.comb(2 * items - 2, items - 1) if items else 1
    if design.contrasts * draws <= MAX_RELABELLINGS:
        every = multisets(items, items - 1) if items else np.zeros((1, 0), np.int64)
        listed = all_contrasts(design)
        return Randomisations(
            design, items, len(listed) * draws, True, (seed, stream), listed, every
        )
    wanted = DRAWS if isinstance(flips, str) else int(flips)
    if listable and design.contrasts <= wanted:
        listed = all_contrasts(design)
        rows = -(-wanted // len(listed)) * len(listed)
        return Randomisations(design, items, rows, False, (seed, stream), listed, None)
    return Randomisations(design, items, wanted, False, (seed, stream), None, None)


def with_width(units: RoleUnits, plan: Randomisations, running: Running) -> RoleUnits:
    """`units` with how much wider the null of each is than 1.25 times that of the typical unit.

    A unit in which one item is far from all others has a very wide null of t (a draw without that
    item has nearly no variance), and the largest t over units would be that unit's whatever the
    others show. So what 5% of the randomisations of a unit exceed (besides as many as have the
    data's own labels, so that an effect is not its own width) is compared with its median over
    units; where it is more than 1.25 times that, the unit's t is divided by the excess before the
    largest is taken. Taken to 1 instead, skewed effects of 8 items were called at 5 to 7%. The
    same under every relabelling; rounded up to one of 16 steps per octave of t.
    """
    if len(units.t) == 1:
        return units
    from otherview.stats.role_kernel import bins_within, tally_bins

    def tally(index: int) -> Int[np.ndarray, "units bins"]:
        counts = np.zeros((len(units.t), BINS_TO - BINS_FROM + 1), np.int64)
        labels, weights, parts = randomised(tried, plan, index)
        for part, squares, _, _ in parts:
            tally_bins(squares.view(np.int32), weights[labels == 0], BINS_FROM, counts[part])
        own = int(weights[labels != 0].sum())
        seen = (np.maximum(units.cutoff, 0) * tried.scale).view(np.int32)
        tally_bins(seen[None], np.array([own], np.int32), BINS_FROM, counts)
        return counts

    tried = replace(units, width=np.full_like(units.t, 1 - NEAR_SQUARE))
    counts = np.zeros((len(units.t), BINS_TO - BINS_FROM + 1), np.int64)
    for part in run_chunks(tally, plan.blocks, Running(running.threads)):
        counts += part
    tail = (WIDTH_TAIL + plan.design.smallest_p) * (1 + 1e-12)
    within = np.empty(len(units.t), np.int64)
    bins_within(counts, tail * counts[0].sum(), within)
    exceeded = np.sqrt(((BINS_FROM + within) << 20).astype(np.int32).view(np.float32))
    width = exceeded.astype(np.float64) / (WIDE * np.median(exceeded))
    return replace(units, width=np.maximum(1.0, width))


def reach(units: RoleUnits, plan: Randomisations, running: Running) -> Reached:
    """Randomise, and count in how many rows each unit, or any unit, is as far from zero."""
    parts = list(run_chunks(partial(reach_in_block, units, plan), plan.blocks, running))
    same, other, rising, falling, weights, own, mirrored = zip(*parts, strict=True)
    return Reached(
        np.sum(same, axis=0),
        np.sum(other, axis=0),
        np.concatenate(rising),
        np.concatenate(falling),
        np.concatenate(weights),
        sum(own),
        sum(mirrored),
    )


def reach_in_block(
    units: RoleUnits, plan: Randomisations, index: int, width: int = UNITS
) -> Reached:
    """`reach` over the rows of one block, units in groups of `width` for the largest t²."""
    labels, weights, parts = randomised(units, plan, index)
    own, mirrored = int(weights[labels > 0].sum()), int(weights[labels < 0].sum())
    same, other, rising, falling = [], [], [], []
    for _, squares, as_same, as_other in parts:
        if width >= squares.shape[1]:
            rising.append(squares.max(axis=1, keepdims=True))
            falling.append(-squares.min(axis=1, keepdims=True))
        else:
            groups = np.arange(0, squares.shape[1], width)
            rising.append(np.maximum.reduceat(squares, groups, axis=1))
            falling.append(-np.minimum.reduceat(squares, groups, axis=1))
        same.append(as_same)
        other.append(as_other)
    return Reached(
        np.concatenate(same).astype(np.int64) + own,
        np.concatenate(other).astype(np.int64) + mirrored,
        np.concatenate(rising, axis=1),
        np.concatenate(falling, axis=1),
        weights[labels == 0],
        own,
        mirrored,
    )


class Part(NamedTuple):
    """Some units in one block of randomisations."""

    units: slice
    squares: Float[np.ndarray, "rows some"]
    """Signed scaled t² under labels that are not the data's own."""
    same: Int[np.ndarray, " some"]
    """Rows that reach the unit's own, with its sign."""
    other: Int[np.ndarray, " some"]


def randomised(
    units: RoleUnits, plan: Randomisations, index: int
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"], Iterator[Part]]:
    """Whose labels the rows of a block are (`own_labels`), their weights, and t² of some units
    at a time under labels that are not the data's own."""
    from otherview.stats.role_kernel import signed_squares

    contrasts, times, weights = plan.block(index)
    labels = own_labels(contrasts, plan.design)
    counted = labels == 0
    contrasts, times, counting = contrasts[counted], times[counted], weights[counted]
    cutoff, scale = units.scaled_cutoff, units.scale

    def parts() -> Iterator[Part]:
        for start in range(0, len(units.t), UNITS):
            part = slice(start, start + UNITS)
            deviations = units.deviations[:, part]
            difference, error, shrunk = relabelled(contrasts, units.means[:, part], plan.design)
            same = np.zeros(difference.shape[1], np.int32)
            other = np.zeros_like(same)
            signed_squares(
                times @ deviations,
                times @ deviations**2,
                difference,
                error,
                shrunk,
                plan.drawn_items,
                scale[part],
                counting,
                cutoff[part],
                units.sign[part],
                same,
                other,
            )
            yield Part(part, difference, same, other)

    return labels, weights, parts()
