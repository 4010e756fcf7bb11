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
    critical_z,
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

AUTO_SECONDS = 30.0
"""`flips="auto"` takes all patterns where this many seconds of one core are predicted to do."""


@dataclass(frozen=True)
class SignFlipNull:
    """The nulls over units, units ascending by |t|."""

    counts: Int[np.ndarray, "thresholds units+1"]
    p_maxt: Float[np.ndarray, " units"]
    p_stepdown: Float[np.ndarray, " units"]
    familywise_exact: Bool[np.ndarray, " units"]
    max_null: MaxNull
    critical_t: float
    exact: bool
    patterns: int
    method: str


def sign_flip_null(
    units: FixedPoint,
    passing: Int[np.ndarray, " thresholds"],
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
            null = drawn_flips(units, passing, 0, int(flips), seed, running)
            return from_drawn(null, units, alpha, "")
        flips = "exact"
    by_table = table_seconds(patterns, number, blocks)
    if by_table <= 1.0:
        return from_all(all_flips(units, passing, running), units, alpha)
    affordable = blocks <= MAX_BLOCKS
    if affordable:
        pilot = drawn_flips(units, passing, 0, PILOT, seed, running)
        floor = tail_floor(pilot, units, alpha)
        predicted = min(by_table, enumeration_seconds(units, passing, floor))
        affordable = flips == "exact" or predicted <= AUTO_SECONDS
    if affordable and by_table <= predicted:
        return from_all(all_flips(units, passing, running), units, alpha)
    if affordable:
        tail = enumerate_tail(units, passing, floor, running)
        return from_tail(tail, pilot, units, alpha)
    null, imprecision = precise_flips(units, passing, seed, alpha, AUTO_SECONDS, running)
    return from_drawn(
        null, units, alpha, f", standard errors of p99 and critical t up to {imprecision:.1%}"
    )


def tail_floor(pilot: FlipNull, units: FixedPoint, alpha: float) -> int:
    """The bin edge, as a fine sum, that some 10% of the patterns (or 2 alpha, if more) reach.

    From here up the largest |t| is told apart exactly. The lower it is, the fewer units can be
    skipped; the share leaves room for the pilot's own error above alpha.
    """
    z = critical_z(pilot.largest, units.blocks, max(0.1, 2 * alpha), 0)
    edge = int(np.searchsorted(edges_z(units.blocks), z)) if np.isfinite(z) else 1
    return int(edges_fine(units)[max(1, edge)])


def stepped_down(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """No unit's p below that of one with a larger |t|; units ascend by |t|."""
    return np.maximum.accumulate(p[::-1])[::-1]


def max_null(largest: Int[np.ndarray, " bins"], blocks: int, floor: float) -> MaxNull:
    """The distribution of the largest |t|, its bins in t."""
    return MaxNull(t_from_z(edges_z(blocks), blocks), largest, floor)


def from_all(null: FlipNull, units: FixedPoint, alpha: float) -> SignFlipNull:
    """Every pattern went through the tables."""
    number = len(units.fine)
    return SignFlipNull(
        counts=null.counts,
        p_maxt=share_p(null.reached, null.patterns, True),
        p_stepdown=stepped_down(share_p(null.stepped, null.patterns, True)),
        familywise_exact=np.ones(number, dtype=bool),
        max_null=max_null(null.largest, units.blocks, 0.0),
        critical_t=critical_t(null.largest, units.blocks, alpha, exact=True),
        exact=True,
        patterns=null.patterns,
        method=f"all {null.patterns:,} sign patterns",
    )


def from_drawn(null: FlipNull, units: FixedPoint, alpha: float, precision: str) -> SignFlipNull:
    """Patterns were drawn; the data join them as one more."""
    number = len(units.fine)
    return SignFlipNull(
        counts=null.counts,
        p_maxt=share_p(null.reached, null.patterns, False),
        p_stepdown=stepped_down(share_p(null.stepped, null.patterns, False)),
        familywise_exact=np.zeros(number, dtype=bool),
        max_null=max_null(null.largest, units.blocks, 0.0),
        critical_t=critical_t(null.largest, units.blocks, alpha, exact=False),
        exact=False,
        patterns=null.patterns,
        method=f"{null.patterns:,} random sign patterns{precision}",
    )


def from_tail(tail: Tail, pilot: FlipNull, units: FixedPoint, alpha: float) -> SignFlipNull:
    """All patterns from the floor up; below it the pilot's drawn patterns fill in.

    A unit below the floor has a family-wise p above the share of patterns at the floor, which
    is above alpha: what is drawn decides nothing there.
    """
    number = len(units.fine)
    first = tail.first_strong
    at_floor = tail.beyond_floor / tail.patterns
    p_maxt = np.maximum(share_p(pilot.reached, pilot.patterns, False), at_floor)
    p_stepdown = share_p(pilot.stepped, pilot.patterns, False)
    p_maxt[first:] = share_p(tail.reached, tail.patterns, True)
    p_stepdown[first:] = share_p(tail.stepped, tail.patterns, True)
    floor_t = float(t_from_z(tail.floor / 2.0**units.bits, units.blocks))
    return SignFlipNull(
        counts=tail.counts,
        p_maxt=p_maxt,
        p_stepdown=stepped_down(p_stepdown),
        familywise_exact=np.arange(number) >= first,
        max_null=max_null(tail.largest, units.blocks, floor_t),
        critical_t=critical_t(tail.largest, units.blocks, alpha, exact=True),
        exact=True,
        patterns=tail.patterns,
        method=(
            f"all {tail.patterns:,} sign patterns, pruned; family-wise p of units with "
            f"|t| < {floor_t:.3f}, all above {at_floor:.3f}, from {pilot.patterns:,} random ones"
        ),
    )
