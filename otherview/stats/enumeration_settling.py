"""Settles by exact sums what the coarse sums of the enumeration leave too near to tell."""

import numpy as np
from jaxtyping import Int

from otherview.stats.enumeration_layout import LANES, NO_RUN, Cuts, Layout, fine_sum
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
    least = np.searchsorted(cut_values, (coarse - layout.error) << layout.shift, side="right")
    beyond = (coarse + layout.error + 1) << layout.shift
    if least == len(cut_values) or cut_values[least] > beyond:
        return least
    exact = exact_largest(layout, sums, active, below, row, lane, gray, coarse)
    return np.searchsorted(cut_values, exact, side="right")


@compiled
def settle_events(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    gray: Integer,
    weak: Int[np.ndarray, "32 64"],
    events: Int[np.ndarray, "events 4"],
    number: Integer,
    newest: Int[np.ndarray, " 2048"],
    extra: Int[np.ndarray, " strong+1"],
) -> None:
    """Step-down hits of strong units that reach their own |t|.

    `events` holds (pattern, unit, cuts reached, -) with units ascending within a pattern. A unit
    of rank i reaching r strong units' |t| hits ranks i ... r-1; the weak units hit ranks
    0 ... (their own r)-1; a rank is hit once. So each event must know which ranks those before it
    in its pattern have hit: the last column is the first rank that they have not. `newest` is -1
    for every pattern, on entry and on exit.
    """
    start = cuts.values[0] >> layout.shift
    for event in range(number):
        pattern, unit, reached = events[event, 0], events[event, 1], events[event, 2]
        if newest[pattern] < 0:
            row, lane = pattern // LANES, pattern % LANES
            position = (weak[row, lane] - start) >> cuts.step
            by_weak = np.int64(cuts.place[position]) if position >= 0 else 0
            if by_weak == NO_RUN or -layout.error <= weak[row, lane] - start < 0:
                by_weak = cuts_reached(
                    layout, cuts.values, sums, active, first_strong, row, lane, gray,
                    weak[row, lane],
                )  # fmt: skip
            covered = cuts.rank[by_weak]
        else:
            covered = events[newest[pattern], 3]
        first = max(covered, unit - first_strong)
        end = cuts.rank[reached]
        if end > first:
            extra[first] += 1
            extra[end] -= 1
            covered = end
        events[event, 3] = covered
        newest[pattern] = event
    for event in range(number):
        newest[events[event, 0]] = -1
