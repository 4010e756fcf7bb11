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
    scenes_by_role: Float[np.ndarray, " units"]
    """Between scenes in their difference of roles, without what their interactions with items and
    wordings add; NaN for one scene."""
    items_by_role: Float[np.ndarray, " units"]
    """Between items in their difference of roles, without what items' residuals add."""
    residual: Float[np.ndarray, " units"]
    """Of one item under one wording: their interaction, and noise."""
    ratio: Float[np.ndarray, " units"]
    """What items add to the variance of the role's difference over what wordings add:
    (`items_by_role` / items) / (`wordings` (1/test + 1/control)), negative components taken as 0.
    Infinite where only items vary, NaN where neither does."""
    scene_ratio: Float[np.ndarray, " units"]
    """The same of scenes: (`scenes_by_role` / scenes) / (`wordings` (1/test + 1/control))."""
    sd_ratio: float | None
    """SD between test wordings over SD between control wordings, geometric mean over units; None
    where a role has one wording or no unit varies in both."""

    @property
    def median_ratio(self) -> float | None:
        """Median of `ratio` over units; None where it is not finite."""
        return median_of(self.ratio)

    @property
    def median_scene_ratio(self) -> float | None:
        """The same of `scene_ratio`."""
        return median_of(self.scene_ratio)


def median_of(ratio: Float[np.ndarray, " units"]) -> float | None:
    """Median over units that have a ratio; None where it is not finite."""
    known = ratio[~np.isnan(ratio)]
    median = float(np.median(known)) if len(known) else np.inf
    return median if np.isfinite(median) else None


def role_variance(
    responses: Float[np.ndarray, "items wordings scenes units"],
    design: WordingDesign,
    exponent: Int[np.ndarray, " units"],
) -> RoleVariance:
    """Split the variance of the role's difference over items, wordings and scenes.

    `responses * 2**exponent` are in the caller's scale; `responses` are at most about 1. Expected
    mean squares of items x wordings, means over scenes, with wordings nested in roles (Clark
    1973), frames and role taken out of the wordings by least squares: a wording's mean over items
    has the variance wordings + residual / items, an item's difference items_by_role + residual
    (1/test + 1/control). So `wordings` and `items_by_role` are those on the mean of these scenes.
    """
    items = len(responses)
    maker = design.residual_maker
    contrast = design.contrast / design.information
    over_scenes = responses.mean(axis=2)
    of_means = maker @ over_scenes.mean(axis=0)
    squares = np.zeros(responses.shape[-1])
    differences = np.empty((items, responses.shape[-1]))
    for item, own in enumerate(over_scenes):
        differences[item] = contrast @ own
        squares += np.square(maker @ own - of_means).sum(axis=0)
    of_means[np.abs(of_means) <= NEAR_TIE] = 0.0
    residual = squares / ((items - 1) * design.degrees)
    residual[residual <= NEAR_TIE**2] = 0.0
    between = np.square(of_means).sum(axis=0) / design.degrees
    by_role = variance_of(differences)
    wordings = less(between, residual / items)
    items_by_role = less(by_role, residual / design.information)
    scenes_by_role = scene_variance(responses, design)
    from_items = np.maximum(items_by_role, 0) / items
    from_scenes = np.maximum(scenes_by_role, 0) / responses.shape[2]
    from_wordings = np.maximum(wordings, 0) / design.information
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, scene_ratio = from_items / from_wordings, from_scenes / from_wordings
    with np.errstate(over="ignore", under="ignore"):  # squares of 1e200 are no 64-bit numbers
        return RoleVariance(
            wordings=np.ldexp(wordings, 2 * exponent),
            scenes_by_role=np.ldexp(scenes_by_role, 2 * exponent),
            items_by_role=np.ldexp(items_by_role, 2 * exponent),
            residual=np.ldexp(residual, 2 * exponent),
            ratio=ratio,
            scene_ratio=scene_ratio,
            sd_ratio=sd_ratio(of_means, design),
        )


def scene_variance(
    responses: Float[np.ndarray, "items wordings scenes units"], design: WordingDesign
) -> Float[np.ndarray, " units"]:
    """Variance between scenes in their difference of roles; NaN for one scene.

    Of items x wordings x scenes, the same way: a scene's difference varies by scenes_by_role +
    items_by_scenes_by_role / items + (wordings_by_scenes + residual / items) (1/test + 1/control).
    """
    items, _, scenes, units = responses.shape
    if scenes == 1:
        return np.full(units, np.nan)
    maker = design.residual_maker
    contrast = design.contrast / design.information
    around = responses - responses.mean(axis=2, keepdims=True)
    over_items = around.mean(axis=0)
    of_scenes = variance_of(np.stack([contrast @ over_items[:, one] for one in range(scenes)]))
    of_wordings = np.tensordot(maker, over_items, axes=1)
    of_roles, of_residual = np.zeros(units), np.zeros(units)
    for own in around:
        apart = own - over_items
        of_roles += np.square(np.tensordot(contrast, apart, axes=1)).sum(axis=0)
        of_residual += np.square(np.tensordot(maker, apart, axes=1)).sum(axis=(0, 1))
    free = scenes - 1
    by_wordings = np.square(of_wordings).sum(axis=(0, 1)) / (design.degrees * free)
    residual = of_residual / ((items - 1) * design.degrees * free)
    by_items = less(of_roles / ((items - 1) * free), residual / design.information)
    return less(less(of_scenes, by_wordings / design.information), by_items / items)


def less(
    one: Float[np.ndarray, " units"], other: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """One less the other; 0 where that is only rounding."""
    difference = one - other
    negligible = NEAR_TIE * (np.abs(one) + np.abs(other))
    return np.where(np.abs(difference) <= negligible, 0.0, difference)


def variance_of(differences: Float[np.ndarray, "sample units"]) -> Float[np.ndarray, " units"]:
    """Variance around the mean; 0 where that is only rounding."""
    deviations = differences - differences.mean(axis=0)
    deviations[np.abs(deviations) <= NEAR_TIE] = 0.0
    return np.asarray(np.square(deviations).sum(axis=0) / (len(differences) - 1))


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
