"""What each test is, in plain NumPy over all flips or relabellings.

The definitions that the fast code is compared with, for data small enough to visit everything.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

TIE = 1e-9
"""Relative difference at which two statistics are the same."""


def paired_t(differences: Float[np.ndarray, "items units"]) -> Float[np.ndarray, " units"]:
    """Student's t of the mean difference; infinite without variance, NaN for zeros."""
    items = len(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            differences.mean(axis=0) / (differences.std(axis=0, ddof=1) / np.sqrt(items))
        )


def share_reaching(
    null: Float[np.ndarray, "randomisations units"], observed: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """Share of the randomisations at or above what is observed; 1 where that is NaN."""
    reached = np.nan_to_num(null, nan=0.0, posinf=np.inf) >= observed * (1 - TIE)
    return np.where(np.isnan(observed), 1.0, reached.mean(axis=0))


def sign_flip_reference(
    differences: Float[np.ndarray, "items units"],
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, " u"], Float[np.ndarray, " u"]]:
    """t, p and family-wise p (largest |t|) over all sign patterns of the items."""
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=len(differences))))
    null = np.abs([paired_t(pattern[:, None] * differences) for pattern in signs])
    t = paired_t(differences)
    largest = np.nan_to_num(null, nan=0.0, posinf=np.inf).max(axis=1, keepdims=True)
    return t, share_reaching(null, np.abs(t)), share_reaching(largest, np.abs(t))


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


def role_reference(
    responses: Float[np.ndarray, "items wordings units"],
    is_test: Bool[np.ndarray, " wordings"],
    frame: Int[np.ndarray, " wordings"] | None = None,
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, " u"], Float[np.ndarray, " u"]]:
    """t, p and family-wise p of the role test over all relabellings and all draws of items.

    Every frame must hold both roles. t = D / √(items' error + wordings' error). A randomisation
    adds the mean of items - 1 items, drawn with replacement from the items' differences around
    their mean, to the difference of relabelled wordings (or its negative), and divides by the
    root of the sum of their squared errors. Wordings keep of D what they explain,
    √(wordings' error / both). The data's own labelling and its mirror image always reach.
    """
    frame = np.zeros(len(is_test), int) if frame is None else frame
    items = len(responses)
    means = responses.mean(axis=0)
    difference, of_wordings = role_difference(means, is_test, frame)
    difference = exact(difference, means)
    differences = np.array([role_difference(one, is_test, frame)[0] for one in responses])
    deviations = exact(differences - difference, means)
    of_items = (deviations**2).sum(axis=0) / (items * (items - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(of_items + of_wordings)
        kept = np.sqrt(np.where(of_items > 0, of_wordings / (of_items + of_wordings), 1.0))
    means = means - is_test[:, None] * (1 - kept) * difference

    draws = np.array(list(itertools.product(range(items), repeat=items - 1)))
    drawn = deviations[draws]
    mean = drawn.mean(axis=1)
    error = (exact(drawn - mean[:, None], means) ** 2).sum(axis=1) / (
        (items - 1) * max(1, items - 2)
    )
    randomised, own, mirrored = [], 0, 0
    for labels in labellings(is_test, frame):
        dealt, dealt_error = role_difference(means, labels, frame)
        for sign in (1, -1):
            if ((labels == is_test).all() and sign > 0) or ((labels != is_test).all() and sign < 0):
                own += len(draws)
            elif (labels == is_test).all() or (labels != is_test).all():
                mirrored += len(draws)
            else:
                shown = exact(mean + sign * dealt, means)
                with np.errstate(divide="ignore", invalid="ignore"):
                    found = shown / np.sqrt(error + dealt_error)
                randomised.append(np.nan_to_num(found, posinf=np.inf, neginf=-np.inf))
    null = np.concatenate(randomised)
    share_own = (own + mirrored) / (len(null) + own + mirrored)
    every = np.concatenate([np.abs(null), np.tile(np.abs(t), (own + mirrored, 1))])
    width = null_width(every, 0.05 + share_own)

    def p(rising: np.ndarray, falling: np.ndarray, t: np.ndarray) -> Float[np.ndarray, " units"]:
        """The share with |t| at least as large, or twice that on the unit's own side."""
        total = len(null) + own + mirrored
        size = np.abs(t) * (1 - TIE)
        same = (np.where(t < 0, falling, rising) >= size).sum(axis=0) + own
        either = (np.maximum(rising, falling) >= size).sum(axis=0) + own + mirrored
        return np.where(np.isnan(t), 1.0, np.minimum(np.maximum(either, 2 * same) / total, 1.0))

    scaled = null / width
    largest = scaled.max(axis=1, keepdims=True), -scaled.min(axis=1, keepdims=True)
    return t, p(null, -null, t), p(*largest, t / width)


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
