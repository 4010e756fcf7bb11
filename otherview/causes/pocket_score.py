"""Whether an image is still correct: known for the pocket kitchen, whose images are all known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from otherview.causes.effects import Measure
from otherview.pocket.creatures import PHRASES
from otherview.pocket.scoring import psnr, wanted_picture
from otherview.pocket.words import ROLES, Role, wordings
from otherview.pocket.world import UNSEEN, kitchen_pictures
from otherview.study.prompts import PromptSet

SHIPPED_KITCHEN = UNSEEN + 40
"""The kitchen of `otherview:pocket/kitchen.png`."""
ONE_LEVEL = 1 / 255

MEASURES = (
    Measure("psnr", "PSNR lost against the correct image", "dB"),
    Measure("right", "images nearest to the correct candidate, lost", "share"),
    Measure("other", "images nearest to the other role's correct candidate, gained", "share"),
    Measure("other_role", "images nearest to any of the other role, gained", "share"),
    Measure("reference", "images nearest to the plain reference, gained", "share"),
)


class PocketScore:
    """Compares images with all views and mentions of the shipped kitchen, and its reference."""

    measures = MEASURES

    def __init__(
        self,
        candidates: Float[np.ndarray, "candidates side side 3"],
        right: Sequence[int],
        other: Sequence[int],
    ) -> None:
        """`right` is the correct candidate of every prompt, `other` that of the other role."""
        self._candidates = candidates
        self._right, self._other = np.array(right), np.array(other)

    def values(
        self, pictures: Float[np.ndarray, "rows side side 3"], prompts: Sequence[int]
    ) -> dict[str, Float[np.ndarray, " rows"]]:
        """Return PSNR against the correct image, and whether the nearest is the correct one, the
        other role's, any item's under the other role, or the plain reference.
        """
        right = self._right[list(prompts)]
        likeness = np.stack([psnr(self._candidates, picture[None]) for picture in pictures])
        nearest = likeness.argmax(axis=1)
        other = self._other[list(prompts)]
        of_role = (len(self._candidates) - 1) // len(ROLES)  # after the reference, role by role
        shares = {
            "right": nearest == right,
            "other": nearest == other,
            "other_role": (nearest > 0) & ((nearest - 1) // of_role == (other - 1) // of_role),
            "reference": nearest == 0,
        }
        return {
            "psnr": likeness[np.arange(len(right)), right],
            **{name: nearest_is.astype(np.float64) for name, nearest_is in shares.items()},
        }

    def lost(
        self,
        intact: dict[str, Float[np.ndarray, " rows"]],
        edited: dict[str, Float[np.ndarray, " rows"]],
    ) -> dict[str, Float[np.ndarray, " rows"]]:
        """Return the cost of an edit: PSNR and correct images lost, others gained."""
        return {
            name: before - edited[name] if name in ("psnr", "right") else edited[name] - before
            for name, before in intact.items()
        }


def pocket_score(reference: Image, prompts: PromptSet) -> PocketScore | None:
    """Return the score if the reference is the shipped kitchen and the model knows every prompt.

    None otherwise: then no correct image is known.
    """
    phrases = {item: PHRASES.index(item) for item in prompts.items if item in PHRASES}
    roles = [role_of(condition.template) for condition in prompts.conditions]
    if len(phrases) < len(prompts.items) or None in roles:
        return None
    shown = np.asarray(reference.convert("RGB"), dtype=np.float32) / 255
    candidates = kitchen_pictures(SHIPPED_KITCHEN)
    if shown.shape != candidates.shape[1:] or np.abs(shown - candidates[0]).max() > ONE_LEVEL:
        return None
    right, other = [], []
    for prompt in prompts.prompts:
        role = roles[prompt.condition]
        assert role is not None
        phrase = phrases[prompts.items[prompt.item]]
        right.append(wanted_picture(role, phrase))
        other.append(wanted_picture(ROLES[1 - ROLES.index(role)], phrase))
    return PocketScore(candidates, right, other)


def role_of(template: str) -> Role | None:
    return next((role for role in ROLES if template in wordings(role)), None)
