"""Is there an axis of the role in what a head writes, that holds over items and wordings?

A head writes a vector under every item and wording. The axis of the role is the difference of the
roles' mean vectors. `axis_test` asks three things: whether the means differ at all, by a test over
items and wordings; how well the axis tells the roles apart under items and wordings on which it
was not found; and whether axes that were found on different items and wordings agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from otherview.stats.axis_folds import agreement, decoding
from otherview.stats.chunks import Progress, counted
from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.inputs import check_settings
from otherview.stats.role_draws import Randomisations, drawn_of, randomisations
from otherview.stats.role_null import stretches
from otherview.stats.role_p import largest_beyond, weight_from
from otherview.stats.sign_flip import Flips
from otherview.stats.wordings import WordingDesign, check_several, own_labels, role_design

TIE = 1e-6
"""Share by which statistics may differ and tie."""
NEGLIGIBLE = 1e-12
"""Share of a unit's mean square below which differences count as none."""

Vectors = Float[np.ndarray, "items wordings units channels"]


@dataclass(frozen=True)
class AxisResult(UnitResult):
    """What `axis_test` found; arrays have one entry per unit."""

    decoding: Float[np.ndarray, " units"]
    """Share of left-out responses on the right side of the axis; .5 is chance."""
    cosine: Float[np.ndarray, " units"]
    """Mean cosine of axes from halves that share no item and no wording."""
    f: Float[np.ndarray, " units"]
    """Squared length of the axis over its squared standard error."""
    p: Float[np.ndarray, " units"]
    """Family-wise p of `f`."""
    called: Bool[np.ndarray, " units"]
    alpha: float
    exact: bool
    n_randomisations: int
    smallest_p: float
    """That the relabellings of these wordings allow."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("axis_decoding", "share of responses to left-out items and wordings that the axis "
               "of the role puts on the right side; .5 is chance", "share", "decoded", "decoding"),
        Column("axis_cosine", "mean cosine of axes found on halves without a common item or "
               "wording", "", "cosine of axes", "cosine"),
        Column("axis_f", "squared length of the axis over its squared standard error", of="f"),
        Column("p_axis", "p of axis_f over items and wordings, family-wise over heads",
               PROBABILITY, "axis p", "p"),
        Column("axis_called", "p_axis is at most alpha", heading="axis", of="called"),
    )  # fmt: skip

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units."""
        order = np.lexsort((-np.nan_to_num(self.f), -np.nan_to_num(self.decoding)))
        called = [unit for unit in order if self.called[unit]]
        found: dict[str, Any] = {
            "called": len(called),
            "called_units": [addresses[unit] for unit in called],
            "smallest_p_axis": float(self.p.min()),
            "smallest_p": self.smallest_p,
            "alpha": self.alpha,
            "exact": self.exact,
            "randomisations": self.n_randomisations,
        }
        for name, units in (("called", called), ("all", list(range(len(self.p))))):
            for what, values in (
                ("decoding", self.decoding[units]),
                ("cosine", self.cosine[units]),
            ):
                known = values[np.isfinite(values)]
                if len(known):
                    found[f"median_{what}_of_{name}"] = float(np.median(known))
                    found[f"lowest_{what}_of_{name}"] = float(known.min())
        return found


def axis_test(
    vectors: Vectors,
    roles: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    alpha: float = 0.05,
    flips: Flips = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> AxisResult:
    """Test each unit for an axis of the role, and measure how far it holds elsewhere.

    The test is the role test with vectors in place of numbers, and squared lengths in place of
    squares (pseudo-F of Anderson 2001): F = |D|² / (se_items² + se_wordings²), D being the
    difference of the roles' mean vectors, and a squared standard error the sum of those of its
    channels. The null deals the roles to the wordings again (within frames) and draws the items
    again around their mean. For the family-wise p each unit's F is divided by the 1 - `alpha`
    quantile of its own null, and the largest is taken: units with many channels that vary have a
    narrower null. With fewer than twenty items these are put farther from their mean, as far as the
    role test puts them for a unit's own p. With one channel F is t² of the role test.

    Decoding and cosine describe (`axis_folds`). Both are NaN where a role has one wording in all,
    F where a unit has no variance.

    Raises ValueError on wrong shapes, NaN, other roles, one wording of each role in all, or fewer
    than two items.
    """
    check_settings(alpha, seed, flips)
    array = np.asarray(vectors)
    if array.ndim != 4 or len(array) < 2:
        raise ValueError(f"vectors has the shape {array.shape}; give items (two or more), wordings,"
                         " units, channels")  # fmt: skip
    if not np.isfinite(array).all():
        raise ValueError("vectors has NaN or infinite values")
    design = role_design(roles, strata, array.shape[1])
    check_several(design)
    plan = randomisations(design, len(array), 0, flips, seed)
    drawn = Drawn.of(plan)
    units = array.shape[2]
    observed, nulls = np.full(units, np.nan), np.zeros((units, len(drawn.weights)), np.float32)
    decoded, cosines = np.full(units, np.nan), np.full(units, np.nan)
    for unit in counted(units, progress):
        own = array[:, :, unit].astype(np.float64)
        observed[unit], nulls[unit] = pseudo_f(own, design, drawn)
        if not np.isnan(observed[unit]):
            decoded[unit] = decoding(own, design)
            cosines[unit] = agreement(own, design, seed)
    p = familywise(observed, nulls, drawn, plan, alpha)
    return AxisResult(
        decoded,
        cosines,
        observed,
        p,
        p <= alpha,
        alpha,
        plan.exact,
        plan.number,
        design.smallest_p,
    )


@dataclass(frozen=True)
class Drawn:
    """All randomisations; rows with the data's own labels, or their mirror image, are counted."""

    contrasts: Float[np.ndarray, "rows wordings"]
    items: Float[np.ndarray, "rows items"]
    """Times that an item is drawn, as a share of all draws."""
    weights: Int[np.ndarray, " rows"]
    own: int
    """Weight of the rows with the data's own labels, which are not in the arrays."""

    @classmethod
    def of(cls, plan: Randomisations) -> Drawn:
        """Return the randomisations of a plan."""
        blocks = [plan.block(index) for index in range(plan.blocks)]
        contrasts = np.concatenate([block[0] for block in blocks])
        items = np.concatenate([block[1] for block in blocks])
        weights = np.concatenate([block[3] for block in blocks])
        other = own_labels(contrasts, plan.design) == 0
        return cls(
            contrasts[other].astype(np.float64),
            items[other] / np.float64(drawn_of(plan.items)),
            weights[other],
            int(weights[~other].sum()),
        )


def pseudo_f(
    values: Float[np.ndarray, "items wordings channels"], design: WordingDesign, drawn: Drawn
) -> tuple[float, Float[np.ndarray, " rows"]]:
    """Return F of one unit, and F under every randomisation.

    Only products of vectors enter: of wordings' means, of items' differences, and between them.
    NaN, and zeros, for a unit without variance.
    """
    label = design.contrast / design.information
    means = values.mean(axis=0)
    differences = np.einsum("w,iwc->ic", label, values)
    axis = label @ means
    deviations = differences - differences.mean(axis=0)
    residuals = design.residual_maker @ means
    squares = (residuals**2).sum(axis=1)
    error_items = float((deviations**2).sum()) / (len(values) * (len(values) - 1))
    error_wordings = errors_of_wordings(design, squares[None], design.contrast[None])[0]
    error, size = error_items + error_wordings, float(axis @ axis)
    if error + size <= NEGLIGIBLE * float((means**2).sum()):
        return float("nan"), np.zeros(len(drawn.weights), np.float32)
    if error == 0:
        return float("inf"), np.zeros(len(drawn.weights), np.float32)
    kept = math.sqrt(error_wordings / error)
    centred = design.centred(means) - np.outer(design.contrast, (1 - kept) * axis)

    longer = stretches(len(values), 0)[0].of_items
    contrasts, times = drawn.contrasts / design.information, drawn.items
    of_wordings = centred @ centred.T
    of_items = deviations @ deviations.T
    across = contrasts @ of_wordings
    relabelled = (across * contrasts).sum(axis=1)
    moved = ((times @ of_items) * times).sum(axis=1)
    both = ((contrasts @ (centred @ deviations.T)) * times).sum(axis=1)
    number = drawn_of(len(values))
    of_drawn = np.maximum(times @ np.diag(of_items) - moved, 0) / max(1, number - 1)
    slopes = drawn.contrasts
    residual = np.diag(of_wordings) - 2 * slopes * across + slopes**2 * relabelled[:, None]
    of_labels = errors_of_wordings(design, np.maximum(residual, 0), slopes)
    size_drawn = np.maximum(relabelled + longer**2 * moved + 2 * longer * both, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        null = np.nan_to_num(size_drawn / (of_drawn + of_labels), posinf=np.inf)
    return size / error, null.astype(np.float32)


def errors_of_wordings(
    design: WordingDesign,
    squares: Float[np.ndarray, "rows wordings"],
    contrasts: Float[np.ndarray, "rows wordings"],
) -> Float[np.ndarray, " rows"]:
    """Return the squared standard error over wordings from their squared residuals.

    The larger of Welch's and the pooled one, as `observed_error` of the role test has it.
    """
    counted = squares * (design.frame_size > 0)
    pooled = design.pooled_weight * counted.sum(axis=1)
    if design.is_alike:
        return np.asarray(pooled)
    return np.asarray(np.maximum(pooled, (design.welch_weights(contrasts) * counted).sum(axis=1)))


def familywise(
    observed: Float[np.ndarray, " units"],
    nulls: Float[np.ndarray, "units rows"],
    drawn: Drawn,
    plan: Randomisations,
    alpha: float,
) -> Float[np.ndarray, " units"]:
    """Return the share of randomisations whose largest F, in widths of the units, reaches each.

    (b + 1) / (m + 1) where randomisations were drawn. Never below a unit's own p. 1 for a unit
    without F.
    """
    extra = 0 if plan.exact else 1
    total = int(drawn.weights.sum()) + drawn.own + extra
    largest = np.zeros(nulls.shape[1], np.float32)
    widths = np.ones(len(observed))
    own = np.ones(len(observed))
    reached = observed * (1 - TIE)
    for unit, null in enumerate(nulls):
        if np.isnan(observed[unit]):
            continue
        width = largest_beyond(null, drawn.weights, alpha * total - drawn.own - extra)
        widths[unit] = width if 0 < width < np.inf else 1.0
        own[unit] = (int(drawn.weights[null >= reached[unit]].sum()) + drawn.own + extra) / total
        np.maximum(largest, null / np.float32(widths[unit]), out=largest)
    cutoffs = np.nan_to_num(reached / widths, nan=0.0, posinf=np.inf).astype(np.float32)
    together = (weight_from(largest, drawn.weights, cutoffs) + drawn.own + extra) / total
    return np.where(np.isnan(observed), 1.0, np.maximum(own, together))
