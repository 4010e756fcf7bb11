"""All sign patterns or drawn ones: which is affordable, and what each then says."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from otherview.stats.chunks import Running
from otherview.stats.enumeration import Tail, enumerate_tail, enumeration_seconds
from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import (
    MAX_BLOCKS,
    FlipNull,
    MaxNull,
    critical_t,
    edges_fine,
    edges_z,
    share_p,
)
from otherview.stats.flip_sampling import (
    PILOT,
    all_flips,
    drawn_flips,
    precise_flips,
    table_seconds,
)
from otherview.stats.paired import t_from_z

AUTO_SECONDS = 4.0
"""`flips="auto"` takes all patterns where this many seconds of one core are predicted to do."""

TABLE_SECONDS = 1.0
"""Below this all patterns go through the tables: nothing is pruned, and nothing left to draw."""

FLOOR_SHARE = 0.1
"""The floor of the largest |t| is what 10% of the pilot's patterns reach, or twice alpha."""

SURE = 6.0
"""Standard errors of the pilot above alpha at which a step-down p is taken to be above alpha; the
enumeration then finds whether it is."""

LOWER_FLOOR = 1.25
"""How much longer one pass with a lower floor may take than one with this floor."""


@dataclass(frozen=True)
class SignFlipNull:
    """The nulls over units, units ascending by |t|."""

    counts: Int[np.ndarray, "thresholds units+1"]
    p_maxt: Float[np.ndarray, " units"]
    p_stepdown: Float[np.ndarray, " units"]
    p_maxt_exact: Bool[np.ndarray, " units"]
    p_stepdown_exact: Bool[np.ndarray, " units"]
    max_null: MaxNull
    critical_t: float
    exact: bool
    patterns: int
    method: str


@dataclass(frozen=True)
class Stepdown:
    """Step-down p before they are made monotone, and what is known of them."""

    p: Float[np.ndarray, " units"]
    exact: Bool[np.ndarray, " units"]
    above: float
    """Every p that is not exact is above this, and this above alpha; 1 if all are exact."""


def sign_flip_null(
    units: FixedPoint,
    flips: str | int,
    alpha: float,
    seed: int,
    running: Running,
) -> SignFlipNull:
    """Counts, largest |t| and family-wise p by the way that `flips` asks for."""
    blocks, number = units.blocks, len(units.fine)
    patterns = 1 << (blocks - 1)
    if not isinstance(flips, str):
        if flips < patterns:
            null = drawn_flips(units, 0, int(flips), seed, running)
            return from_tables(null, units, alpha, exact=False)
        flips = "exact"
    by_table = table_seconds(patterns, number, blocks)
    if by_table <= TABLE_SECONDS:
        return from_tables(all_flips(units, running), units, alpha, exact=True)
    affordable = blocks <= MAX_BLOCKS
    if affordable:
        pilot = drawn_flips(units, 0, PILOT, seed, running)
        floor, seconds = tail_floor(pilot, units, alpha)
        predicted = min(by_table, seconds)
        affordable = flips == "exact" or predicted <= AUTO_SECONDS
    if affordable and by_table <= predicted:
        return from_tables(all_flips(units, running), units, alpha, exact=True)
    if affordable:
        tail = settled_tail(units, floor, alpha, running)
        stepdown = settled_stepdown(tail, pilot, units, alpha, seed, running)
        return from_tail(tail, stepdown, pilot, units, alpha)
    null, imprecision = precise_flips(units, seed, alpha, running)
    precision = f", standard errors of p99 and critical t up to {imprecision:.1%}"
    return from_tables(null, units, alpha, exact=False, precision=precision)


def tail_floor(pilot: FlipNull, units: FixedPoint, alpha: float) -> tuple[int, float]:
    """The fine sum from which the largest |t| is told apart, and the seconds predicted for it.

    It is the highest bin edge that 10% of the pilot's patterns reach (or 2 alpha, if more): the
    lower it is, the fewer units can be skipped. Where the units below it could be significant
    step-down, it is put just above the strongest unit that cannot, unless that takes long.
    """
    level = min(1.0, max(FLOOR_SHARE, 2 * alpha))
    beyond = np.cumsum(pilot.largest[::-1])[::-1]
    edges = edges_fine(units)
    edge = max(1, int(np.flatnonzero(beyond >= level * pilot.patterns)[-1]))
    seconds = enumeration_seconds(units, int(edges[edge]))
    stepped = stepped_down(share_p(pilot.stepped, pilot.patterns, False))
    weak = np.flatnonzero(stepped > alpha + SURE * np.sqrt(alpha * (1 - alpha) / pilot.patterns))
    if len(weak):
        lower = max(1, int(np.searchsorted(edges, units.reach[weak[-1]], side="right")))
        if lower < edge:
            longer = enumeration_seconds(units, int(edges[lower]))
            if longer <= LOWER_FLOOR * seconds:
                return int(edges[lower]), longer
    return int(edges[edge]), seconds


def settled_tail(
    units: FixedPoint,
    floor: int,
    alpha: float,
    running: Running,
) -> Tail:
    """All patterns, with a floor that more than alpha of them reach.

    Then no unit below it is significant, and the critical t lies above it.
    """
    edges = edges_fine(units)
    edge = int(np.searchsorted(edges, floor))
    while True:
        tail = enumerate_tail(units, int(edges[edge]), running)
        if tail.beyond_floor > alpha * tail.patterns or edge == 1:
            return tail
        edge = max(1, edge * 3 // 4)


def settled_stepdown(
    tail: Tail,
    pilot: FlipNull,
    units: FixedPoint,
    alpha: float,
    seed: int,
    running: Running,
) -> Stepdown:
    """Step-down p, exact wherever they may be alpha or less.

    Those of the units below the floor are at least the share of the patterns in which one of them
    reaches it. If that is no more than alpha, these units are enumerated again alone: step-down,
    they never meet the others.
    """
    number, first = len(units.fine), tail.first_strong
    p = np.empty(number)
    exact = np.ones(number, dtype=bool)
    p[first:] = share_p(tail.stepped, tail.patterns, True)
    if first == 0:
        return Stepdown(p, exact, 1.0)
    above = tail.weak_beyond_floor / tail.patterns
    if above > alpha:
        exact[:first] = False
        p[:first] = np.maximum(share_p(pilot.stepped, pilot.patterns, False)[:first], above)
        return Stepdown(p, exact, above)
    weak = units.take(np.arange(first))._replace(passing=np.empty(0, np.int64))
    by_table = table_seconds(tail.patterns, first, units.blocks)
    pilot = drawn_flips(weak, 0, PILOT, seed, running)
    floor, seconds = tail_floor(pilot, weak, alpha)
    if by_table <= max(TABLE_SECONDS, seconds):
        null = all_flips(weak, running)
        p[:first] = share_p(null.stepped, null.patterns, True)
        return Stepdown(p, exact, 1.0)
    again = settled_tail(weak, floor, alpha, running)
    below = settled_stepdown(again, pilot, weak, alpha, seed, running)
    p[:first], exact[:first] = below.p, below.exact
    return Stepdown(p, exact, below.above)


def stepped_down(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """No unit's p below that of one with a larger |t|; units ascend by |t|."""
    return np.maximum.accumulate(p[::-1])[::-1]


def max_null(largest: Int[np.ndarray, " bins"], blocks: int, floor: float) -> MaxNull:
    """The distribution of the largest |t|, its bins in t."""
    return MaxNull(t_from_z(edges_z(blocks), blocks), largest, floor)


def from_tables(
    null: FlipNull, units: FixedPoint, alpha: float, *, exact: bool, precision: str = ""
) -> SignFlipNull:
    """Every pattern went through the tables, or drawn ones, which the data join as one more."""
    number = f"{null.patterns:,}"
    return SignFlipNull(
        counts=null.counts,
        p_maxt=share_p(null.reached, null.patterns, exact),
        p_stepdown=stepped_down(share_p(null.stepped, null.patterns, exact)),
        p_maxt_exact=np.full(len(units.fine), exact),
        p_stepdown_exact=np.full(len(units.fine), exact),
        max_null=max_null(null.largest, units.blocks, 0.0),
        critical_t=critical_t(null.largest, units.blocks, alpha, exact=exact),
        exact=exact,
        patterns=null.patterns,
        method=f"all {number} sign patterns"
        if exact
        else f"{number} random sign patterns{precision}",
    )


def from_tail(
    tail: Tail, stepdown: Stepdown, pilot: FlipNull, units: FixedPoint, alpha: float
) -> SignFlipNull:
    """All patterns from the floor up; below it the pilot's drawn patterns fill in.

    What is drawn decides nothing: a unit below the floor has a single-step p of at least the
    share of the patterns that reach the floor, and that is above alpha.
    """
    number = len(units.fine)
    first = tail.first_strong
    at_floor = tail.beyond_floor / tail.patterns
    p_maxt = np.maximum(share_p(pilot.reached, pilot.patterns, False), at_floor)
    p_maxt[first:] = share_p(tail.reached, tail.patterns, True)
    drawn = []
    if first:
        drawn.append(f"single-step p of {first:,} units, all above {rounded_down(at_floor)}")
    if not stepdown.exact.all():
        units_drawn = int((~stepdown.exact).sum())
        above = rounded_down(stepdown.above)
        drawn.append(f"step-down p of {units_drawn:,} units, all above {above}")
    method = f"all {tail.patterns:,} sign patterns, pruned"
    if drawn:
        method += f"; {' and '.join(drawn)}, from {pilot.patterns:,} random ones"
    floor_t = float(t_from_z(tail.floor / 2.0**units.bits, units.blocks))
    return SignFlipNull(
        counts=tail.counts,
        p_maxt=p_maxt,
        p_stepdown=stepped_down(stepdown.p),
        p_maxt_exact=np.arange(number) >= first,
        p_stepdown_exact=stepdown.exact,
        max_null=max_null(tail.largest, units.blocks, floor_t),
        critical_t=critical_t(tail.largest, units.blocks, alpha, exact=True),
        exact=True,
        patterns=tail.patterns,
        method=method,
    )


def rounded_down(share: float) -> str:
    """A share to three digits, none of them rounded up."""
    return f"{np.floor(share * 1000) / 1000:.3f}"
