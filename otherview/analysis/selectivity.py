"""Is a contrast's effect larger than that of two wordings of one role?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

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
    def mean(self) -> Float[np.ndarray, " units"]:
        return np.asarray(self.by_item.mean(axis=0))

    @property
    def sd(self) -> Float[np.ndarray, " units"]:
        return np.asarray(self.by_item.std(axis=0, ddof=1))

    @property
    def items_above(self) -> Float[np.ndarray, " units"]:
        """Share of the items on which the contrast does more."""
        return np.asarray((self.by_item > 0).mean(axis=0))

    @property
    def ratio(self) -> Float[np.ndarray, " units"]:
        """Mean size of the contrast's differences over that of the placebos.

        Infinite where the placebos do nothing, NaN where neither does anything.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.of_contrast.mean(axis=0) / self.of_placebos.mean(axis=0))


def selectivity(
    contrast: Float[np.ndarray, "items units"], placebos: Sequence[Float[np.ndarray, "items units"]]
) -> Selectivity:
    """Absolute difference under the contrast less its mean under the placebos.

    Selectivity after Hewitt & Liang 2019. Magnitudes, since the order of a placebo's two
    wordings means nothing. It describes; it is no test, since two pairs of wordings always differ.
    """
    return Selectivity(np.abs(contrast), np.abs(np.stack(placebos)).mean(axis=0))


def selectivity_summary(found: Selectivity, addresses: Sequence[str]) -> dict[str, Any]:
    """The figures of a contrast's selectivity over units; docs/combined.md.

    `median_ratio` is absent where the placebos do nothing to half of the units.
    """
    mean, sd, items = found.mean, found.sd, found.items_above
    summary: dict[str, Any] = {
        "units": len(mean),
        "above_placebo": int((mean > 0).sum()),
        "strongest": [
            {
                "unit": addresses[index],
                "mean": float(mean[index]),
                "sd": float(sd[index]),
                "items": float(items[index]),
            }
            for index in np.argsort(-mean, kind="stable")[:STRONGEST_UNITS]
            if mean[index] > 0
        ],
    }
    ratio = found.ratio[~np.isnan(found.ratio)]
    if len(ratio) and np.isfinite(median := float(np.median(ratio))):
        summary["median_ratio"] = median
    return summary
