"""The critical vector of simultaneous bounds on true discoveries, read off the sign flips."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from otherview.stats.chunks import Running, run_chunks
from otherview.stats.fixed_point import FixedPoint
from otherview.stats.flip_null import BINS, edges_fine, edges_z
from otherview.stats.flip_sampling import drawn_codes
from otherview.stats.flip_tables import SIGNS, pattern_codes
from otherview.stats.kernels import Integer, compiled
from otherview.stats.paired import NEAR_TIE, t_from_z

MAX_PATTERNS = 1 << 14
"""Up to this many sign patterns "auto" takes all of them."""

DRAWN = 10_000
"""Sign patterns that it draws where there are more."""

CHUNK_NUMBERS = 1 << 20
"""Sums under flips that are computed at once (8 MB)."""

TAIL = 0.2
"""Only units with a p up to this can matter while λ is at most this."""


WORTHWHILE = 0.02
"""λ is read off again where at least this share of the units was found alone."""


class Calibration(NamedTuple):
    """The fields of `DiscoveryBounds` that are read off the flips."""

    position: Int[np.ndarray, " units"]
    rank: Int[np.ndarray, " units"]
    needed: Int[np.ndarray, " units"]
    critical_t: Float[np.ndarray, " units"]
    scale: float
    steps: int
    exact: bool
    n_flips: int


class Template(NamedTuple):
    """Critical vectors l(u) = λ (u - shift) / (units - shift), by bins of |z|."""

    p: Float[np.ndarray, " bins"]
    """Student's p at the lower edge of each bin."""
    shift: int
    units: int

    def needed(self, scale: float) -> Int[np.ndarray, " units"]:
        """For u = 1, 2, ... the first bin with p < l(u); `BINS` where there is none."""
        rank = np.arange(1, self.units + 1) - self.shift
        found = np.full(self.units, BINS)
        allowed = rank > 0
        rank = rank[allowed]
        # The quotient is the kernel's; an estimate is at most a rounding away from it.
        bins = np.searchsorted(-self.p, -scale * rank / (self.units - self.shift))
        for step in (1, -1):
            place = np.clip(bins - (step == -1), 0, BINS - 1)
            passes = self.p[place] / rank * (self.units - self.shift) < scale
            bins += (~passes & (bins < BINS)) if step == 1 else -(passes & (bins > 0)).astype(int)
        found[allowed] = bins
        return found


def calibrate(
    units: FixedPoint, flips: str | int, alpha: float, shift: int, seed: int, running: Running
) -> Calibration:
    """Read λ off the flips: over all units, and again over those that are not found alone."""
    number, blocks = len(units.fine), units.blocks
    template = Template(bin_p(blocks), shift, number)
    every = 1 << (blocks - 1)
    wanted = (every if every <= MAX_PATTERNS else DRAWN) if flips == "auto" else flips
    exact = wanted == "exact" or int(wanted) >= every
    patterns = every if exact else int(wanted)
    codes = partial(pattern_codes if exact else partial(drawn_codes, seed), blocks=blocks)
    seen = np.searchsorted(edges_fine(units), units.observed, side="right") - 1
    position = np.minimum(seen, BINS - 1)
    rank = number - np.searchsorted(np.sort(units.observed), units.reach, side="left")
    left = np.ones(number, dtype=bool)
    steps = 0
    while True:
        steps += 1
        vectors = np.ascontiguousarray(units.fine[left].T / 2.0**units.bits)
        # A unit with p above `TAIL` cannot take a flip below a λ of that, so such units are looked
        # at only where λ is found to be larger.
        for tail in (TAIL, 1.0):
            first = int(np.searchsorted(-template.p, -tail))
            scales = flip_scales(vectors, template, first, codes, patterns, running)
            if not exact:
                observed = np.bincount(position[left], minlength=BINS)
                scales = np.append(scales, scale_of(observed, first, template))
            # The largest λ that at most alpha of the flips, the data among them, stay below.
            allowed = int(np.floor(alpha * len(scales) * (1 + 1e-12)))
            scale = float(np.partition(scales, allowed)[allowed])
            if scale <= tail:
                break
        needed = template.needed(scale)
        alone = left & (position >= needed[0])
        left &= ~alone
        if alone.sum() < max(1, WORTHWHILE * left.sum()) or not left.any():
            break
    lower_edges = np.append(t_from_z(edges_z(blocks)[:-1], blocks), np.inf)
    return Calibration(position, rank, needed, lower_edges[needed], scale, steps, exact, patterns)


def bin_p(blocks: int) -> Float[np.ndarray, " bins"]:
    """Two-sided p of Student's t at the lower edges of the bins of |z|."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(blocks - 1, -t_from_z(edges_z(blocks)[:-1], blocks)))


def scale_of(counts: Int[np.ndarray, " bins"], first: int, template: Template) -> float:
    """The largest λ whose critical vector these units stay below."""
    beyond = np.cumsum(counts[::-1])[::-1] - template.shift
    places = np.flatnonzero((counts > 0) & (beyond > 0))
    places = places[places >= first]
    ratios = template.p[places] / beyond[places] * (template.units - template.shift)
    return float(ratios.min(initial=np.inf))


@compiled
def smallest_ratios(
    sums: Float[np.ndarray, "flips units"],
    bins_per_z: float,
    tolerance: float,
    first: Integer,
    p: Float[np.ndarray, " bins"],
    shift: Integer,
    counts: Int[np.ndarray, " bins"],
    ratios: Float[np.ndarray, " flips"],
) -> None:
    """`scale_of` for each flip, over (units - shift). `counts` is room to work in."""
    last = np.int64(len(counts) - 1)
    for flip in range(len(sums)):
        counts[:] = 0
        for unit in range(sums.shape[1]):
            z = abs(sums[flip, np.uint64(unit)]) + tolerance
            counts[np.uint64(min(np.int64(z * bins_per_z), last))] += np.int32(1)
        beyond = -shift
        ratio = np.inf
        for place in range(last, first - 1, -1):
            if counts[np.uint64(place)]:
                beyond += counts[np.uint64(place)]
                if beyond > 0:
                    ratio = min(ratio, p[np.uint64(place)] / beyond)
        ratios[flip] = ratio


def flip_scales(
    vectors: Float[np.ndarray, "blocks units"],
    template: Template,
    first: int,
    codes: Callable[[int, int], UInt8[np.ndarray, "patterns tables"]],
    patterns: int,
    running: Running,
) -> Float[np.ndarray, " patterns"]:
    """For each sign pattern the largest λ whose critical vector its units stay below."""
    blocks, units = vectors.shape
    tolerance = NEAR_TIE * np.sqrt(blocks)
    bins_per_z = BINS / np.sqrt(blocks)
    rows = max(1, CHUNK_NUMBERS // max(1, units))
    starts = range(0, patterns, rows)

    def work(chunk: int) -> Float[np.ndarray, " flips"]:
        start, stop = starts[chunk], min(starts[chunk] + rows, patterns)
        block = np.arange(blocks)
        signs = 1.0 - 2.0 * ((codes(start, stop)[:, block // SIGNS] >> (block % SIGNS)) & 1)
        ratios = np.empty(stop - start)
        counts = np.empty(BINS, np.int32)
        smallest_ratios(
            signs @ vectors, bins_per_z, tolerance, first, template.p, template.shift, counts,
            ratios,
        )  # fmt: skip
        return ratios * (template.units - template.shift)

    return np.concatenate(list(run_chunks(work, len(starts), running)))
