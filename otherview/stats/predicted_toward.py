"""How far a patch of each head from the other role is predicted to move the prediction there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from otherview.stats.columns import Column, UnitResult

SHARE = "of the way"
"""Unit of a way to the other role's prediction."""


@dataclass(frozen=True)
class PredictedTowardResult(UnitResult):
    """The predicted ways of every unit, means over a few pairs of prompts."""

    test: Float[np.ndarray, " units"]
    """Share of the way from the test role's prediction to the control role's."""
    control: Float[np.ndarray, " units"]
    """Share of the way back."""
    items: int
    """Items whose pairs of prompts were predicted."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("predicted_toward_test", "way of the test role’s prediction to that of the other "
               "role if the head takes its output from there, predicted at two points", SHARE,
               "predicted way", "test"),
        Column("predicted_toward_control", "the same of the control role", SHARE,
               "of the other role", "control"),
    )  # fmt: skip

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units, the farthest ways first."""
        order = np.argsort(-(np.abs(self.test) + np.abs(self.control)), kind="stable")
        return {
            "items": self.items,
            "farthest": [
                {
                    "unit": addresses[unit],
                    "test": float(self.test[unit]),
                    "control": float(self.control[unit]),
                }
                for unit in order[:5]
            ],
        }
