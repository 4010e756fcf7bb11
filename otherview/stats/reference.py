"""What each test is, in plain NumPy over all flips or orders.

The definitions that the fast code is compared with, for data small enough to visit everything.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

TIE = 1e-9
"""Relative difference at which two statistics are the same."""

BINS = 8192
"""|z| of simultaneous bounds is told apart in this many equal steps."""


class SignFlips(NamedTuple):
    """The sign-flip test of every unit."""

    t: Float[np.ndarray, " units"]
    p: Float[np.ndarray, " units"]
    p_maxt: Float[np.ndarray, " units"]
    p_stepdown: Float[np.ndarray, " units"]
    counts: Int[np.ndarray, " patterns"]
    """Units with |t| above the threshold, under each pattern; the data's own is the first."""


def binned_p(differences: Float[np.ndarray, "items units"]) -> Float[np.ndarray, "patterns units"]:
    """Student's p of |t| under all sign patterns, |z| = |Σd| / √Σd² rounded down to a step."""
    from scipy.stats import t as student

    items = len(differences)
    length = np.sqrt((differences**2).sum(axis=0))
    z = np.abs(sign_patterns(items) @ (differences / np.where(length > 0, length, 1.0)))
    steps = np.minimum(np.floor(z / np.sqrt(items) * BINS * (1 + TIE)), BINS - 1)
    z = steps / BINS * np.sqrt(items)
    return np.asarray(2 * student.sf(z * np.sqrt((items - 1) / (items - z**2)), items - 1))


def bound_scale(p: Float[np.ndarray, "patterns units"], alpha: float, shift: int, of: int) -> float:
    """λ of simultaneous bounds: at most alpha of the patterns have some k for which the k-th
    smallest p of these units, of `of` in all, is below λ (k - shift) / (of - shift)."""
    rank = np.arange(1, p.shape[1] + 1) - shift
    if not (rank > 0).any():
        return np.inf
    scales = (np.sort(p, axis=1)[:, rank > 0] / rank[rank > 0]).min(axis=1) * (of - shift)
    return float(np.sort(scales)[int(alpha * len(scales) * (1 + 1e-12))])


def discovery_reference(
    differences: Float[np.ndarray, "items units"],
    chosen: tuple[int, ...],
    *,
    alpha: float = 0.05,
    shift: int = 0,
    own_scale: bool = False,
) -> int:
    """True discoveries among the chosen units, by closed testing of every set of units.

    A set is rejected if for some k its k-th smallest p is below λ (k - shift) / (units - shift);
    `own_scale` reads λ off the set's own flips, else off those of all units. At least so many of
    the chosen units differ as are in none of the sets that are not rejected, at most.
    """
    p = binned_p(differences)
    units = p.shape[1]
    scale = bound_scale(p, alpha, shift, units)
    spared = 0
    for size in range(1, units + 1):
        for members in itertools.combinations(range(units), size):
            own = p[:, members]
            if own_scale:
                scale = bound_scale(own, alpha, shift, units)
            rank = np.arange(1, size + 1) - shift
            quotient = np.sort(own[0])[rank > 0] / rank[rank > 0] * (units - shift)
            if not (quotient < scale).any():
                spared = max(spared, len(set(members) & set(chosen)))
    return len(chosen) - spared


def interval_reference(
    differences: Float[np.ndarray, "items units"], alpha: float = 0.05
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Simultaneous intervals: mean ± c standard errors, c the smallest that the largest |t| of the
    centred differences does not exceed in 1 - alpha of all ways to draw as many items with
    replacement."""
    items = len(differences)
    centred = differences - differences.mean(axis=0)
    drawn = [
        paired_t(centred[list(draw)]) for draw in itertools.product(range(items), repeat=items)
    ]
    largest = np.sort(np.nan_to_num(np.abs(drawn), nan=0.0, posinf=np.inf).max(axis=1))
    critical = largest[int(np.ceil((1 - alpha) * len(largest) * (1 - 1e-12))) - 1]
    error = differences.std(axis=0, ddof=1) / np.sqrt(items)
    return differences.mean(axis=0) - critical * error, differences.mean(axis=0) + critical * error


def null_t(differences: Float[np.ndarray, "items units"]) -> Float[np.ndarray, "patterns units"]:
    """|t| under all sign patterns; 0 for a unit of zeros."""
    null = [paired_t(signs[:, None] * differences) for signs in sign_patterns(len(differences))]
    return np.nan_to_num(np.abs(null), nan=0.0, posinf=np.inf)


def paired_t(differences: Float[np.ndarray, "items units"]) -> Float[np.ndarray, " units"]:
    """Student's t of the mean difference; infinite without variance, NaN for zeros."""
    items = len(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            differences.mean(axis=0) / (differences.std(axis=0, ddof=1) / np.sqrt(items))
        )


def published_reference(
    differences: Float[np.ndarray, "items units"],
    signs: Float[np.ndarray, "flips items"],
    threshold: float,
) -> tuple[int, float]:
    """Units with |t| above the threshold, and the 99th percentile of that under given flips."""
    counts = [(np.abs(paired_t(row[:, None] * differences)) > threshold).sum() for row in signs]
    return int((np.abs(paired_t(differences)) > threshold).sum()), float(np.percentile(counts, 99))


def rate_reference(p: Float[np.ndarray, " units"], alpha: float) -> Bool[np.ndarray, " units"]:
    """Units that Benjamini & Hochberg's procedure finds at false discovery rate alpha."""
    cutoffs = alpha * np.arange(1, len(p) + 1) / len(p)
    passing = np.flatnonzero(np.sort(p) <= cutoffs * (1 + TIE))
    return p <= (np.sort(p)[passing[-1]] if len(passing) else -1.0)


def share_reaching(
    null: Float[np.ndarray, "randomisations units"], observed: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """Share of the randomisations at or above what is observed; 1 where that is NaN.

    What is observed may be 0 but for rounding: then all are.
    """
    reached = np.nan_to_num(null, nan=0.0, posinf=np.inf) >= observed * (1 - TIE) - TIE
    return np.where(np.isnan(observed), 1.0, reached.mean(axis=0))


def sign_flip_reference(
    differences: Float[np.ndarray, "items units"], threshold: float = 3.0
) -> SignFlips:
    """t, p, family-wise p (single step and step down) and counts over all sign patterns."""
    null, t = null_t(differences), paired_t(differences)
    size = np.nan_to_num(np.abs(t), nan=0.0, posinf=np.inf)
    stepdown = np.empty(len(t))
    highest = 0.0
    for unit in np.argsort(-size):
        rest = null[:, size <= size[unit] * (1 + TIE)].max(axis=1, keepdims=True)
        highest = max(highest, float(share_reaching(rest, size[unit : unit + 1])[0]))
        stepdown[unit] = highest
    return SignFlips(
        t=t,
        p=share_reaching(null, np.abs(t)),
        p_maxt=share_reaching(null.max(axis=1, keepdims=True), np.abs(t)),
        p_stepdown=stepdown,
        counts=(null > threshold * (1 + TIE)).sum(axis=1),
    )


def sign_patterns(items: int) -> Float[np.ndarray, "patterns items"]:
    """All 2^items sign patterns; the first flips nothing."""
    return np.array(list(itertools.product([1.0, -1.0], repeat=items)))


def split_half_reference(
    one: Float[np.ndarray, "items units"], other: Float[np.ndarray, "items units"], alpha: float
) -> tuple[float, int, int]:
    """Correlation of the t of two halves, units found in one, and those replicated in the other."""
    here, there = sign_flip_reference(one), sign_flip_reference(other)
    found = rate_reference(here.p, alpha)
    again = found & (there.p <= alpha) & (np.sign(here.t) == np.sign(there.t))
    return float(np.corrcoef(here.t, there.t)[0, 1]), int(found.sum()), int(again.sum())


def trend_reference(
    values: Float[np.ndarray, "items units"], dose: Float[np.ndarray, " items"]
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, " u"], Float[np.ndarray, " u"]]:
    """Correlation with the dose, its p and family-wise p over all orders of the doses."""
    orders = np.array([dose[list(order)] for order in itertools.permutations(range(len(dose)))])
    null = np.abs([[np.corrcoef(order, unit)[0, 1] for unit in values.T] for order in orders])
    correlation = np.array([np.corrcoef(dose, unit)[0, 1] for unit in values.T])
    size = np.abs(correlation)
    largest = null.max(axis=1, keepdims=True)
    return correlation, share_reaching(null, size), share_reaching(largest, size)


def exact(
    values: Float[np.ndarray, "*rows units"], means: Float[np.ndarray, "wordings units"]
) -> Float[np.ndarray, "*rows units"]:
    """`values` with zeros where they are only rounding relative to the `means` they come from."""
    return np.where(np.abs(values) < TIE * np.abs(means).max(axis=0), 0.0, values)


def role_difference(
    means: Float[np.ndarray, "wordings units"],
    is_test: Bool[np.ndarray, " wordings"],
    frame: Int[np.ndarray, " wordings"],
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Difference of the roles within frames, and its squared standard error over wordings.

    Least squares of the wordings' means on frame and role; the error is the larger of the
    pooled and the heteroscedastic one (HC2), which for one frame is Welch's.
    """
    frames = (frame[:, None] == np.unique(frame)).astype(float)
    columns = np.column_stack([frames, is_test])
    to_coefficients = np.linalg.pinv(columns)
    residual = exact(means - columns @ (to_coefficients @ means), means)
    leverage = np.einsum("ij,ji->i", columns, to_coefficients)
    degrees = len(means) - columns.shape[1]
    weights = to_coefficients[-1] ** 2
    error = weights.sum() * (residual**2).sum(axis=0) / degrees
    if leverage.max() < 1 - TIE:
        error = np.maximum(error, (weights / (1 - leverage)) @ residual**2)
    return to_coefficients[-1] @ means, error


def labellings(
    is_test: Bool[np.ndarray, " wordings"], frame: Int[np.ndarray, " wordings"]
) -> Iterator[Bool[np.ndarray, " wordings"]]:
    """All ways to deal the roles to the wordings of each frame in the numbers that it has."""
    places = [np.flatnonzero(frame == one) for one in np.unique(frame)]
    ways = [itertools.combinations(own, int(is_test[own].sum())) for own in places]
    for chosen in itertools.product(*ways):
        yield np.isin(np.arange(len(is_test)), np.concatenate(chosen))


class Drawn(NamedTuple):
    """A sample, drawn again around its mean."""

    error: Float[np.ndarray, " units"]
    """Squared standard error of the sample's mean."""
    mean: Float[np.ndarray, "draws units"]
    error_of_mean: Float[np.ndarray, "draws units"]


def drawn_again(
    differences: Float[np.ndarray, "sample units"], means: Float[np.ndarray, "wordings units"]
) -> Drawn:
    """All ways to draw one fewer than the sample has, with replacement; one alone is no sample."""
    number, units = differences.shape
    if number == 1:
        return Drawn(np.zeros(units), np.zeros((1, units)), np.zeros((1, units)))
    deviations = exact(differences - differences.mean(axis=0), means)
    draws = np.array(list(itertools.product(range(number), repeat=number - 1)))
    drawn = deviations[draws]
    mean = drawn.mean(axis=1)
    squares = (exact(drawn - mean[:, None], means) ** 2).sum(axis=1)
    return Drawn(
        (deviations**2).sum(axis=0) / (number * (number - 1)),
        mean,
        squares / ((number - 1) * max(1, number - 2)),
    )


def role_reference(
    responses: Float[np.ndarray, "items wordings *scenes units"],
    is_test: Bool[np.ndarray, " wordings"],
    frame: Int[np.ndarray, " wordings"] | None = None,
    tie: float = TIE,
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, " u"], Float[np.ndarray, " u"]]:
    """t, p and family-wise p of the role test over all relabellings and draws of items and scenes.

    Every frame must hold both roles. t = D / √(items' error + wordings' error + scenes' error). A
    randomisation adds the mean of items - 1 items, drawn with replacement from the items'
    differences around their mean, and the same of scenes, to the difference of relabelled wordings
    (or its negative), and divides by the root of the sum of their squared errors. Wordings keep of
    D what they explain, √(wordings' error / all). The data's own labelling and its mirror image
    always reach, and so does a |t| that falls short of the data's by less than the share `tie`.

    The mean of scenes that are drawn again is stretched: for p by the square of what Student's
    critical t with scenes - 1 degrees of freedom is over the normal one, for family-wise p by that
    ratio below four scenes. So is that of items, where there are fewer than twenty. No family-wise
    p is below p.
    """
    from scipy import stats

    frame = np.zeros(len(is_test), int) if frame is None else frame
    cube = responses if responses.ndim == 4 else responses[:, :, None]
    scenes = cube.shape[2]
    over_scenes, over_items = cube.mean(axis=2), cube.mean(axis=0)
    means = over_scenes.mean(axis=0)
    difference, of_wordings = role_difference(means, is_test, frame)
    difference = exact(difference, means)
    items, by_scene = (
        drawn_again(np.array([role_difference(one, is_test, frame)[0] for one in sample]), means)
        for sample in (over_scenes, over_items.swapaxes(0, 1))
    )
    error = of_wordings + items.error + by_scene.error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(error)
        kept = np.sqrt(np.where(items.error + by_scene.error > 0, of_wordings / error, 1.0))
    means = means - is_test[:, None] * (1 - kept) * difference

    own, mirrored, others = 0, 0, []
    draws = len(items.mean) * len(by_scene.mean)
    for labels in labellings(is_test, frame):
        for sign in (1, -1):
            if ((labels == is_test).all() and sign > 0) or ((labels != is_test).all() and sign < 0):
                own += draws
            elif (labels == is_test).all() or (labels != is_test).all():
                mirrored += draws
            else:
                others.append((sign, *role_difference(means, labels, frame)))

    def longer(size: int) -> float:
        return float(stats.t.ppf(0.975, size - 1) / stats.norm.ppf(0.975)) if size > 1 else 1.0

    def null(of_items: float, of_scenes: float) -> Float[np.ndarray, "randomisations units"]:
        """Signed t of all randomisations with other labels than the data's own."""
        mean = of_items * items.mean[:, None] + of_scenes * by_scene.mean
        error = items.error_of_mean[:, None] + by_scene.error_of_mean
        found = []
        for sign, dealt, dealt_error in others:
            shown = exact(mean + sign * dealt, means)
            with np.errstate(divide="ignore", invalid="ignore"):
                own_t = (shown / np.sqrt(error + dealt_error)).reshape(draws, -1)
            found.append(np.nan_to_num(own_t, posinf=np.inf, neginf=-np.inf))
        return np.concatenate(found)

    def p(rising: np.ndarray, falling: np.ndarray, t: np.ndarray) -> Float[np.ndarray, " units"]:
        """The share with |t| at least as large, or twice that on the unit's own side."""
        total = len(rising) + own + mirrored
        size = np.abs(t) * (1 - tie)
        same = (np.where(t < 0, falling, rising) >= size).sum(axis=0) + own
        either = (np.maximum(rising, falling) >= size).sum(axis=0) + own + mirrored
        return np.where(np.isnan(t), 1.0, np.minimum(np.maximum(either, 2 * same) / total, 1.0))

    number = len(responses)
    alone = null(longer(number) ** 2 if number < 20 else 1.0, longer(scenes) ** 2)
    together = null(*(longer(size) if size < 4 else 1.0 for size in (number, scenes)))
    share_own = (own + mirrored) / (len(together) + own + mirrored)
    every = np.concatenate([np.abs(together), np.tile(np.abs(t), (own + mirrored, 1))])
    width = null_width(every, 0.05 + share_own)
    scaled = together / width
    largest = scaled.max(axis=1, keepdims=True), -scaled.min(axis=1, keepdims=True)
    p_alone = p(alone, -alone, t)
    return t, p_alone, np.maximum(p(*largest, t / width), p_alone)


def null_width(
    null: Float[np.ndarray, "randomisations units"], share: float
) -> Float[np.ndarray, " units"]:
    """What a share of a unit's |t| exceed, over 1.25 times its median over units, or 1 if less.

    t² is rounded up to one of 8 steps per octave, between 1/16 and 2^20.
    """
    place = max(0, len(null) - 1 - int(share * len(null) * (1 + 1e-12)))
    squares = np.sort(np.nan_to_num(null, nan=0.0, posinf=1e6), axis=0)[place] ** 2 * (1 + 2e-5)
    fraction, exponent = np.frexp(np.clip(squares, 2.0**-4, 2.0**20))
    exceeded = np.sqrt(np.ldexp((np.floor(16 * fraction) + 1) / 16, exponent))
    return np.asarray(np.maximum(1.0, exceeded / (1.25 * np.median(exceeded))))
