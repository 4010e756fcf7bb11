"""The null of the role test: items and scenes drawn again, added to relabelled wordings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.paired import NEAR_TIE
from otherview.stats.role_draws import Randomisations, drawn_of
from otherview.stats.wordings import WordingDesign, observed_error, own_labels, relabelled

UNITS = 1008
"""Units worked on at a time; 1 MB per array."""
LEAST_PILOT, PILOT = 500, 2048
"""Randomisations from which the width of each unit's null is read: a quarter of all, within these
limits."""
WIDTH_TAIL = 0.05
"""Share of them beyond the width, besides the data's own labels."""
WIDE = 1.25
"""A null wider than this times the typical one is wide."""
BINS_FROM, BINS_TO = (int(np.float32(edge).view(np.int32)) >> 20 for edge in (2.0**-4, 2.0**20))
"""Bins of t² for that, 8 per octave."""
FEW, FEW_ITEMS = 4, 20
"""Below so many items or scenes the largest |t| needs a longer null, too; and below so many items
a unit's own |t| does."""
NEAR_SQUARE = 1e-5
"""Share by which t² may differ and tie: above the rounding of 32-bit sums."""
FAR_SQUARE = 1e6
"""t² above this tie: a unit without variance has an infinite one."""


class Stretch(NamedTuple):
    """How many times as far from their mean what is drawn again is put."""

    of_items: float
    of_scenes: float


def stretches(items: int, scenes: int) -> tuple[Stretch, Stretch]:
    """How much longer the null is than deviations say: a unit's own, and that of the largest |t|.

    A few items or scenes that happen to be alike say too little of how much these differ, and more
    so where they differ askew: with exponential effects and the null as long as they say, a single
    unit was called at 11, 9, 7 and 6% (3, 4, 6, 12 of them), and any of 720 at 25% (3). So the
    unit's own p takes a null that is longer by the square of what Student's critical t is over the
    normal one with one degree of freedom less than there are: 4.8, 2.6, 1.7 and 1.3 times. The
    largest |t| over units needs that ratio itself below FEW of them, and nothing above. Of items,
    FEW_ITEMS are enough. 1 where there is no sample.
    """
    ratios = student_ratio(items), student_ratio(scenes)
    of_items = ratios[0] ** 2 if items < FEW_ITEMS else 1.0
    largest = (
        ratio if size < FEW else 1.0 for size, ratio in zip((items, scenes), ratios, strict=True)
    )
    return Stretch(of_items, ratios[1] ** 2), Stretch(*largest)


def student_ratio(sample: int) -> float:
    """Student's critical t, two-sided 5%, over the normal one; 1 for no sample."""
    if sample < 2:
        return 1.0
    from scipy import special

    return float(special.stdtrit(sample - 1, 0.975) / special.ndtri(0.975))


class RoleMeans(NamedTuple):
    """What the role test reads of the responses; at most about 1."""

    items: Float[np.ndarray, "items units"]
    """Each item's difference of roles; no rows: items are no sample."""
    wordings: Float[np.ndarray, "wordings units"]
    """Each wording's mean."""
    scenes: Float[np.ndarray, "scenes units"]
    """Each scene's difference of roles; no rows: scenes are no sample, or there is one."""


@dataclass(frozen=True)
class RoleUnits:
    """Units, ready to be randomised; each scaled so that its largest number is about 1."""

    difference: Float[np.ndarray, " units"]
    """In the scale of the responses."""
    t: Float[np.ndarray, " units"]
    deviations: Float[np.ndarray, "items units"]
    """Items' differences around their mean, 32-bit."""
    scene_deviations: Float[np.ndarray, "scenes units"]
    """The same of scenes; no rows where there is one scene."""
    means: Float[np.ndarray, "wordings units"]
    """Wordings around their frame's mean, with as much of the roles' difference as wordings
    explain, 32-bit."""
    cutoff: Float[np.ndarray, " units"]
    """t² that a randomisation must reach to count, 32-bit; -1 where t is NaN, which all reach."""
    sign: Float[np.ndarray, " units"]
    """Of t, 1 where that is 0 or NaN, 32-bit."""
    width: Float[np.ndarray, " units"]
    """Of the unit's own null, over 1.25 times that of the typical unit; 1 or more."""
    stretch: Stretch
    """How many times as far from their mean what is drawn again is put."""

    @property
    def scale(self) -> Float[np.ndarray, " units"]:
        """Of t², 32-bit."""
        return np.asarray(1 / self.width**2, dtype=np.float32)

    def some(self, units: Int[np.ndarray, " some"]) -> "RoleUnits":
        """Some of these units."""
        arrays: dict[str, Any] = {
            name: each[..., units] for name, each in vars(self).items() if name != "stretch"
        }
        return replace(self, **arrays)

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


def role_units(means: RoleMeans, design: WordingDesign) -> RoleUnits:
    """Difference, its errors and t of each unit, and what randomisations are made of.

    t = D / √(error_items + error_wordings + error_scenes), the root of min F' (Clark 1973) with
    Welch's error over wordings. Relabelled wordings keep the share √(error_wordings / all) of D:
    all of it where items and scenes respond alike to the role, which makes the test the
    relabelling test of wordings, and none where wordings of one role do not differ. In between,
    relabelled wordings have the variance that wordings alone have.
    """
    difference = (design.contrast / design.information) @ means.wordings
    difference[np.abs(difference) <= NEAR_TIE] = 0.0
    deviations, error_items = around_mean(means.items)
    scene_deviations, error_scenes = around_mean(means.scenes)
    error_wordings = observed_error(means.wordings, design, NEAR_TIE)
    error = error_items + error_wordings + error_scenes
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(error)
        kept = np.sqrt(np.where(error > 0, error_wordings / error, 1.0))
    centred = design.centred(means.wordings) - design.contrast[:, None] * ((1 - kept) * difference)
    centred[:, np.abs(centred).max(axis=0) <= NEAR_TIE] = 0.0
    parts = (centred, deviations, scene_deviations)
    largest = np.max([np.abs(part).max(axis=0, initial=0.0) for part in parts], axis=0)
    exponent = -np.frexp(largest)[1]
    centred, deviations, scene_deviations = (
        np.ldexp(part, exponent).astype(np.float32) for part in parts
    )
    cutoff = np.minimum(t**2 * (1 - NEAR_SQUARE), FAR_SQUARE)
    return RoleUnits(
        difference=difference,
        t=t,
        deviations=deviations,
        scene_deviations=scene_deviations,
        means=centred,
        cutoff=np.where(np.isnan(t), -1.0, cutoff).astype(np.float32),
        sign=np.where(t < 0, -1.0, 1.0).astype(np.float32),
        width=np.ones_like(t),
        stretch=Stretch(1.0, 1.0),
    )


def around_mean(
    differences: Float[np.ndarray, "sample units"],
) -> tuple[Float[np.ndarray, "sample units"], Float[np.ndarray, " units"]]:
    """Differences around their mean, and the squared standard error of that: 0 without any."""
    if not len(differences):
        return differences.copy(), np.zeros(differences.shape[1])
    deviations = differences - differences.mean(axis=0)
    deviations[:, np.abs(deviations).max(axis=0) <= NEAR_TIE] = 0.0
    number = len(differences)
    return deviations, (deviations**2).sum(axis=0) / max(1, number * (number - 1))


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
    from otherview.stats.role_kernel import tally_bins

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
    # The first bin of each unit from which on there is at most the allowed weight.
    from_here = np.cumsum(counts[:, ::-1], axis=1)
    within = (from_here > tail * counts[0].sum()).sum(axis=1)
    exceeded = np.sqrt(((BINS_FROM + within) << 20).astype(np.int32).view(np.float32))
    width = exceeded.astype(np.float64) / (WIDE * np.median(exceeded))
    return replace(units, width=np.maximum(1.0, width))


def reach(units: RoleUnits, plan: Randomisations, running: Running, width: int = UNITS) -> Reached:
    """Randomise, and count in how many rows each unit, or any unit, is as far from zero.

    For the largest t², units are in groups of `width`.
    """
    parts = run_chunks(partial(reach_in_block, units, plan, width), plan.blocks, running)
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


def reach_in_block(units: RoleUnits, plan: Randomisations, width: int, index: int) -> Reached:
    """`reach` over the rows of one block."""
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

    contrasts, *times, weights = plan.block(index)
    labels = own_labels(contrasts, plan.design)
    counted = labels == 0
    contrasts, counting = contrasts[counted], weights[counted]
    of_items, of_scenes = (one[counted] for one in times)
    cutoff, scale = units.scaled_cutoff, units.scale

    def parts() -> Iterator[Part]:
        for start in range(0, len(units.t), UNITS):
            part = slice(start, start + UNITS)
            mean, variance = drawn(of_items, units.deviations[:, part])
            mean *= np.float32(units.stretch.of_items)
            if of_scenes.shape[1]:
                mean_of_scenes, variance_of_scenes = drawn(
                    of_scenes, units.scene_deviations[:, part]
                )
                mean += np.float32(units.stretch.of_scenes) * mean_of_scenes
                variance += variance_of_scenes
            difference, error, shrunk = relabelled(contrasts, units.means[:, part], plan.design)
            same = np.zeros(difference.shape[1], np.int32)
            other = np.zeros_like(same)
            signed_squares(
                mean,
                variance,
                difference,
                error,
                shrunk,
                scale[part],
                counting,
                cutoff[part],
                units.sign[part],
                same,
                other,
            )
            yield Part(part, difference, same, other)

    return labels, weights, parts()


def drawn(
    times: Float[np.ndarray, "rows sample"], deviations: Float[np.ndarray, "sample units"]
) -> tuple[Float[np.ndarray, "rows units"], Float[np.ndarray, "rows units"]]:
    """Mean of what is drawn, each so many times, and the squared standard error of that mean."""
    from otherview.stats.role_kernel import moments

    mean, variance = times @ deviations, times @ deviations**2
    moments(mean, variance, drawn_of(len(deviations)))
    return mean, variance
