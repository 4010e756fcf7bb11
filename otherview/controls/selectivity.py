"""Is a contrast's effect larger than that of two wordings of one role?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Selectivity:
    """Per item and unit; see `selectivity`."""

    by_item: Float[np.ndarray, "items units"]
    ratio: Float[np.ndarray, " units"]
    """Mean absolute difference of the contrast over that of the placebos; infinite where the
    placebos do nothing."""

    @property
    def mean(self) -> Float[np.ndarray, " units"]:
        return np.asarray(self.by_item.mean(axis=0))

    @property
    def sd(self) -> Float[np.ndarray, " units"]:
        return np.asarray(self.by_item.std(axis=0, ddof=1))


def selectivity(
    contrast: Float[np.ndarray, "items units"], placebos: Sequence[Float[np.ndarray, "items units"]]
) -> Selectivity:
    """Absolute difference under the contrast less its mean under the placebos.

    Selectivity after Hewitt & Liang 2019. Magnitudes, since the order of a placebo's two
    wordings means nothing. It describes; it is no test, since two pairs of wordings always differ.
    """
    of_placebos = np.abs(np.stack(placebos)).mean(axis=0)
    of_contrast = np.abs(contrast)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = of_contrast.mean(axis=0) / of_placebos.mean(axis=0)
    return Selectivity(of_contrast - of_placebos, ratio)
