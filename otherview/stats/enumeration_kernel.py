"""The kernel that visits all sign patterns and skips the units that cannot matter."""

import numpy as np
from jaxtyping import Bool, Int

from otherview.stats.enumeration_layout import (
    NO_RUN,
    WIDTH,
    Cuts,
    Layout,
    Tallies,
    fine_sum,
)
from otherview.stats.enumeration_settling import cuts_reached, settle_events, settle_near
from otherview.stats.kernels import Integer, compiled, inlined


@inlined
def list_rows(
    middle: Int[np.ndarray, "units 32"],
    unit: np.uint64,
    own_sum: np.int32,
    reach: np.int32,
    cutoff: np.int32,
    rows: Int[np.ndarray, " 33"],
) -> np.uint64:
    """List the rows of the tile in which five more blocks can carry the unit past the cutoff."""
    count = np.uint64(0)
    for row in range(WIDTH):
        rows[count] = row
        count += np.uint64(abs(own_sum + middle[unit, np.uint64(row)]) + reach > cutoff)
    return count


@compiled
def count_tile(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    possible: np.int32,
    certain: np.int32,
    counted: Int[np.ndarray, "32 32"],
    touched: Bool[np.ndarray, " 32"],
    rows: Int[np.ndarray, " 33"],
    near: Int[np.ndarray, " 32"],
) -> None:
    """Count the units past a threshold in each pattern of the tile; mark what is too near to tell.

    The loops over lanes compile to vector instructions: no views, no calls, unsigned indices.
    """
    middle, low = layout.middle, layout.low
    for position in range(len(active)):
        unit = np.uint64(active[position])
        own_sum, reach = sums[unit], layout.reach_low[unit]
        if abs(own_sum) + layout.reach_all[unit] <= possible:
            continue
        for listed in range(list_rows(middle, unit, own_sum, reach, possible, rows)):
            row = np.uint64(rows[np.uint64(listed)])
            touched[row] = True
            base = np.int32(own_sum + middle[unit, row])
            for lane in range(WIDTH):
                value = np.int32(abs(np.int32(base + low[unit, lane])))
                counted[row, lane] += np.int16(1) if value > certain else np.int16(0)
            for lane in range(WIDTH):
                value = np.int32(abs(np.int32(base + low[unit, lane])))
                near[lane] |= np.int32(1) if possible < value <= certain else np.int32(0)


@compiled
def raise_tile(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    floor: np.int32,
    largest: Int[np.ndarray, "2 32 32"],
    touched: Bool[np.ndarray, " 32"],
    rows: Int[np.ndarray, " 33"],
) -> None:
    """Largest sums of the weak and of the strong units in each pattern of the tile."""
    middle, low = layout.middle, layout.low
    for position in range(len(active)):
        unit = np.uint64(active[position])
        own_sum, reach = sums[unit], layout.reach_low[unit]
        if abs(own_sum) + layout.reach_all[unit] <= floor:
            continue
        side = np.uint64(unit >= first_strong)
        for listed in range(list_rows(middle, unit, own_sum, reach, floor, rows)):
            row = np.uint64(rows[np.uint64(listed)])
            touched[row] = True
            base = np.int32(own_sum + middle[unit, row])
            for lane in range(WIDTH):
                value = np.int32(abs(np.int32(base + low[unit, lane])))
                largest[side, row, lane] = max(largest[side, row, lane], value)


@compiled
def find_events(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    reach: Int[np.ndarray, " units"],
    gray: Integer,
    rows: Int[np.ndarray, " 33"],
    events: Int[np.ndarray, "events 3"],
) -> Integer:
    """Patterns in which a strong unit reaches its own |t|: (pattern, unit, cuts reached).

    Returns how many there are; past the end of `events` they are counted and not written.
    """
    middle, low, error = layout.middle, layout.low, layout.error
    place, step, start = cuts.place, cuts.step, cuts.values[0] >> layout.shift
    met = 0
    for position in range(np.searchsorted(active, first_strong), len(active)):
        unit = np.uint64(active[position])
        own_sum, reach_low = sums[unit], layout.reach_low[unit]
        own = reach[unit] >> layout.shift
        if abs(own_sum) + layout.reach_all[unit] < own - error:
            continue
        for listed in range(list_rows(middle, unit, own_sum, reach_low, own - error - 1, rows)):
            row = rows[listed]
            for lane in range(WIDTH):
                value = abs(own_sum + middle[unit, row] + low[unit, lane])
                if value < own - error:
                    continue
                position_of_value = (value - start) >> step
                reached = place[position_of_value] if position_of_value >= 0 else NO_RUN
                if reached == NO_RUN or value <= own + error:
                    exact = fine_sum(layout.fine, unit, lane, row, gray)
                    if exact < reach[unit]:
                        continue
                    reached = np.searchsorted(cuts.values, exact, side="right")
                if met < len(events):
                    events[met, 0] = row * WIDTH + lane
                    events[met, 1] = unit
                    events[met, 2] = reached
                met += 1
    return met


@compiled
def place_tile(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    gray: Integer,
    largest: Int[np.ndarray, "2 32 32"],
    touched: Bool[np.ndarray, " 32"],
    floor: np.int32,
    tallies: Tallies,
) -> None:
    """Tally the patterns of the tile by the cuts that their largest sums reach.

    Tables are looked up here and functions called for the few patterns near a cut only: a call
    that hands on all these arrays takes longer than a look-up.
    """
    place, step, start = cuts.place, cuts.step, cuts.values[0] >> layout.shift
    over_all, over_weak = tallies.largest, tallies.largest_weak
    units = layout.fine.shape[0]
    for row in range(WIDTH):
        if not touched[row]:
            continue
        for lane in range(WIDTH):
            weak, strong = largest[0, row, lane], largest[1, row, lane]
            top = max(weak, strong)
            if top <= floor:
                continue
            position = (top - start) >> step
            reached = place[position] if position >= 0 else NO_RUN
            if reached == NO_RUN:
                reached = cuts_reached(
                    layout, cuts.values, sums, active, units, row, lane, gray, top
                )
            over_all[reached] += 1
            if weak <= floor:
                continue
            # A strong unit as near the top as the error may have decided above.
            if strong + 2 * layout.error >= weak:
                position = (weak - start) >> step
                reached = place[position] if position >= 0 else NO_RUN
                if reached == NO_RUN:
                    reached = cuts_reached(
                        layout, cuts.values, sums, active, first_strong, row, lane, gray, weak
                    )
            over_weak[reached] += 1


@compiled
def list_active(
    sums: Int[np.ndarray, " units"],
    reach: Int[np.ndarray, " units"],
    lowest: Integer,
    listed: Int[np.ndarray, " units+1"],
) -> Integer:
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
    number: Integer,
) -> Integer:
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
    begin: Integer,
    end: Integer,
    passing: Int[np.ndarray, " thresholds"],
    reach: Int[np.ndarray, " units"],
    first_strong: Integer,
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
    rows = np.empty(WIDTH + 1, np.int32)
    near = np.zeros(WIDTH, np.int32)
    counted = np.zeros((thresholds, WIDTH, WIDTH), np.int16)
    largest = np.zeros((2, WIDTH, WIDTH), np.int32)
    touched = np.zeros((thresholds + 1, WIDTH), np.bool_)
    events = np.empty((1024, 3), np.int64)
    for number in range(begin, end):
        if number > begin:
            gray = turn_code(sums, layout.high, number)
        active = listed[: list_active(sums, layout.reach_all, lowest, listed)]
        near[:] = 0
        counted[:] = 0
        largest[:] = 0
        touched[:] = False
        for index in range(thresholds):
            count_tile(
                layout, sums, active, possible[index], certain[index], counted[index],
                touched[index], rows, near,
            )  # fmt: skip
        raise_tile(layout, sums, active, first_strong, floor, largest, touched[thresholds], rows)
        met = find_events(layout, cuts, sums, active, first_strong, reach, gray, rows, events)
        if met > len(events):
            events = np.empty((2 * met, 3), np.int64)
            find_events(layout, cuts, sums, active, first_strong, reach, gray, rows, events)
        if near.any():
            touched[:thresholds] = True
            settle_near(layout, sums, active, gray, near, passing, counted)
        for index in range(thresholds):
            for row in range(WIDTH):
                if touched[index, row]:
                    for lane in range(WIDTH):
                        tallies.counts[index, np.uint64(counted[index, row, lane])] += 1
                else:
                    tallies.counts[index, 0] += WIDTH
        place_tile(
            layout, cuts, sums, active, first_strong, gray, largest, touched[thresholds], floor,
            tallies,
        )  # fmt: skip
        if met:
            settle_events(
                layout, cuts, sums, active, first_strong, gray, largest[0], events, met,
                tallies.extra,
            )  # fmt: skip
