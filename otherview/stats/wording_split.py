"""Do the units hold on creatures and on wordings that were not used to find them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, counted
from otherview.stats.columns import STRONGEST_UNITS
from otherview.stats.inputs import check_settings
from otherview.stats.role import (
    check_responses,
    enough_wordings,
    randomise,
    role_means,
    scaled,
)
from otherview.stats.stability import halves
from otherview.stats.wordings import WordingDesign, role_design

MIN_ITEMS = 12
"""Six items per half: with fewer, items drawn again are too few distinct ones."""


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


def enough_to_split(
    roles: ArrayLike, items: int, *, strata: ArrayLike | None = None, alpha: float = 0.05
) -> bool:
    """Whether each half can call a unit: eight wordings per role and twelve items at 0.05.

    `roles` and `strata` are those of `wording_split`, which raises ValueError otherwise.
    """
    return items >= MIN_ITEMS and can_be_halved(role_design(roles, strata), alpha)


def can_be_halved(design: WordingDesign, alpha: float) -> bool:
    """Whether half of the wordings can call a unit."""
    halved = halved_wordings(design, np.random.default_rng(0))
    parts = [part_of(design, half) for half in halved if len(half)]
    return len(parts) == len(halved) and all(
        part.frames and part.degrees > 0 and part.smallest_p <= alpha for part in parts
    )


def wording_split(
    responses: ArrayLike,
    roles: ArrayLike,
    splits: int = 20,
    *,
    strata: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> WordingSplitResult:
    """Role test on half of the items under half of the wordings, again on the other halves.

    `responses`, `roles` and `strata` are those of `role_test`; both halves have all scenes. Each
    split halves the items at random, and the wordings of each role within each frame, or whole
    frames where one of them has a single wording of a role. The second test sees neither an item
    nor a wording of the first, and only the units that the first called; their number is what its
    family-wise error is controlled over. Splits share data, so that the spread over them is no
    standard error.

    Raises ValueError as `role_test` does, and where a half is too small to call any unit.
    """
    check_settings(alpha, seed, splits=splits)
    array, _ = scaled(check_responses(responses))
    design = role_design(roles, strata, array.shape[1])
    draws = np.random.default_rng(seed)
    if len(array) < MIN_ITEMS or not can_be_halved(design, alpha):
        tests = int(design.is_test.sum())
        raise ValueError(
            f"responses holds {len(array)} items and {tests} + {len(design.is_test) - tests} "
            f"wordings; halves need {MIN_ITEMS} items and {2 * enough_wordings(alpha)} "
            "wordings of each role"
        )
    discovered = np.zeros((splits, array.shape[-1]))
    confirmed = np.zeros_like(discovered)
    for split in counted(splits, progress):
        items = halves(draws, np.arange(len(array)))
        wordings = halved_wordings(design, draws)
        drawn = int(draws.integers(2**31))
        parts = [
            (array[np.ix_(items[side], wordings[side])], part_of(design, wordings[side]))
            for side in (0, 1)
        ]
        values, half = parts[0]
        first, _, p = randomise(
            role_means(values, half), half, alpha=alpha, seed=drawn, calls_only=True
        )
        found = np.flatnonzero(p.p_maxt <= alpha)
        discovered[split, found] = 1
        if len(found):
            values, half = parts[1]
            means = role_means(values[..., found], half)
            second, _, p = randomise(means, half, alpha=alpha, seed=drawn, calls_only=True)
            same_sign = np.sign(second.difference) == np.sign(first.difference[found])
            confirmed[split, found] = (p.p_maxt <= alpha) & same_sign
    return WordingSplitResult(discovered, confirmed, alpha, seed)


def part_of(design: WordingDesign, wordings: Int[np.ndarray, " some"]) -> WordingDesign:
    """The design of some of the wordings."""
    return WordingDesign(design.is_test[wordings], design.frame[wordings])


def halved_wordings(
    design: WordingDesign, draws: np.random.Generator
) -> tuple[Int[np.ndarray, " half"], Int[np.ndarray, " half"]]:
    """Wordings in two random halves: of each role within each frame, or whole frames."""
    cells = [cell for both in design.cells for cell in both]
    if min(len(cell) for cell in cells) == 1:
        places = halves(draws, np.arange(len(design.frames)))
        frames = np.array([design.frame[own[0]] for own in design.frames])
        first, second = (np.flatnonzero(np.isin(design.frame, frames[half])) for half in places)
        return first, second
    split = [halves(draws, cell) for cell in cells]
    first, second = (np.sort(np.concatenate(half)) for half in zip(*split, strict=True))
    return first, second
