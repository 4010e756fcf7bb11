"""The kernel that visits all sign patterns and skips the units that cannot matter."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from otherview.stats.compiled import compiled

SIGNS = 5
"""Signs inside a vector, and rows a tile: 32 x 32 patterns share the other signs."""

WIDTH = 1 << SIGNS
FREE = 2 * SIGNS + 1
"""Blocks that are not in the Gray code: two times five, and the one whose sign is fixed."""

NO_RUN = -1


class Layout(NamedTuple):
    """Units as the kernel wants them; blocks reordered, smallest first."""

    fine: Int[np.ndarray, "units blocks"]
    high: Int[np.ndarray, "blocks-10 units"]
    """Coarse blocks in the Gray code; the last is the one whose sign is fixed."""
    middle: Int[np.ndarray, "units 32"]
    low: Int[np.ndarray, "units 32"]
    """Coarse sums of five blocks under their 32 sign patterns."""
    reach_all: Int[np.ndarray, " units"]
    """How far the ten blocks of a tile can move a sum."""
    reach_low: Int[np.ndarray, " units"]
    """How far the five blocks of a vector can."""
    shift: int
    error: int
    """A coarse sum is at most this far from the fine one."""


class Cuts(NamedTuple):
    """Where largest sums are told apart, all fine."""

    values: Int[np.ndarray, " cuts"]
    """Ascending; the first is the floor."""
    place: Int[np.ndarray, " places"]
    """For coarse sums in equal steps from the floor: how many cuts are at or below, or
    `NO_RUN` where a cut is too near to say."""
    step: int
    """A place is 2^step coarse sums wide."""
    rank: Int[np.ndarray, " cuts+1"]
    """Of that many cuts, how many are `reach`es of strong units."""


class Tallies(NamedTuple):
    """Filled by the kernel."""

    counts: Int[np.ndarray, "thresholds units+1"]
    largest: Int[np.ndarray, " cuts+1"]
    """Patterns by how many cuts their largest sum reaches."""
    largest_weak: Int[np.ndarray, " cuts+1"]
    """The same for the largest over weak units only (those below the floor in the data)."""
    extra: Int[np.ndarray, " strong+1"]
    """Step-down hits that strong units add to those of the weak, as differences."""


@compiled
def fine_sum(
    fine: Int[np.ndarray, "units blocks"], unit: int, lane: int, row: int, gray: int
) -> int:
    """|Σ ±u| of a unit, exactly; set bits of lane, row and gray are flipped blocks."""
    flips = lane | (row << SIGNS) | (gray << (2 * SIGNS))
    total = np.int64(0)
    for block in range(fine.shape[1]):
        total += -fine[unit, block] if (flips >> block) & 1 else fine[unit, block]
    return abs(total)


@compiled
def exact_largest(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    below: int,
    row: int,
    lane: int,
    gray: int,
    coarse: int,
) -> int:
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
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    below: int,
    row: int,
    lane: int,
    gray: int,
    coarse: int,
) -> int:
    """How many cuts the largest sum of a pattern reaches, given its coarse value."""
    if coarse == 0:
        return 0
    place = (coarse - (cuts.values[0] >> layout.shift)) >> cuts.step
    if 0 <= place < len(cuts.place) and cuts.place[place] != NO_RUN:
        return cuts.place[place]
    exact = exact_largest(layout, sums, active, below, row, lane, gray, coarse)
    return np.searchsorted(cuts.values, exact, side="right")


@compiled
def settle_near(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    gray: int,
    passing: Int[np.ndarray, " thresholds"],
    tile: Int[np.ndarray, "thresholds 32 32"],
) -> None:
    """Count, by their exact sums, the units of a tile too near to a threshold to tell."""
    for unit in active:
        for row in range(WIDTH):
            base = sums[unit] + layout.middle[unit, row]
            for lane in range(WIDTH):
                value = abs(base + layout.low[unit, lane])
                for index in range(len(passing)):
                    cutoff = passing[index] >> layout.shift
                    if cutoff - layout.error < value <= cutoff + layout.error + 1:
                        exact = fine_sum(layout.fine, unit, lane, row, gray)
                        tile[index, row, lane] += exact > passing[index]


@compiled
def settle_events(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: int,
    gray: int,
    weak: Int[np.ndarray, "32 32"],
    events: Int[np.ndarray, "events 3"],
    number: int,
    extra: Int[np.ndarray, " strong+1"],
) -> None:
    """Step-down hits of strong units that reach their own |t|.

    `events` holds (pattern, unit, cuts reached) with units ascending within a pattern as they
    were met. A unit of rank i reaching r strong units' |t| hits ranks i ... r-1; the weak
    units hit ranks 0 ... (their own r)-1; a rank is hit once.
    """
    order = np.argsort(events[:number, 0], kind="mergesort")
    covered = 0
    for position in range(number):
        pattern, unit, reached = events[order[position]]
        if position == 0 or pattern != events[order[position - 1], 0]:
            row, lane = pattern // WIDTH, pattern % WIDTH
            covered = cuts.rank[
                cuts_reached(
                    layout, cuts, sums, active, first_strong, row, lane, gray, weak[row, lane]
                )
            ]
        start = max(covered, unit - first_strong)
        end = cuts.rank[reached]
        if end > start:
            extra[start] += 1
            extra[end] -= 1
            covered = end


@compiled
def count_row(
    low: Int[np.ndarray, "units 32"],
    unit: np.uint64,
    base: np.int32,
    possible: np.int32,
    certain: np.int32,
    counted: Int[np.ndarray, "thresholds 32 32"],
    index: int,
    row: np.uint64,
    near: Int[np.ndarray, " 32"],
) -> None:
    """Add one unit to the counts of the 32 patterns of a row, and mark those too near to tell.

    Written so that both loops compile to vector instructions: no views, unsigned indices.
    """
    for lane in range(WIDTH):
        counted[index, row, lane] += (
            np.int16(1) if abs(np.int32(base + low[unit, lane])) > certain else np.int16(0)
        )
    for lane in range(WIDTH):
        value = abs(np.int32(base + low[unit, lane]))
        near[lane] |= np.int32(1) if possible < value <= certain else np.int32(0)


@compiled
def raise_row(
    low: Int[np.ndarray, "units 32"],
    unit: np.uint64,
    base: np.int32,
    largest: Int[np.ndarray, "2 32 32"],
    side: int,
    row: np.uint64,
) -> None:
    """Largest sums of the 32 patterns of a row, with one more unit."""
    for lane in range(WIDTH):
        value = np.int32(abs(np.int32(base + low[unit, lane])))
        largest[side, row, lane] = max(largest[side, row, lane], value)


@compiled
def note_events(
    layout: Layout,
    cuts: Cuts,
    unit: int,
    base: np.int32,
    row: int,
    gray: int,
    reach: int,
    events: Int[np.ndarray, "events 3"],
    met: int,
) -> tuple[Int[np.ndarray, "events 3"], int]:
    """Note the patterns of a row in which a strong unit reaches its own |t|."""
    own = (reach >> layout.shift) - layout.error
    for lane in range(WIDTH):
        if abs(np.int32(base + layout.low[unit, lane])) >= own:
            exact = fine_sum(layout.fine, unit, lane, row, gray)
            if exact >= reach:
                if met == len(events):
                    grown = np.empty((2 * met, 3), np.int64)
                    grown[:met] = events
                    events = grown
                events[met, 0] = row * WIDTH + lane
                events[met, 1] = unit
                events[met, 2] = np.searchsorted(cuts.values, exact, side="right")
                met += 1
    return events, met


@compiled
def place_largest(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: int,
    gray: int,
    row: int,
    largest: Int[np.ndarray, "2 32 32"],
    floor: int,
    tallies: Tallies,
) -> None:
    """Tally the patterns of a row by the cuts that their largest sums reach."""
    units = layout.fine.shape[0]
    for lane in range(WIDTH):
        weak, strong = largest[0, row, lane], largest[1, row, lane]
        top = max(weak, strong)
        if top <= floor:
            continue
        reached = cuts_reached(layout, cuts, sums, active, units, row, lane, gray, top)
        tallies.largest[reached] += 1
        if weak > floor:
            # A strong unit that is as near the top as the error may have decided above.
            if strong + 2 * layout.error >= weak:
                reached = cuts_reached(
                    layout, cuts, sums, active, first_strong, row, lane, gray, weak
                )
            tallies.largest_weak[reached] += 1


@compiled
def list_active(
    sums: Int[np.ndarray, " units"],
    reach: Int[np.ndarray, " units"],
    lowest: int,
    listed: Int[np.ndarray, " units+1"],
) -> int:
    """List the units that ten more blocks can carry past the lowest cutoff; how many."""
    count = 0
    for unit in range(len(sums)):
        listed[count] = unit
        count += abs(sums[unit]) + reach[unit] > lowest
    return count


@compiled
def turn_code(
    sums: Int[np.ndarray, " units"],
    high: Int[np.ndarray, "codes units"],
    number: int,
) -> int:
    """Sums under the next Gray code (one block turned), and the code."""
    turned = 0
    while not (number >> turned) & 1:
        turned += 1
    gray = number ^ (number >> 1)
    sign = np.int32(-2) if (gray >> turned) & 1 else np.int32(2)
    for unit in range(len(sums)):
        sums[unit] += sign * high[turned, unit]
    return gray


@compiled
def enumerate_range(
    layout: Layout,
    begin: int,
    end: int,
    passing: Int[np.ndarray, " thresholds"],
    reach: Int[np.ndarray, " units"],
    first_strong: int,
    cuts: Cuts,
    tallies: Tallies,
) -> None:
    """Tally the patterns whose Gray code has number `begin` up to (not with) `end`.

    For each code the sums of all units over its blocks are at hand; a unit takes part in the
    tile of 32 x 32 patterns only if the other ten blocks can carry it past the lowest cutoff,
    and in a row of the tile only if the last five can.
    """
    units = layout.fine.shape[0]
    shift, error = layout.shift, layout.error
    thresholds = len(passing)
    possible = ((passing >> shift) - error).astype(np.int32)
    certain = ((passing >> shift) + error + 1).astype(np.int32)
    floor = np.int32((cuts.values[0] >> shift) - error)
    lowest = floor
    for cutoff in possible:
        lowest = min(lowest, cutoff)
    sums = layout.high[-1].copy()
    gray = begin ^ (begin >> 1)
    for code in range(layout.high.shape[0] - 1):
        if (gray >> code) & 1:
            sums -= layout.high[code]
        else:
            sums += layout.high[code]
    listed = np.empty(units + 1, np.int32)
    near = np.zeros(WIDTH, np.int32)
    counted = np.zeros((thresholds, WIDTH, WIDTH), np.int16)
    largest = np.zeros((2, WIDTH, WIDTH), np.int32)
    touched = np.zeros((thresholds + 1, WIDTH), np.bool_)
    events = np.empty((64, 3), np.int64)
    for number in range(begin, end):
        if number > begin:
            gray = turn_code(sums, layout.high, number)
        active = listed[: list_active(sums, layout.reach_all, lowest, listed)]
        near[:] = 0
        counted[:] = 0
        largest[:] = 0
        touched[:] = False
        met = 0
        for position in range(len(active)):
            unit = np.uint64(active[position])
            side = 0 if unit < first_strong else 1
            own = (reach[unit] >> shift) - error
            for row_number in range(WIDTH):
                row = np.uint64(row_number)
                base = np.int32(sums[unit] + layout.middle[unit, row])
                farthest = abs(base) + layout.reach_low[unit]
                if farthest <= lowest:
                    continue
                for index in range(thresholds):
                    if farthest > possible[index]:
                        touched[index, row] = True
                        count_row(
                            layout.low, unit, base, possible[index], certain[index],
                            counted, index, row, near,
                        )  # fmt: skip
                if farthest > floor:
                    touched[thresholds, row] = True
                    raise_row(layout.low, unit, base, largest, side, row)
                    if side == 1 and farthest >= own:
                        events, met = note_events(
                            layout, cuts, unit, base, row_number, gray, reach[unit], events, met
                        )
        if near.any():
            touched[:thresholds] = True
            settle_near(layout, sums, active, gray, passing, counted)
        for index in range(thresholds):
            for row in range(WIDTH):
                if touched[index, row]:
                    for lane in range(WIDTH):
                        tallies.counts[index, np.uint64(counted[index, row, lane])] += 1
                else:
                    tallies.counts[index, 0] += WIDTH
        for row in range(WIDTH):
            if touched[thresholds, row]:
                place_largest(
                    layout, cuts, sums, active, first_strong, gray, row, largest, floor, tallies
                )
        if met:
            settle_events(
                layout, cuts, sums, active, first_strong, gray, largest[0], events, met,
                tallies.extra,
            )  # fmt: skip
