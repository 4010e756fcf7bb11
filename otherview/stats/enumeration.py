"""All sign patterns by pruned enumeration: counts, and the tail of the largest |t|, exactly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.enumeration_kernel import (
    FREE,
    Cuts,
    Tallies,
    enumerate_range,
    lay_cuts,
    lay_out,
)
from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import BINS, edges_fine

MAX_UNITS = 32_767
"""The sums of more units outgrow the caches; no time is predicted for them."""

CHUNK_WORK = 1 << 22
"""Units x Gray codes per chunk: a tenth of a second or two, so that threads end together."""

SAMPLED = 1 << 18
"""Units x Gray codes from which the time is predicted."""
CODE_SECONDS = 5e-6
UNIT_SECONDS = 1e-9
ACTIVE_SECONDS = 20e-9
ROW_SECONDS = 9e-9
"""Time of a Gray code; of a unit in it; of an active unit, and of a row of it, at one cutoff.
Measured on one core of a 2024 server; what `auto` predicts with, no promise."""


def enumeration_seconds(units: FixedPoint, floor: int) -> float:
    """Predicted time of `enumerate_tail` on one core, from how much a sample of codes prunes.

    The same for the same data on any machine, so that the choice of method is too.
    """
    number = len(units.fine)
    if units.blocks < FREE + 1 or number > MAX_UNITS:
        return float(np.inf)
    layout = lay_out(units)
    generator = np.random.default_rng(0)
    sampled = max(16, min(256, SAMPLED // number))
    signs = 2 * generator.integers(0, 2, (sampled, len(layout.high)), dtype=np.int64) - 1
    seconds = 0.0
    for code in signs:
        sums = code @ layout.high
        seconds += CODE_SECONDS + UNIT_SECONDS * number
        for cutoff in [floor, *units.passing]:
            active = np.flatnonzero(np.abs(sums) + layout.reach_all > cutoff)
            farthest = np.abs(sums[active] + layout.middle[:, active])
            rows = np.count_nonzero(farthest + layout.reach_low[active] > cutoff)
            seconds += ACTIVE_SECONDS * len(active) + ROW_SECONDS * rows
    return seconds / sampled * (1 << (units.blocks - FREE))


@dataclass(frozen=True)
class Tail:
    """Counts of all patterns, and largest sums from the floor up. Units ascend by |t|."""

    counts: Int[np.ndarray, "thresholds units+1"]
    largest: Int[np.ndarray, " bins"]
    """Patterns by their largest |z|; those below the floor are all in bin 0."""
    first_strong: int
    """Units from here on are at or above the floor in the data."""
    reached: Int[np.ndarray, " strong"]
    stepped: Int[np.ndarray, " strong"]
    """Patterns that reach a strong unit's |t|: single step, and step down."""
    beyond_floor: int
    """Patterns whose largest |z| is at or above the floor."""
    weak_beyond_floor: int
    """Patterns in which that of a unit below the floor in the data is."""
    floor: int
    patterns: int


def enumerate_tail(units: FixedPoint, floor: int, running: Running) -> Tail:
    """Visit all 2^(N-1) sign patterns of N ≥ 12 blocks; units ascend by |t|.

    `floor` is the fine sum from which largest sums are told apart. All sums are exact integers.
    """
    number = len(units.fine)
    layout = lay_out(units)
    first_strong = int(np.searchsorted(units.reach, floor))
    cuts = lay_cuts(units, floor, first_strong)
    codes = 1 << (units.blocks - FREE)
    per_chunk = max(1, CHUNK_WORK // max(256, number))
    starts = range(0, codes, per_chunk)

    def zeros() -> Tallies:
        return Tallies(
            np.zeros((len(units.passing), number + 1), np.int64),
            np.zeros(len(cuts.values) + 1, np.int64),
            np.zeros(len(cuts.values) + 1, np.int64),
            np.zeros(number - first_strong + 1, np.int64),
        )

    def work(chunk: int) -> Tallies:
        part = zeros()
        end = min(codes, starts[chunk] + per_chunk)
        enumerate_range(
            layout, starts[chunk], end, units.passing, units.reach, first_strong, cuts, part
        )
        return part

    total = zeros()
    for part in run_chunks(work, len(starts), running):
        for sum_so_far, addend in zip(total, part, strict=True):
            sum_so_far += addend
    return read_tail(units, cuts, first_strong, floor, total)


def read_tail(
    units: FixedPoint, cuts: Cuts, first_strong: int, floor: int, tallies: Tallies
) -> Tail:
    """From tallies by cut to tallies by unit and by bin."""
    patterns = 1 << (units.blocks - 1)
    at_cut = np.cumsum(tallies.largest[::-1])[::-1][1:]
    at_cut_weak = np.cumsum(tallies.largest_weak[::-1])[::-1][1:]
    strong = np.searchsorted(cuts.values, units.reach[first_strong:])
    edges = edges_fine(units)
    above = np.flatnonzero(edges >= floor)
    beyond_edge = np.append(at_cut[np.searchsorted(cuts.values, edges[above[:-1]])], 0)
    largest = np.zeros(BINS, np.int64)
    largest[above[:-1]] = beyond_edge[:-1] - beyond_edge[1:]
    largest[0] += patterns - int(at_cut[0])
    return Tail(
        counts=tallies.counts,
        largest=largest,
        first_strong=first_strong,
        reached=at_cut[strong],
        stepped=at_cut_weak[strong] + np.cumsum(tallies.extra)[:-1],
        beyond_floor=int(at_cut[0]),
        weak_beyond_floor=int(at_cut_weak[0]),
        floor=floor,
        patterns=patterns,
    )
