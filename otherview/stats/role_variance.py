"""How much of the role's difference is left to wordings, and how much to items."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.paired import NEAR_TIE
from otherview.stats.wordings import TINY, WordingDesign


@dataclass(frozen=True)
class RoleVariance:
    """Variance components of the role's difference; one entry per unit.

    Unbiased estimates, so sometimes negative, in squared units of the responses.
    """

    wordings: Float[np.ndarray, " units"]
    """Between wordings of one role (and frame), without what items' residuals add."""
    items_by_role: Float[np.ndarray, " units"]
    """Between items in their difference of roles, without what items' residuals add."""
    residual: Float[np.ndarray, " units"]
    """Of one item under one wording: their interaction, and noise."""
    ratio: Float[np.ndarray, " units"]
    """What items add to the variance of the role's difference over what wordings add:
    (`items_by_role` / items) / (`wordings` (1/test + 1/control)), negative components taken as 0.
    Infinite where only items vary, NaN where neither does."""
    sd_ratio: float | None
    """SD between test wordings over SD between control wordings, geometric mean over units; None
    where a role has one wording or no unit varies in both."""

    @property
    def median_ratio(self) -> float | None:
        """Median of `ratio` over units; None where it is not finite."""
        known = self.ratio[~np.isnan(self.ratio)]
        median = float(np.median(known)) if len(known) else np.inf
        return median if np.isfinite(median) else None


def role_variance(
    responses: Float[np.ndarray, "items wordings units"],
    design: WordingDesign,
    exponent: Int[np.ndarray, " units"],
) -> RoleVariance:
    """Split the variance of the role's difference over items and wordings.

    `responses * 2**exponent` are in the caller's scale; `responses` are at most about 1. Expected
    mean squares of items x wordings with wordings nested in roles (Clark 1973), frames and role
    taken out of the wordings by least squares: a wording's mean over items has the variance
    wordings + residual / items, an item's difference items_by_role + residual (1/test +
    1/control).
    """
    items = len(responses)
    maker = design.residual_maker
    contrast = design.contrast / design.information
    means = responses.mean(axis=0)
    of_means = maker @ means
    squares = np.zeros(responses.shape[2])
    differences = np.empty((items, responses.shape[2]))
    for item, own in enumerate(responses):
        differences[item] = contrast @ own
        squares += np.square(maker @ own - of_means).sum(axis=0)
    of_means[np.abs(of_means) <= NEAR_TIE] = 0.0
    residual = squares / ((items - 1) * design.degrees)
    residual[residual <= NEAR_TIE**2] = 0.0
    between = np.square(of_means).sum(axis=0) / design.degrees
    deviations = differences - differences.mean(axis=0)
    deviations[np.abs(deviations) <= NEAR_TIE] = 0.0
    by_role = np.square(deviations).sum(axis=0) / (items - 1)
    wordings = between - residual / items
    items_by_role = by_role - residual / design.information
    from_items = np.maximum(items_by_role, 0) / items
    from_wordings = np.maximum(wordings, 0) / design.information
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = from_items / from_wordings
    with np.errstate(over="ignore", under="ignore"):  # squares of 1e200 are no 64-bit numbers
        return RoleVariance(
            wordings=np.ldexp(wordings, 2 * exponent),
            items_by_role=np.ldexp(items_by_role, 2 * exponent),
            residual=np.ldexp(residual, 2 * exponent),
            ratio=ratio,
            sd_ratio=sd_ratio(of_means, design),
        )


def sd_ratio(residual: Float[np.ndarray, "wordings units"], design: WordingDesign) -> float | None:
    """Geometric mean over units of the roles' SDs, each residual freed of its leverage."""
    free = 1 - design.leverage(design.contrast)
    used = design.frame_size > 0
    if (free[used] < TINY).any():
        return None
    squares = residual**2 / free[:, None]
    test = squares[used & design.is_test].mean(axis=0)
    control = squares[used & ~design.is_test].mean(axis=0)
    varies = (test > 0) & (control > 0)
    if not varies.any():
        return None
    return float(np.exp(np.mean(np.log(test[varies]) - np.log(control[varies])) / 2))
