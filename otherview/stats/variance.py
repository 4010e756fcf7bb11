"""How much of the variance is each factor's: items, wordings, seeds?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from otherview.stats.inputs import real_array
from otherview.stats.paired import NEAR_TIE

RESIDUAL = "residual"
METHOD = "analysis of variance, expected mean squares (Henderson's method I), all factors random"


@dataclass(frozen=True)
class VarianceComponents:
    """What `variance_components` found; arrays have one entry per unit.

    Effects are named by their factors ("item", "item:seed"); the last, "residual", is the
    interaction of all factors together with what is left.
    """

    components: dict[str, Float[np.ndarray, " units"]]
    """Estimates, unbiased and so sometimes negative, in squared units of the cells; infinite where
    that is beyond 64-bit numbers."""
    mean_squares: dict[str, Float[np.ndarray, " units"]]
    degrees: dict[str, int]
    """Degrees of freedom of the mean squares."""
    levels: dict[str, int]
    """Levels of every factor that varied."""
    shares: dict[str, Float[np.ndarray, " units"]]
    """Each component over the sum of all, negative ones taken as 0; NaN where all are 0."""


Effect = tuple[int, ...]
"""Axes of the factors of an effect."""


def variance_components(cells: ArrayLike, factors: Sequence[str]) -> VarianceComponents:
    """Variance components of a crossed design with one value a cell.

    `cells` is `[levels of factor 1, ..., levels of factor k, units]`, `factors` names the k
    axes. A factor with one level is left out: what it would add is part of the other components.
    With n levels of each factor, the expected mean square of an effect is the sum over all
    effects that contain it of their component times the levels of the factors that they lack;
    solved from the residual upwards this is Henderson's method I, which on balanced data is also
    REML as long as no estimate is negative (Searle, Casella & McCulloch 1992, sections 4.1, 4.8).

    Raises ValueError on NaN or infinity, on wrong names, and where fewer than two factors vary.
    """
    array = real_array(cells, "cells")
    if array.ndim != len(factors) + 1 or 0 in array.shape:
        raise ValueError(
            f"cells has shape {array.shape}; give an axis for each of {list(factors)} and one for "
            "units"
        )
    if len({*factors, RESIDUAL}) != len(factors) + 1 or any(":" in name for name in factors):
        raise ValueError(f'factors are {list(factors)}; give different names without ":"')
    varied = [axis for axis in range(len(factors)) if array.shape[axis] > 1]
    if len(varied) < 2:
        raise ValueError(
            f"cells has shape {array.shape}; a variance split needs two factors or more with two "
            "levels or more"
        )
    names = [factors[axis] for axis in varied]
    shape = [array.shape[axis] for axis in varied]
    values = array.reshape(*shape, array.shape[-1])
    exponent = np.frexp(np.abs(values).max(axis=tuple(range(len(shape)))))[1]
    mean_squares, degrees = find_mean_squares(np.ldexp(values, -exponent))
    components = solve_components(mean_squares, shape)
    shares = shares_of(components)
    named = {effect: effect_name(effect, names) for effect in mean_squares}
    with np.errstate(over="ignore", under="ignore"):  # squares of 1e200 are no 64-bit numbers
        return VarianceComponents(
            {named[one]: np.ldexp(components[one], 2 * exponent) for one in named},
            {named[one]: np.ldexp(mean_squares[one], 2 * exponent) for one in named},
            {named[one]: degrees[one] for one in named},
            dict(zip(names, shape, strict=True)),
            {named[one]: shares[one] for one in named},
        )


def shares_of(components: dict[Effect, np.ndarray]) -> dict[Effect, np.ndarray]:
    """Each component over the sum of all, negative ones taken as 0; NaN where all are 0."""
    positive = {effect: np.maximum(found, 0.0) for effect, found in components.items()}
    total = np.sum(list(positive.values()), axis=0)
    with np.errstate(invalid="ignore"):
        return {
            effect: np.asarray(np.where(total > 0, found / total, np.nan))
            for effect, found in positive.items()
        }


def effects(factors: int) -> Iterator[Effect]:
    """All effects, main effects first, the interaction of all factors last."""
    for size in range(1, factors + 1):
        yield from combinations(range(factors), size)


def effect_name(effect: Effect, names: Sequence[str]) -> str:
    return RESIDUAL if len(effect) == len(names) else ":".join(names[axis] for axis in effect)


def find_mean_squares(
    values: Float[np.ndarray, "*levels units"],
) -> tuple[dict[Effect, np.ndarray], dict[Effect, int]]:
    """Mean square and degrees of freedom of every effect; consumes `values`, at most about 1.

    Effects are taken away as they are found, lower ones first, so that what a mean over the other
    axes then shows is the effect alone, and no difference of large sums is ever formed.
    """
    factors = values.ndim - 1
    values -= values.mean(axis=tuple(range(factors)), keepdims=True)
    values[np.abs(values) <= NEAR_TIE] = 0.0  # the mean of equal cells may be a rounding apart
    mean_squares, degrees = {}, {}
    for effect in effects(factors):
        others = tuple(axis for axis in range(factors) if axis not in effect)
        found = values.mean(axis=others, keepdims=True)
        repeats = int(np.prod([values.shape[axis] for axis in others], dtype=np.int64))
        degrees[effect] = int(np.prod([values.shape[axis] - 1 for axis in effect]))
        squares = np.square(found).sum(axis=tuple(range(factors)))
        mean_squares[effect] = repeats * squares / degrees[effect]
        values -= found
    return mean_squares, degrees


def solve_components(
    mean_squares: dict[Effect, Float[np.ndarray, " units"]], shape: Sequence[int]
) -> dict[Effect, Float[np.ndarray, " units"]]:
    """Solves the expected mean squares, from the residual upwards."""
    components: dict[Effect, np.ndarray] = {}
    for effect in reversed(mean_squares):
        rest = mean_squares[effect].copy()
        for larger, component in components.items():
            if set(effect) < set(larger):
                rest -= component * lacking(larger, shape)
        components[effect] = rest / lacking(effect, shape)
    return components


def lacking(effect: Effect, shape: Sequence[int]) -> int:
    """Product of the levels of the factors that an effect lacks."""
    return int(np.prod([n for axis, n in enumerate(shape) if axis not in effect], dtype=np.int64))
