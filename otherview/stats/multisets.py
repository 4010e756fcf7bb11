"""Drawing with replacement: every possible draw, and how likely it is."""

import itertools
import math

import numpy as np
from jaxtyping import Int


def multisets(things: int, drawn: int) -> Int[np.ndarray, "multisets things"]:
    """How often each thing is drawn, for all ways to draw `drawn` of them with replacement.

    There are C(things + drawn - 1, drawn).
    """
    bars = np.array(list(itertools.combinations(range(drawn + things - 1), things - 1)))
    bars = bars.reshape(-1, things - 1)
    edges = np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), drawn + things - 1)
    return np.asarray(np.diff(np.concatenate(edges, axis=1), axis=1) - 1)


def orders(times: Int[np.ndarray, "multisets things"]) -> Int[np.ndarray, " multisets"]:
    """In how many orders these things can be drawn: n! / Π times!."""
    drawn = int(times[0].sum())
    factorials = np.array([math.factorial(n) for n in range(drawn + 1)], dtype=np.int64)
    return np.asarray(factorials[drawn] // np.prod(factorials[times], axis=1))
