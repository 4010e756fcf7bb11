"""Verdicts on heads: whether a head differs (statistics), and what it does (edits)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOTHING = 0.1
"""Change of the prediction up to which an edit counts as doing nothing."""
SPECIFIC = 2.0
"""Factor between the changes of the roles from which an edit is specific to one."""
ON_THE_WAY = 0.25
"""Share of the way to the other role's prediction from which a patch moves a role."""


class Effect(StrEnum):
    """What editing a head alone did, as in the verdicts of `interventions.parquet`."""

    TEST = "does"
    BOTH = "does for both roles"
    CONTROL = "does for the other role"
    NOTHING = "does nothing"
    BOTH_WAYS = "carries the role both ways"
    ONE_WAY = "carries the role one way"
    NEEDED = "is needed, does not carry the role"
    NO_WAY = "does not carry the role"
    STEERS_BOTH = "its axis steers both roles"
    STEERS_CONTROL = "its axis steers the control role"
    STEERS_TEST = "its axis steers the test role"
    STEERS_NONE = "its axis does not steer"


SENTENCES = {
    Effect.TEST: "changes the test role only",
    Effect.BOTH: "changes both roles",
    Effect.CONTROL: "changes the control role only",
    Effect.NOTHING: "changes nothing",
    Effect.BOTH_WAYS: "carries the role both ways: patched, it moves either role to the other",
    Effect.ONE_WAY: "carries the role one way: patched, it moves the control role to the test role",
    Effect.NEEDED: "is needed and does not carry the role: patched, it moves the test role away",
    Effect.STEERS_BOTH: "steers both roles: its axis taken from the test role, and added to the "
    "control role, moves either to the other",
    Effect.STEERS_CONTROL: "steers one way: its axis added to the control role moves it to the "
    "test role",
    Effect.STEERS_TEST: "steers one way: its axis taken from the test role moves that to the "
    "control role",
    Effect.STEERS_NONE: "does not steer: its axis moves neither role to the other",
    Effect.NO_WAY: "does not carry the role: patched, it moves neither role to the other",
}
"""What each effect means, after the name of a head."""
WITHOUT_EFFECT = (Effect.NOTHING, Effect.NO_WAY, Effect.STEERS_NONE)
POSITIVE = (
    Effect.TEST, Effect.BOTH_WAYS, Effect.ONE_WAY, Effect.NEEDED,
    Effect.STEERS_BOTH, Effect.STEERS_CONTROL, Effect.STEERS_TEST,
)  # fmt: skip
"""Effects that make a head one of the answer, if it also differs: the strongest evidence first."""


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

    @property
    def positive(self) -> bool:
        """Whether the head differs, and its edit shows that the role depends on it."""
        return bool(self.differs) and self.effect in POSITIVE


VERDICTS = {
    found.key: found
    for found in (Verdict(differs, effect) for differs in (True, False, None) for effect in Effect)
}
"""Every verdict by its key."""


def change_verdict(differs: bool | None, change: tuple[float, float]) -> Verdict:
    """Return the verdict on a head that was ablated or scaled; docs/causes.md has the rule.

    `change` is that of the test and of the control role.
    """
    test, control = change
    if max(change) <= NOTHING:
        effect = Effect.NOTHING
    elif max(change) < SPECIFIC * min(change):
        effect = Effect.BOTH
    else:
        effect = Effect.TEST if test > control else Effect.CONTROL
    return Verdict(differs, effect)


PATCHED = (Effect.NO_WAY, Effect.ONE_WAY, Effect.NEEDED, Effect.BOTH_WAYS)
STEERED = (Effect.STEERS_NONE, Effect.STEERS_CONTROL, Effect.STEERS_TEST, Effect.STEERS_BOTH)
"""Effects by which roles went ON_THE_WAY to the other: none, control, test, both."""


def toward_verdict(
    differs: bool | None, toward: tuple[float, float], *, steered: bool = False
) -> Verdict:
    """Return the verdict on a head that took its output from the other role.

    `toward` is the way to the other role's prediction that the test and the control role went. With
    `steered`, the axis of the head was taken from one role and added to the other.
    """
    test, control = toward
    place = 2 * (test >= ON_THE_WAY) + (control >= ON_THE_WAY)
    return Verdict(differs, (STEERED if steered else PATCHED)[place])
