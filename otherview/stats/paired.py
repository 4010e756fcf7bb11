"""Paired differences: their checks, block means, t and effect sizes."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike

from otherview.stats.inputs import group_labels, real_array

NEAR_TIE = 2.0**-45
"""Sums that differ by less than this share of what they could differ by are equal.

Decimal data such as 0.1 + 0.2 against 0.3 tie on paper and not in floating point.
"""


FAR_T = 250.0
"""Beyond this |t| SciPy's inversion may not end."""

NODES = 1024
"""Of the noncentralities that are looked up: more t than this are interpolated."""


class BlockMeans(NamedTuple):
    """Differences reduced to one row per block, each unit scaled by a power of two."""

    values: Float[np.ndarray, "blocks units"]
    """Block means, scaled (without rounding) so that a unit's largest is in [0.5, 1)."""
    exponent: Int[np.ndarray, " units"]
    """Block means in the caller's scale are `values * 2**exponent`."""
    block_of_pair: Int[np.ndarray, " pairs"]
    labels: Shaped[np.ndarray, " blocks"]
    """Block labels in sorted order, the order of the rows of `values`."""


class Effects(NamedTuple):
    """Student's t and effect sizes of block means."""

    mean: Float[np.ndarray, " units"]
    t: Float[np.ndarray, " units"]
    dz: Float[np.ndarray, " units"]
    degenerate: Bool[np.ndarray, " units"]


def column_sum(values: Float[np.ndarray, "rows units"]) -> Float[np.ndarray, " units"]:
    """Sum over rows, row after row: a unit's sum never depends on the other units."""
    total = np.zeros(values.shape[1])
    for row in values:
        total += row
    return total


def block_means(
    differences: ArrayLike, blocks: ArrayLike | None, name: str = "differences"
) -> BlockMeans:
    """Mean difference of every block and unit.

    `differences` is `[pairs, units]`; `blocks` `[pairs]` labels (numbers or strings) the pairs
    that must flip together, in any order, in blocks of any size; None makes each pair a block.

    Raises ValueError on wrong shapes, what is no finite real number, missing labels, and fewer
    than two blocks.
    """
    array = np.ascontiguousarray(real_array(differences, name))
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} has shape {array.shape}; give [pairs, units], one row per pair")
    pairs, units = array.shape
    labels: np.ndarray
    if blocks is None:
        labels = block_of_pair = np.arange(pairs)
    else:
        labels, block_of_pair = group_labels(blocks, pairs)
    if len(labels) < 2:
        raise ValueError(
            f"{name} holds {len(labels)} block{'' if len(labels) == 1 else 's'}; "
            "a sign-flip test needs two or more"
        )
    largest = np.abs(array).max(axis=0)
    exponent = np.where(largest > 0, np.frexp(largest)[1], 0)
    scaled = np.ldexp(array, -exponent)
    if len(labels) < pairs:
        sums = np.zeros((len(labels), units))
        for block, row in zip(block_of_pair, scaled, strict=True):
            sums[block] += row
        scaled = sums / np.bincount(block_of_pair)[:, None]
        scaled[np.abs(scaled) <= NEAR_TIE] = 0.0  # pairs that cancel on paper
    elif blocks is not None:
        scaled = scaled[np.argsort(block_of_pair)]
    return BlockMeans(scaled, exponent, block_of_pair, labels)


def effects(values: Float[np.ndarray, "blocks units"]) -> Effects:
    """Student's paired t and d_z = mean / SD of every unit.

    A unit whose values are all equal (to 2^-45 of the largest) is degenerate: t and d_z are
    NaN where all are zero, and infinite, with the sign of the mean, where they are not.
    """
    blocks = len(values)
    mean = column_sum(values) / blocks
    degenerate = np.ptp(values, axis=0) <= NEAR_TIE * np.abs(values).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt(column_sum((values - mean) ** 2) / (blocks - 1))
        deviation[degenerate] = 0.0
        dz = mean / deviation
    return Effects(mean, dz * np.sqrt(blocks), dz, degenerate)


def t_from_z(z: Any, blocks: int) -> Any:
    """t = z √((N-1)/(N-z²)), infinite where |z| = √N; z = Σd/√Σd²."""
    z = np.asarray(z, dtype=np.float64)
    rest = blocks - z * z
    with np.errstate(divide="ignore"):
        return np.where(
            rest > NEAR_TIE * blocks,
            z * np.sqrt((blocks - 1) / np.maximum(rest, NEAR_TIE * blocks)),
            np.copysign(np.inf, z),
        )


def z_from_t(t: Any, blocks: int) -> Any:
    """z = t √N / √(N-1+t²): the one cutoff on z of a threshold on t, the same for all units."""
    t = np.asarray(t, dtype=np.float64)
    return t * np.sqrt(blocks / (blocks - 1 + t * t))


def hedges_g(
    dz: Float[np.ndarray, " units"], blocks: int, confidence: float
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, "units 2"]]:
    """Hedges' g = J d_z, and an interval of the effect size δ that it estimates.

    J = Γ(n/2) / (√(n/2) Γ((n-1)/2)) with n = blocks - 1 takes out the small-sample bias of the
    estimate (Hedges 1981). The interval needs no such correction: it holds the δ = λ/√N under
    whose noncentrality λ the t seen is between its upper and lower (1-confidence)/2 points
    (Steiger & Fouladi 1997), so its coverage is exact where block means are normal; the sign-flip
    p does not assume that. NaN where d_z is not finite and where blocks = 2 (J is 0 there: no
    unbiased estimate exists).
    """
    from scipy import special

    nu = blocks - 1
    g = np.full(dz.shape, np.nan)
    interval = np.full((*dz.shape, 2), np.nan)
    finite = np.isfinite(dz)
    if nu == 1 or not finite.any():
        return g, interval
    correction = np.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2)) / np.sqrt(nu / 2)
    g[finite] = correction * dz[finite]
    t = dz[finite] * np.sqrt(blocks)
    tail = (1 - confidence) / 2
    bounds = np.stack([noncentralities(nu, 1 - tail, t), noncentralities(nu, tail, t)], axis=1)
    interval[finite] = bounds / np.sqrt(blocks)
    return g, interval


def noncentralities(
    nu: float, probability: float, t: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """`noncentrality` of many t, by a cubic spline between nodes: as near to the inversion at all t
    as SciPy's is at the nodes (1e-7, and 1e-3 near t = 0)."""
    from scipy.interpolate import CubicSpline

    place = np.arcsinh(t)
    if len(t) <= NODES or np.abs(t).max() > FAR_T:
        return noncentrality(nu, probability, t)
    nodes = np.linspace(place.min(), place.max(), NODES)
    return np.asarray(CubicSpline(nodes, noncentrality(nu, probability, np.sinh(nodes)))(place))


def noncentrality(
    nu: float, probability: float, t: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """The noncentrality under which the noncentral t falls below `t` with this probability.

    Beyond |t| = 250 SciPy's inversion may not end. There T <= t means W >= (delta + Z)/t, with
    W = chi/sqrt(nu) and Z normal, so delta is t times a quantile of W whose spread is widened by
    that of Z: within 1e-4 of the inversion at |t| = 250 for 95% intervals, and better beyond.
    """
    from scipy import special

    bound = np.empty_like(t)
    far = np.abs(t) > FAR_T
    bound[~far] = special.nctdtrinc(nu, probability, t[~far])
    t = t[far]
    mean = np.exp(special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2)) / np.sqrt(nu / 2)
    upper = np.where(t > 0, probability, 1 - probability)
    quantile = np.sqrt(special.chdtri(nu, upper) / nu)
    widened = np.sqrt(1 + 1 / (t * t * (1 - mean * mean)))
    bound[far] = t * (mean + (quantile - mean) * widened)
    return bound
