"""Histograms, with at most as many bins as Weights & Biases accepts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

MAX_BINS = 512
"""wandb.Histogram refuses more."""
NULL_BINS = 256
T_BINS = 64


@dataclass(frozen=True)
class Histogram:
    """Weights of the bins between `edges`."""

    weights: Float[np.ndarray, " bins"]
    edges: Float[np.ndarray, " edges"]


def null_histogram(rows: pl.DataFrame) -> Histogram:
    """Return how many sign patterns gave each value, from rows of `nulls.parquet`.

    Every integer has a bin; with too many integers, a bin holds several.
    """
    value, patterns = rows["value"].to_numpy(), rows["patterns"].to_numpy().astype(np.float64)
    upper = rows["upper"].to_numpy()
    centre = np.where(np.isnan(upper), value, (value + upper) / 2)
    if np.all(centre == np.round(centre)):
        low, high = centre.min(), centre.max()
        width = max(1, int(np.ceil((high - low + 1) / MAX_BINS)))
        edges = np.arange(low, high + width + 1, width) - 0.5
    else:
        edges = np.histogram_bin_edges(centre, bins=NULL_BINS)
    return Histogram(np.histogram(centre, bins=edges, weights=patterns)[0], edges)


def t_histogram(t: Float[np.ndarray, " units"]) -> Histogram:
    """Return the distribution of t over units."""
    weights, edges = np.histogram(t, bins=T_BINS)
    return Histogram(weights.astype(np.float64), edges)
