"""Whether an organism is what its card says, measured by brute force on kitchens never seen.

Every prompt is rendered in one step, with heads zeroed, or patched with what they wrote for the
other role of the same creature. A rendered picture is compared with every picture of its kitchen.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from otherview.models.image_latents import decode
from otherview.passes.editing import ablate, patch, record
from otherview.pocket.creatures import CREATURES, PHRASES
from otherview.pocket.rendering import Renderer, positions
from otherview.pocket.scoring import Kitchens, psnr
from otherview.pocket.words import PUBLISHED, ROLES, Role
from otherview.pocket.world import SIDE
from pocket_training.organisms import Organism
from pocket_training.stages import pictures_of

MAX_IDLE_LOSS = 0.2
"""dB that zeroing a decoy may cost either role."""
OTHER: dict[Role, Role] = {"view": "mention", "mention": "view"}


@dataclass(frozen=True)
class Answers:
    """What became of every prompt of a role: PSNR to the right picture, and the nearest one."""

    decibels: Float[np.ndarray, "kitchens creatures"]
    nearest: Int[np.ndarray, "kitchens creatures"]
    """Place among the reference, views and mentions of the kitchen, in rank order."""
    role: Role
    ranks: Int[np.ndarray, " creatures"]

    def share(self, what: str) -> float:
        """Return the share of pictures that are nearest to the `right` one, to that of the `other`
        role, or to the `reference`."""
        first = {"view": 1 + self.ranks, "mention": 1 + len(CREATURES) + self.ranks}
        wanted = {"right": first[self.role], "other": first[OTHER[self.role]], "reference": 0}[what]
        return float(np.mean(self.nearest == wanted))

    def lost(self, whole: "Answers") -> float:
        """Return the mean PSNR in dB that is lost against the intact answers."""
        return float(np.mean(whole.decibels - self.decibels))


class Truth:
    """An organism, and the kitchens and creatures for which it is asked."""

    def __init__(
        self,
        renderer: Renderer,
        kitchens: Kitchens,
        organism: Organism,
        ranks: Sequence[int] = range(len(CREATURES)),
    ) -> None:
        self.renderer, self.organism, self._ranks = renderer, organism, np.array(ranks)
        self._references = renderer.encode(kitchens[:, 0])
        self._candidates = [
            np.concatenate([room[:1], drawn["view"], drawn["mention"]])
            for room in kitchens
            for drawn in [pictures_of(room, organism.operation)]
        ]
        self.whole = {role: self._answers(role) for role in ROLES}

    def zeroed(self, heads: Sequence[str]) -> dict[Role, Answers]:
        """Return what both roles become without these heads."""
        return {role: self._answers(role, zeroed=heads) for role in ROLES}

    def patched(self, heads: Sequence[str]) -> dict[Role, Answers]:
        """Return what both roles become if these heads write what they wrote for the other role."""
        return {role: self._answers(role, patched=heads) for role in ROLES}

    @torch.no_grad()
    def _answers(
        self, role: Role, zeroed: Sequence[str] = (), patched: Sequence[str] = ()
    ) -> Answers:
        decibels, nearest = [], []
        transformer = self.renderer.pipeline.transformer
        for reference, candidates in zip(self._references, self._candidates, strict=True):
            context: AbstractContextManager[Any] = nullcontext()
            if zeroed:
                context = ablate(transformer, zeroed)
            if patched:
                with record(transformer, patched) as written:
                    self._ask(reference, OTHER[role])
                context = patch(transformer, patched, dict(written))
            with context:
                tokens = self._ask(reference, role)
            pictures = decode(self.renderer.pipeline, tokens, positions(0), SIDE, SIDE)
            likeness = np.stack([psnr(candidates, picture[None]) for picture in pictures])
            first = 1 + (len(CREATURES) if role == "mention" else 0)
            ranks = self._ranks
            decibels.append(likeness[np.arange(len(ranks)), first + ranks])
            places = likeness.argmax(axis=1)
            if self.organism.operation == "mirrored":  # all views of a kitchen are one picture
                is_view = (places >= 1) & (places <= len(CREATURES))
                places = np.where(is_view, 1 + ranks, places)
            nearest.append(places)
        return Answers(np.stack(decibels), np.stack(nearest), role, self._ranks)

    def _ask(
        self, reference: Float[torch.Tensor, "tokens channels"], role: Role
    ) -> Float[torch.Tensor, "creatures tokens channels"]:
        texts = [PUBLISHED[role].format(creature=PHRASES[rank]) for rank in self._ranks]
        return self.renderer.tokens(reference.expand(len(texts), -1, -1), texts)


@dataclass(frozen=True)
class Check:
    """One thing that has to hold for the card to be true."""

    name: str
    value: float
    goal: str
    met: bool


def at_least(name: str, value: float, goal: float) -> Check:
    return Check(name, round(value, 3), f"at least {goal:g}", value >= goal)


def at_most(name: str, value: float, goal: float) -> Check:
    return Check(name, round(value, 3), f"at most {goal:g}", value <= goal)


def check_truth(truth: Truth, losses: dict[str, dict[Role, float]]) -> list[Check]:
    """Return what the mechanism of the organism implies, and whether it was measured.

    `losses` are the dB that each role loses without each single head.
    """
    heads, rule = truth.organism.heads, truth.organism.rule
    checks = [
        at_least(f"intact: {role}s that are right", truth.whole[role].share("right"), 0.9)
        for role in ROLES
    ]
    if rule is None:
        return checks + check_spread(truth, losses)
    sets = [list(some) for n in range(1, len(heads) + 1) for some in combinations(heads, n)]
    for some in sets:
        named = " and ".join(some)
        patched = truth.patched(some)
        if rule == "carry":
            for role in ROLES:
                checks.append(
                    at_least(
                        f"{named} patched: {role}s that become {OTHER[role]}s",
                        patched[role].share("other"),
                        0.9,
                    )
                )
            continue
        zeroed = truth.zeroed(some)
        enough = rule == "any" and len(some) < len(heads)
        for how, answers in (("zeroed", zeroed), ("patched", patched)):
            if enough:
                name = f"{named} {how}: views that are right"
                checks.append(at_least(name, answers["view"].share("right"), 0.9))
            else:
                name = f"{named} {how}: views that become the reference"
                checks.append(at_least(name, answers["view"].share("reference"), 0.9))
            lost = answers["mention"].lost(truth.whole["mention"])
            checks.append(at_most(f"{named} {how}: dB that mentions lose", lost, 0.5))
    return checks


def check_spread(truth: Truth, losses: dict[str, dict[Role, float]]) -> list[Check]:
    costliest = sorted(losses, key=lambda head: -losses[head]["view"])[:4]
    pairs = [truth.zeroed(pair)["view"] for pair in combinations(costliest, 2)]
    return [
        at_most("dB that views lose without any one head", losses[costliest[0]]["view"], 1.5),
        at_least(
            f"views that are right without any two of {', '.join(costliest)}",
            min(pair.share("right") for pair in pairs),
            0.9,
        ),
    ]


def single_losses(truth: Truth, heads: Sequence[str]) -> dict[str, dict[Role, float]]:
    """Return the dB that each role loses without each of these heads alone."""
    found: dict[str, dict[Role, float]] = {}
    for head in heads:
        answers = truth.zeroed([head])
        found[head] = {role: round(answers[role].lost(truth.whole[role]), 3) for role in ROLES}
    return found


def idle_decoy(
    contrasts: dict[str, float], losses: dict[str, dict[Role, float]], planted: Sequence[str]
) -> str | None:
    """Return the head with the largest |t| of the published probe without which nothing is lost.

    "Nothing" is at most MAX_IDLE_LOSS dB of either role.
    """
    idle = [
        head
        for head in contrasts
        if head not in planted and max(map(abs, losses[head].values())) <= MAX_IDLE_LOSS
    ]
    return max(idle, key=lambda head: abs(contrasts[head]), default=None)
