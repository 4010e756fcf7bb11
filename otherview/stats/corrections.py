"""Corrections for many units that need only their p values."""

import numpy as np
from jaxtyping import Float


def holm(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """Family-wise adjusted p under any dependence (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    remaining = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * remaining))
    return adjusted


def benjamini_hochberg(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """False-discovery-rate adjusted p under positive dependence (Benjamini & Hochberg 1995)."""
    order = np.argsort(p, kind="stable")[::-1]
    rank = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / rank))
    return adjusted


def discoveries(p: Float[np.ndarray, " units"], alpha: float) -> int:
    """Return how many units have a Benjamini-Hochberg q ≤ alpha (1995)."""
    ascending = np.sort(p[p <= alpha])
    passing = np.flatnonzero(ascending * len(p) / np.arange(1, len(ascending) + 1) <= alpha)
    return int(passing[-1]) + 1 if len(passing) else 0


def benjamini_yekutieli(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """False-discovery-rate adjusted p under any dependence (Benjamini & Yekutieli 2001)."""
    harmonic = float(np.sum(1.0 / np.arange(1, len(p) + 1)))
    return np.minimum(1.0, benjamini_hochberg(p) * harmonic)
