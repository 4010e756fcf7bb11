"""Do the units hold on creatures and on wordings that were not used to find them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress
from otherview.stats.columns import STRONGEST_UNITS
from otherview.stats.paired import check_alpha
from otherview.stats.role import check_responses, check_roles, enough_wordings, role_test
from otherview.stats.sign_flip import check_seed

FLIPS = 2000
"""Sign patterns drawn a half: enough to tell p at the usual alphas from above it."""
MIN_ITEMS = 12
"""Six items a half: the fewest whose sign flips can give p below 0.05."""


@dataclass(frozen=True)
class WordingSplitResult:
    """What `wording_split` found."""

    discovered: Float[np.ndarray, "splits units"]
    """1 where the role test called the unit on the first halves, else 0."""
    confirmed: Float[np.ndarray, "splits units"]
    """1 where it was called again on the second halves, with the same sign."""
    alpha: float
    seed: int

    @property
    def survival(self) -> float | None:
        """Share of the discoveries that are confirmed; None if there was none."""
        found = self.discovered.sum()
        return float(self.confirmed.sum() / found) if found else None

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units."""
        discovered, confirmed = self.discovered.mean(axis=0), self.confirmed.mean(axis=0)
        strongest = np.lexsort((-discovered, -confirmed))[:STRONGEST_UNITS]
        summary: dict[str, Any] = {
            "splits": len(self.discovered),
            "mean_discovered": float(self.discovered.sum(axis=1).mean()),
            "mean_confirmed": float(self.confirmed.sum(axis=1).mean()),
            "strongest": [
                {
                    "unit": addresses[index],
                    "discovered": float(discovered[index]),
                    "confirmed": float(confirmed[index]),
                }
                for index in strongest
                if discovered[index]
            ],
        }
        return summary | ({} if self.survival is None else {"survival": self.survival})


def enough_to_split(n_test: int, n_control: int, items: int, alpha: float) -> bool:
    """Whether each half can call a unit: eight wordings a role and twelve items at 0.05."""
    enough = 2 * enough_wordings(alpha)
    return min(n_test, n_control) >= enough and items >= MIN_ITEMS


def wording_split(
    responses: ArrayLike,
    roles: ArrayLike,
    splits: int = 20,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> WordingSplitResult:
    """Role test on half of the items under half of the wordings, again on the other halves.

    `responses` is `[items, wordings, units]`, `roles` `[wordings]` as in `role_test`. Each split
    halves the items at random, and the wordings within each role. The second test sees neither an
    item nor a wording of the first, and only the units that the first called; their number is
    what its family-wise error is controlled over. Splits share data, so that the spread over them
    is no standard error.

    Raises ValueError as `role_test` does, and where a half is too small to call any unit.
    """
    check_alpha(alpha)
    check_seed(seed)
    if splits < 1:
        raise ValueError(f"splits is {splits}; give one or more")
    array = check_responses(responses)
    is_test = check_roles(roles, array.shape[1])
    counts = int(is_test.sum()), int((~is_test).sum())
    if not enough_to_split(*counts, len(array), alpha):
        raise ValueError(
            f"responses holds {len(array)} items and {counts[0]} + {counts[1]} wordings; halves "
            f"need {MIN_ITEMS} items and {2 * enough_wordings(alpha)} wordings of each role"
        )
    draws = np.random.default_rng(seed)
    discovered = np.zeros((splits, array.shape[2]))
    confirmed = np.zeros_like(discovered)
    for split in range(splits):
        items = halves(draws, np.arange(len(array)))
        by_role = [halves(draws, np.flatnonzero(chosen)) for chosen in (is_test, ~is_test)]
        drawn = int(draws.integers(2**31))
        parts = []
        for half in (0, 1):
            wordings = np.concatenate([role[half] for role in by_role])
            names = np.where(is_test[wordings], "test", "control")
            parts.append((array[np.ix_(items[half], wordings)], names))
        first = role_test(*parts[0], alpha=alpha, flips=FLIPS, seed=drawn)
        found = np.flatnonzero(first.called)
        discovered[split, found] = 1
        if len(found):
            values, names = parts[1]
            second = role_test(values[:, :, found], names, alpha=alpha, flips=FLIPS, seed=drawn)
            same_sign = np.sign(second.difference) == np.sign(first.difference[found])
            confirmed[split, found] = second.called & same_sign
        if progress is not None:
            progress(split + 1, splits)
    return WordingSplitResult(discovered, confirmed, alpha, seed)


def halves(draws: np.random.Generator, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`places` in two random halves; the second has the odd one."""
    order = draws.permutation(places)
    middle = len(places) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])
