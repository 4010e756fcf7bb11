"""Compare contrasts over the same units: for a run with controls, and for a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from otherview.stats import map_agreement
from otherview.stats.columns import STRONGEST_UNITS


@dataclass(frozen=True)
class Selectivity:
    """Sizes of the differences under a contrast, and what the placebos give; see `selectivity`.

    NaN where there was nothing to compare.
    """

    of_contrast: Float[np.ndarray, "items units"]
    of_placebos: Float[np.ndarray, "items units"]

    @property
    def by_item(self) -> Float[np.ndarray, "items units"]:
        """How much larger the size of the difference is under the contrast."""
        return np.asarray(self.of_contrast - self.of_placebos)

    @property
    def ratio(self) -> Float[np.ndarray, " units"]:
        """Mean size of the contrast's differences over that of the placebos.

        Infinite where the placebos do nothing, NaN where neither does anything.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.of_contrast.mean(axis=0) / self.of_placebos.mean(axis=0))

    def columns(self, suffix: str = "") -> dict[str, Float[np.ndarray, " units"]]:
        """Return mean and standard deviation over items, and the share of items above 0."""
        by_item = self.by_item
        return {
            f"selectivity{suffix}": by_item.mean(axis=0),
            f"selectivity_sd{suffix}": by_item.std(axis=0, ddof=1),
            f"selective_items{suffix}": (by_item > 0).mean(axis=0),
        }

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Return the figures over units; docs/controls.md.

        `median_ratio` is absent where the placebos do nothing to half of the units.
        """
        mean, sd, items = self.columns().values()
        summary: dict[str, Any] = {
            "units": len(mean),
            "above_placebo": int((mean > 0).sum()),
            "strongest": [
                {"unit": addresses[index], "mean": float(mean[index]), "sd": float(sd[index]),
                 "items": float(items[index])}
                for index in np.argsort(-mean, kind="stable")[:STRONGEST_UNITS]
                if mean[index] > 0
            ],
        }  # fmt: skip
        ratio = self.ratio[~np.isnan(self.ratio)]
        if len(ratio) and np.isfinite(median := float(np.median(ratio))):
            summary["median_ratio"] = median
        return summary


def selectivity(
    contrast: Float[np.ndarray, "items units"], placebos: Sequence[Float[np.ndarray, "items units"]]
) -> Selectivity:
    """Return the absolute difference under the contrast, and its mean under the placebos.

    Selectivity after Hewitt & Liang 2019, on magnitudes, since the order of the two sets of a
    placebo is arbitrary. It is a description and not a test: any two pairs of wordings differ.
    """
    return Selectivity(np.abs(contrast), np.abs(np.stack(placebos)).mean(axis=0))


def agreement(
    one: Float[np.ndarray, " units"], other: Float[np.ndarray, " units"]
) -> dict[str, Any] | None:
    """Return how far the t-maps of two contrasts agree: Pearson's and Spearman's correlation.

    None with fewer than two units that are finite in both; no correlation for a constant map.
    """
    maps = np.stack([one, other])
    if np.isfinite(maps).all(axis=0).sum() < 2:
        return None
    found = map_agreement(maps)
    if not np.isfinite(found.pearson.mean):
        return {"units": found.units}
    return {
        "units": found.units,
        "pearson": found.pearson.mean,
        "spearman": found.spearman.mean,
    }
