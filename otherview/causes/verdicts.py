"""Verdicts on heads: whether a head differs (statistics), and what it does (edits)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOTHING = 0.1
"""Change of the prediction up to which an edit may count as doing nothing."""


class Effect(StrEnum):
    """What editing a head alone did, as in the verdicts of `interventions.parquet`."""

    TEST = "does"
    BOTH = "does for both roles"
    CONTROL = "does for the other role"
    NOTHING = "does nothing"
    AS_RANDOM = "does no more than random heads"


WITHOUT_EFFECT = (Effect.NOTHING, Effect.AS_RANDOM)


@dataclass(frozen=True)
class Verdict:
    """Whether a head differs by the test of the study, and the effect of editing it."""

    differs: bool | None
    """None if the head was not tested."""
    effect: Effect

    @property
    def key(self) -> str:
        """The verdict in `interventions.parquet`."""
        if self.differs is None:
            return self.effect
        if self.effect in WITHOUT_EFFECT:
            return f"{'differs' if self.differs else 'does not differ'}, {self.effect}"
        return f"{'differs and' if self.differs else 'does not differ, yet'} {self.effect}"


VERDICTS = {
    found.key: found
    for found in (Verdict(differs, effect) for differs in (True, False, None) for effect in Effect)
}
"""Every verdict by its key."""


def verdict(
    differs: bool | None,
    *,
    p: tuple[float, float],
    change: tuple[float, float],
    median: tuple[float, float],
    alpha: float,
) -> Verdict:
    """Return the verdict on one head; docs/causes.md has the rule.

    `p`, `change` and the `median` change of matching heads are of the test and of the control role.
    """
    wanted, collateral = p[0] <= alpha, p[1] <= alpha
    if wanted or collateral:
        effect = Effect.BOTH if wanted and collateral else Effect.TEST if wanted else Effect.CONTROL
    elif all(c <= min(m, NOTHING) for c, m in zip(change, median, strict=True)):
        effect = Effect.NOTHING
    else:
        effect = Effect.AS_RANDOM
    return Verdict(differs, effect)
