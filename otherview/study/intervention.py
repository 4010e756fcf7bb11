"""Settings of interventions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

from otherview.study.checks import check_choices, check_least, check_list, check_value
from otherview.study.errors import StudyError
from otherview.study.reading import TOKEN_GROUPS


@dataclass
class Intervention:
    """The edits of heads after the measurement."""

    kind: str = "none"
    """ablate, scale, patch, steer, or none."""

    how: str = "zero"
    """ablate: zero; mean (over the measured items and both roles); or resample (the
    output for another item under a role drawn at random)."""

    factors: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 1.5, 2.0])
    """scale: factors of the output of a head; heads are compared at the first one."""

    donors: list[str] = field(default_factory=lambda: ["role"])
    """patch: how the donor prompt differs: in role (same item), item (same role), or both. Heads
    are compared at the first one."""

    doses: list[float] = field(default_factory=lambda: [1.0, 0.5, 2.0])
    """steer: how many times the axis of the role is taken from prompts of the test role and added
    to those of the control role; below 0 the reverse. Heads are compared at the first one."""

    heads: str = "selective"
    """selective: heads that the role test calls, or that differ family-wise where there is one
    wording per role. strongest: largest |t|, whatever its p. listed: `addresses`."""

    addresses: list[str] = field(default_factory=list)
    """Heads, as joint.2.image.17, joint.2.text.3, single.11.17."""

    top: int = 8
    """Maximal number of heads that are edited together; the strongest ones are taken."""

    direction: str = "either"
    """Role under which selected heads write more: test, control, or either. It does not apply to
    listed heads."""

    tokens: list[str] = field(default_factory=lambda: ["all"])
    """Token groups in which heads are edited: text, pad, target, reference; or all."""

    singles: str = "all"
    """Heads that are also edited alone: all; those that match the selected ones (matched); or those
    that an attribution ranks first by what editing them changes, and those whose prediction is not
    known to hold (predicted)."""

    exact_share: float = 0.1
    """Share of the heads that `singles: predicted` takes from the first ranks."""

    draws: int = 100
    """Maximal number of random sets with which the selected set is compared."""

    curve_draws: int = 20
    """Number of random sets for every other size and variant."""

    growth: int = 8
    """Size up to which a set is grown greedily; 0 for no growth."""

    saturation: float = 0.05
    """Growth ends if one more head adds less than this share of the effect."""

    steps: int = 1
    """Denoising steps of a measured rendering. 1 is the pass of the probe."""

    guidance_scale: float = 1.0
    """Guidance of a measured rendering; above 1 the transformer runs twice per step."""

    at: list[int] = field(default_factory=list)
    """Steps at which heads are edited, counted from 0; empty for every step."""

    text_length: int | None = None
    """Text positions of a measured pass; null for those of the study."""

    wordings: int = 1
    """Number of wordings per role that are measured, from the first."""

    pictures: int = 6
    """Maximal number of items on the contact sheet."""

    seed: int = 0
    """Seed of the split of the items, of the random sets and of resampling."""

    @property
    def patches_role(self) -> bool:
        """Whether single heads take their output from the other role."""
        return self.kind == "patch" and self.donors[0] != "item"

    def __post_init__(self) -> None:
        check_choices(
            "intervention", self, kind=("none", "ablate", "scale", "patch", "steer"),
            how=("zero", "mean", "resample"), heads=("selective", "strongest", "listed"),
            direction=("either", "test", "control"), singles=("all", "matched", "predicted"),
            donors=("role", "item", "both"), tokens=(*TOKEN_GROUPS, "all"),
        )  # fmt: skip
        check_least(
            "intervention", self, top=1, draws=1, curve_draws=1, growth=0, saturation=0, steps=1,
            guidance_scale=1, wordings=1, pictures=1, seed=0, text_length=16,
        )  # fmt: skip
        check_list("intervention", self, "factors", "doses")
        check_list("intervention", self, "at", "addresses", empty=True)
        check = partial(check_value, "intervention", self)
        check("exact_share", 0 <= self.exact_share <= 1, " is not between 0 and 1")
        right = all(map(math.isfinite, self.factors)) and self.factors[0] != 1
        check("factors", right, ": give finite factors, the first not 1")
        right = all(math.isfinite(dose) and dose for dose in self.doses)
        check("doses", right, ": give finite doses other than 0")
        right = self.tokens == ["all"] or "all" not in self.tokens
        check("tokens", right, ": all excludes other token groups")
        missing = " names a step that does not exist: intervention.steps="
        right = all(0 <= step < self.steps for step in self.at)
        check("at", right, f"{missing}{self.steps}, counted from 0")
        if (self.heads == "listed") != bool(self.addresses):
            raise StudyError(
                f"intervention.heads={self.heads} with {len(self.addresses)} "
                "intervention.addresses: only listed heads need addresses",
                "intervention.addresses",
            )
