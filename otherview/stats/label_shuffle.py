"""What do the readings call when the labels mean nothing?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress
from otherview.stats.paired import check_alpha, effects
from otherview.stats.role import (
    check_responses,
    check_roles,
    enough_wordings,
    mean_of_wordings,
    role_test,
)
from otherview.stats.sign_flip import check_seed, sign_flip_test

FLIPS = 2000
"""Sign patterns drawn a shuffle: enough to tell p at the usual alphas from above it."""


@dataclass(frozen=True)
class LabelShuffleResult:
    """What `label_shuffle` found; arrays have one entry a shuffle."""

    over: Literal["wordings", "pairs"]
    """What was shuffled: roles over wordings, or the two members of each pair."""
    called: Int[np.ndarray, " shuffles"]
    """Units that the role test calls (over pairs: that differ family-wise)."""
    published: Int[np.ndarray, " shuffles"]
    """Units with |t| above `threshold`, the wordings of a role averaged."""
    units: int
    threshold: float
    alpha: float
    seed: int

    @property
    def called_any(self) -> int:
        """Shuffles in which any unit was called: under the null, a share of alpha of them."""
        return int((self.called > 0).sum())

    @property
    def rate(self) -> float:
        """Family-wise error rate over the shuffles."""
        return self.called_any / len(self.called)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `rate` (Clopper & Pearson 1934)."""
        from scipy.stats import binomtest

        found = binomtest(self.called_any, len(self.called)).proportion_ci(0.95, "exact")
        return float(found.low), float(found.high)

    def summary(self, _addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        return {
            "over": self.over,
            "shuffles": len(self.called),
            "seed": self.seed,
            "called_any": self.called_any,
            "rate": self.rate,
            "interval": list(self.interval),
            "nominal": self.alpha,
            "threshold": self.threshold,
            "published_observed": float(self.published.mean()),
            "published_share": float(self.published.mean() / self.units),
        }


def label_shuffle(
    responses: ArrayLike,
    roles: ArrayLike,
    shuffles: int = 200,
    *,
    threshold: float = 3.0,
    alpha: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelShuffleResult:
    """Repeat the tests under random labels: a check of their error rate on the data at hand.

    `responses` is `[items, wordings, units]`, `roles` `[wordings]` as in `role_test`. Where the
    wordings are enough for a role test at `alpha`, the role labels are dealt anew to the wordings,
    for all items alike: what is seen then is wordings, and no role. With fewer, the two roles are
    swapped in a random half of the items. Shuffles are drawn with replacement and hold the true
    labelling no more often than any other.

    Raises ValueError as `role_test` does, and on fewer than one shuffle.
    """
    check_alpha(alpha)
    check_seed(seed)
    if shuffles < 1:
        raise ValueError(f"shuffles is {shuffles}; give one or more")
    array = check_responses(responses)
    is_test = check_roles(roles, array.shape[1])
    fewest = min(int(is_test.sum()), int((~is_test).sum()))
    over_wordings = fewest >= enough_wordings(alpha)
    draws = np.random.default_rng(seed)
    called, published = np.zeros(shuffles, np.int64), np.zeros(shuffles, np.int64)
    for shuffle in range(shuffles):
        drawn = int(draws.integers(2**31))
        if over_wordings:
            labels = draws.permutation(is_test)
            differences = mean_of_wordings(array, labels) - mean_of_wordings(array, ~labels)
            names = np.where(labels, "test", "control")
            called[shuffle] = role_test(
                array, names, alpha=alpha, flips=FLIPS, seed=drawn
            ).called.sum()
        else:
            differences = mean_of_wordings(array, is_test) - mean_of_wordings(array, ~is_test)
            differences = differences * draws.choice([-1.0, 1.0], size=(len(array), 1))
            found = sign_flip_test(differences, alpha=alpha, flips=FLIPS, seed=drawn)
            called[shuffle] = (found.p_stepdown <= alpha).sum()
        published[shuffle] = above(differences, threshold).sum()
        if progress is not None:
            progress(shuffle + 1, shuffles)
    return LabelShuffleResult(
        over="wordings" if over_wordings else "pairs",
        called=called,
        published=published,
        units=array.shape[2],
        threshold=threshold,
        alpha=alpha,
        seed=seed,
    )


def above(
    differences: Float[np.ndarray, "pairs units"], threshold: float
) -> Bool[np.ndarray, " units"]:
    """Units with |t| above `threshold`; one without variance is not."""
    t = effects(differences).t
    return np.asarray(np.abs(np.nan_to_num(t, nan=0.0, posinf=np.inf, neginf=-np.inf)) > threshold)
