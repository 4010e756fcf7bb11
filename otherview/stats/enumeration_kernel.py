"""The kernel that visits all sign patterns and skips the units that cannot matter."""

import numpy as np
from jaxtyping import Bool, Int

from otherview.stats.enumeration_counts import count_tile, settle_near, tally_counts
from otherview.stats.enumeration_layout import (
    LANES,
    NO_RUN,
    ROWS,
    Cuts,
    Layout,
    Tallies,
    fine_sum,
)
from otherview.stats.enumeration_settling import cuts_reached, settle_events
from otherview.stats.kernels import Integer, compiled, inlined


@inlined
def rows_in_reach(
    layout: Layout, unit: np.uint64, own_sum: np.int32, cutoff: np.int32
) -> tuple[np.uint64, np.uint64]:
    """Rows of the tile in which the lanes can carry the unit past the cutoff.

    These are the largest sums and the smallest ones: `order[1, unit, place % 32]` for so many
    places from the first on. Counting them in one vector loop leaves no branch to guess.
    """
    needed = np.int32(cutoff - layout.reach_low[unit])
    above, below = max(needed, np.int32(-1)), max(needed, np.int32(0))
    largest = smallest = np.int32(0)
    for row in range(ROWS):
        distance = np.int32(own_sum + layout.middle[unit, np.uint64(row)])
        largest += np.int32(distance > above)
        smallest += np.int32(-distance > below)
    return np.uint64(ROWS - largest), np.uint64(ROWS + smallest)


@compiled
def raise_tile(
    layout: Layout,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    reach: Int[np.ndarray, " units"],
    floor: np.int32,
    largest: Int[np.ndarray, "2 32 64"],
    touched: Bool[np.ndarray, " 32"],
    own: Int[np.ndarray, "own 2"],
) -> Integer:
    """Largest sums of the weak and of the strong units in each pattern of the tile.

    Rows in which a strong unit may reach its own |t| are listed in `own`; returns how many.
    """
    low = layout.low
    listed = np.uint64(0)
    for position in range(len(active)):
        unit = np.uint64(active[position])
        own_sum = sums[unit]
        if abs(own_sum) + layout.reach_all[unit] <= floor:
            continue
        strong = np.uint64(unit >= first_strong)
        least = np.int32((reach[unit] >> layout.shift) - layout.error)
        first, last = rows_in_reach(layout, unit, own_sum, floor)
        for place in range(first, last):
            row = np.uint64(layout.order[1, unit, np.uint64(place) % np.uint64(ROWS)])
            touched[row] = True
            base = np.int32(own_sum + layout.middle[unit, row])
            top = np.int32(0)
            for lane in range(LANES):
                value = np.int32(abs(np.int32(base + low[unit, np.uint64(lane)])))
                largest[strong, row, np.uint64(lane)] = max(
                    largest[strong, row, np.uint64(lane)], value
                )
                top = max(top, value)
            own[listed, 0] = unit
            own[listed, 1] = row
            listed += strong & np.uint64(top >= least)
    return listed


@compiled
def find_events(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    reach: Int[np.ndarray, " units"],
    gray: Integer,
    own: Int[np.ndarray, "own 2"],
    events: Int[np.ndarray, "events 4"],
) -> Integer:
    """Patterns in which a strong unit reaches its own |t|: (pattern, unit, cuts reached).

    Returns how many there are; past the end of `events` they are counted and not written.
    """
    error, values = layout.error, cuts.values
    place, step, start = cuts.place, cuts.step, values[0] >> layout.shift
    met = 0
    for listed in range(len(own)):
        unit, row = np.uint64(own[listed, 0]), np.uint64(own[listed, 1])
        base = sums[unit] + layout.middle[unit, row]
        reached_at = reach[unit] >> layout.shift
        for lane in range(LANES):
            value = abs(base + layout.low[unit, lane])
            if value < reached_at - error:
                continue
            position = (value - start) >> step
            reached = place[position] if position >= 0 else NO_RUN
            if reached == NO_RUN or value <= reached_at + error:
                exact = fine_sum(layout.fine, unit, lane, row, gray)
                if exact < reach[unit]:
                    continue
                reached = np.searchsorted(values, exact, side="right")
            if met < len(events):
                events[met, 0] = row * LANES + lane
                events[met, 1] = unit
                events[met, 2] = reached
            met += 1
    return met


@compiled
def list_beyond(
    largest: Int[np.ndarray, "2 32 64"],
    touched: Bool[np.ndarray, " 32"],
    floor: np.int32,
    beyond: Int[np.ndarray, " 2049"],
) -> Integer:
    """List the patterns of the tile whose largest sum is beyond the floor; how many."""
    count = np.uint64(0)
    for row in range(ROWS):
        if touched[row]:
            for lane in range(LANES):
                beyond[count] = row * LANES + lane
                count += np.uint64(max(largest[0, row, lane], largest[1, row, lane]) > floor)
    return count


@compiled
def place_tile(
    layout: Layout,
    cuts: Cuts,
    sums: Int[np.ndarray, " units"],
    active: Int[np.ndarray, " some"],
    first_strong: Integer,
    gray: Integer,
    largest: Int[np.ndarray, "2 32 64"],
    beyond: Int[np.ndarray, " some"],
    floor: np.int32,
    tallies: Tallies,
) -> None:
    """Tally the patterns beyond the floor by the cuts that their largest sums reach.

    Tables are looked up here and functions called for the few patterns near a cut only: a call
    that hands on all these arrays takes longer than a look-up.
    """
    place, step, start = cuts.place, cuts.step, cuts.values[0] >> layout.shift
    over_all, over_weak, values = tallies.largest, tallies.largest_weak, cuts.values
    units = layout.fine.shape[0]
    for listed in range(len(beyond)):
        row, lane = beyond[listed] // LANES, beyond[listed] % LANES
        weak, strong = largest[0, row, lane], largest[1, row, lane]
        top = max(weak, strong)
        position = (top - start) >> step
        reached = place[position] if position >= 0 else NO_RUN
        if reached == NO_RUN:
            reached = cuts_reached(layout, values, sums, active, units, row, lane, gray, top)
        over_all[reached] += 1
        if weak <= floor:
            continue
        # A strong unit as near the top as the error may have decided above.
        if strong + 2 * layout.error >= weak:
            position = (weak - start) >> step
            reached = place[position] if position >= 0 else NO_RUN
            if reached == NO_RUN:
                reached = cuts_reached(
                    layout, values, sums, active, first_strong, row, lane, gray, weak
                )
        over_weak[reached] += 1


@compiled
def list_active(
    sums: Int[np.ndarray, " units"],
    reach: Int[np.ndarray, " units"],
    lowest: Integer,
    listed: Int[np.ndarray, " units+1"],
) -> Integer:
    """List the units that the tile can carry past the lowest cutoff; how many."""
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
    tile of 32 x 64 patterns only if the other eleven blocks can carry it past the lowest cutoff,
    and in a row of the tile only if the last six can.
    """
    units = layout.fine.shape[0]
    thresholds = len(passing)
    floor = np.int32((cuts.values[0] >> layout.shift) - layout.error)
    lowest = floor
    for cutoff in passing:
        lowest = min(lowest, np.int32((cutoff >> layout.shift) - layout.error))
    sums = layout.high[-1].copy()
    gray = begin ^ (begin >> 1)
    for code in range(layout.high.shape[0] - 1):
        if (gray >> code) & 1:
            sums -= layout.high[code]
        else:
            sums += layout.high[code]
    listed = np.empty(units + 1, np.int32)
    near = np.empty((ROWS * units + 1, 2), np.int32)
    counted = np.zeros((ROWS, LANES), np.int16)
    counts = np.zeros((thresholds, 4, units + 1), np.int64)
    largest = np.zeros((2, ROWS, LANES), np.int32)
    touched = np.zeros(ROWS, np.bool_)
    beyond = np.empty(ROWS * LANES + 1, np.int32)
    newest = np.full(ROWS * LANES, -1, np.int64)
    events = np.empty((1024, 4), np.int64)
    for number in range(begin, end):
        if number > begin:
            gray = turn_code(sums, layout.high, number)
        active = listed[: list_active(sums, layout.reach_all, lowest, listed)]
        for index in range(thresholds):
            touched[:] = False
            too_near = count_tile(
                layout, sums, active, gray, passing[index], counted, touched, near
            )
            settle_near(layout, sums, gray, passing[index], near[:too_near], counted)
            tally_counts(counted, touched, counts[index])
        touched[:] = False
        own = near[
            : raise_tile(layout, sums, active, first_strong, reach, floor, largest, touched, near)
        ]
        met = find_events(layout, cuts, sums, reach, gray, own, events)
        if met > len(events):
            events = np.empty((2 * met, 4), np.int64)
            find_events(layout, cuts, sums, reach, gray, own, events)
        found = list_beyond(largest, touched, floor, beyond)
        place_tile(
            layout, cuts, sums, active, first_strong, gray, largest, beyond[:found], floor, tallies
        )
        if met:
            settle_events(
                layout, cuts, sums, active, first_strong, gray, largest[0], events, met,
                newest, tallies.extra,
            )  # fmt: skip
        for row in range(ROWS):
            if touched[row]:
                largest[:, row] = 0
    for part in range(4):
        tallies.counts[:] += counts[:, part]
