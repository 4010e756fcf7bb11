"""What do the readings call when the labels mean nothing?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, counted
from otherview.stats.inputs import check_settings
from otherview.stats.paired import effects
from otherview.stats.role import DECIDING, check_responses, randomise, role_means, scaled
from otherview.stats.sign_flip import sign_flip_test
from otherview.stats.wordings import WordingDesign, role_design


@dataclass(frozen=True)
class LabelShuffleResult:
    """What `label_shuffle` found; arrays have one entry per shuffle."""

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
    strata: ArrayLike | None = None,
    threshold: float = 3.0,
    alpha: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelShuffleResult:
    """Repeat the tests under random labels: a check of the code, not of the test's assumptions.

    `responses`, `roles` and `strata` are those of `role_test`.
    Where the wordings are enough for a role test at `alpha`, the roles are dealt again to the
    wordings (within frames), for all items alike. With fewer, the two roles are swapped in a
    random half of the items. Shuffles are drawn with replacement and hold the true labelling no
    more often than any other.

    A permutation test whose labels are dealt from its own set of permutations rejects at its level
    by arithmetic, whatever the data: this catches a wrong formula or a wrong index. It cannot show
    that wordings are exchangeable, or that a sample of items is large enough. For that simulate
    (benchmarks/role_test_level.py) or take data without a role (benchmarks/null_rate.py). What
    `published` counts is no such arithmetic: it is how often wordings alone pass for a role.

    Raises ValueError as `role_test` does, and on fewer than one shuffle.
    """
    check_settings(alpha, seed, shuffles=shuffles)
    array, _ = scaled(check_responses(responses))
    design = role_design(roles, strata, array.shape[1])
    over_wordings = design.degrees > 0 and design.smallest_p <= alpha
    draws = np.random.default_rng(seed)
    called, published = np.zeros(shuffles, np.int64), np.zeros(shuffles, np.int64)
    differences = role_means(array, design).items
    for shuffle in counted(shuffles, progress):
        drawn = int(draws.integers(2**31))
        if over_wordings:
            dealt = shuffled(design, draws)
            means = role_means(array, dealt)
            found = randomise(means, dealt, alpha=alpha, seed=drawn, calls_only=True)[2]
            shown = means.items
            called[shuffle] = (found.p_maxt <= alpha).sum()
        else:
            shown = differences * draws.choice([-1.0, 1.0], size=(len(array), 1))
            by_items = sign_flip_test(shown, alpha=alpha, flips=DECIDING, seed=drawn)
            called[shuffle] = by_items.familywise.sum()
        published[shuffle] = (np.abs(effects(shown).t) > threshold).sum()
    return LabelShuffleResult(
        over="wordings" if over_wordings else "pairs",
        called=called,
        published=published,
        units=array.shape[-1],
        threshold=threshold,
        alpha=alpha,
        seed=seed,
    )


def shuffled(design: WordingDesign, draws: np.random.Generator) -> WordingDesign:
    """The same wordings and frames with the roles dealt again within frames."""
    is_test = design.is_test.copy()
    for own in design.frames:
        is_test[own] = draws.permutation(is_test[own])
    return WordingDesign(is_test, design.frame)
