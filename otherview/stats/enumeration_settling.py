"""Settles by exact sums what the coarse sums of the enumeration leave too near to tell."""

import numpy as np
from jaxtyping import Int

from otherview.stats.enumeration_layout import NO_RUN, WIDTH, Cuts, Layout, fine_sum
from otherview.stats.kernels import Integer, compiled


@compiled
def exact_largest(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    below: Integer,
    row: Integer,
    lane: Integer,
    gray: Integer,
    coarse: Integer,
) -> Integer:
    """The exact largest sum of a pattern over the active units before `below`."""
    largest = np.int64(0)
    for unit in active:
        if unit < below:
            value = abs(sums[unit] + layout.middle[unit, row] + layout.low[unit, lane])
            if value + 2 * layout.error >= coarse:
                largest = max(largest, fine_sum(layout.fine, unit, lane, row, gray))
    return largest


@compiled
def cuts_reached(
    layout: Layout,
    cut_values: Int[np.ndarray, " cuts"],
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    below: Integer,
    row: Integer,
    lane: Integer,
    gray: Integer,
    coarse: Integer,
) -> Integer:
    """How many cuts the exact largest sum of a pattern reaches, given its coarse value."""
    exact = exact_largest(layout, sums, active, below, row, lane, gray, coarse)
    return np.searchsorted(cut_values, exact, side="right")


@compiled
def settle_near(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    gray: Integer,
    near: Int[np.ndarray, " 32"],
    passing: Int[np.ndarray, " thresholds"],
    counted: Int[np.ndarray, "thresholds 32 32"],
) -> None:
    """Count, by their exact sums, the units of a tile too near to a threshold to tell."""
    for lane in np.flatnonzero(near):
        for unit in active:
            own_sum = sums[unit] + layout.low[unit, lane]
            for row in range(WIDTH):
                value = abs(own_sum + layout.middle[unit, row])
                for index in range(len(passing)):
                    cutoff = passing[index] >> layout.shift
                    if cutoff - layout.error < value <= cutoff + layout.error + 1:
                        exact = fine_sum(layout.fine, unit, lane, row, gray)
                        counted[index, row, lane] += exact > passing[index]


@compiled
def settle_events(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    gray: Integer,
    weak: Int[np.ndarray, "32 32"],
    events: Int[np.ndarray, "events 3"],
    number: Integer,
    extra: Int[np.ndarray, " strong+1"],
) -> None:
    """Step-down hits of strong units that reach their own |t|.

    `events` holds (pattern, unit, cuts reached) with units ascending within a pattern as they
    were met. A unit of rank i reaching r strong units' |t| hits ranks i ... r-1; the weak
    units hit ranks 0 ... (their own r)-1; a rank is hit once.
    """
    order = np.argsort(events[:number, 0], kind="mergesort")
    start = cuts.values[0] >> layout.shift
    covered = 0
    for rank in range(number):
        pattern, unit, reached = events[order[rank]]
        if rank == 0 or pattern != events[order[rank - 1], 0]:
            row, lane = pattern // WIDTH, pattern % WIDTH
            position = (weak[row, lane] - start) >> cuts.step
            by_weak = np.int64(cuts.place[position]) if position >= 0 else 0
            if by_weak == NO_RUN or -layout.error <= weak[row, lane] - start < 0:
                by_weak = cuts_reached(
                    layout, cuts.values, sums, active, first_strong, row, lane, gray,
                    weak[row, lane],
                )  # fmt: skip
            covered = cuts.rank[by_weak]
        first = max(covered, unit - first_strong)
        end = cuts.rank[reached]
        if end > first:
            extra[first] += 1
            extra[end] -= 1
            covered = end
