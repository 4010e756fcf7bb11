"""Settings of capture, sampling and nulls, and numbers that a publication reports for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from otherview.study.checks import check_choices, check_least, check_list, check_value

TOKEN_GROUPS = ("text", "pad", "target", "reference")
UNIT_SETS = ("heads", "slices16")
RESPONSES = ("rms", "log_rms")


@dataclass
class Capture:
    """What is read from the inputs of the attention out-projections."""

    units: list[str] = field(default_factory=lambda: ["heads"])
    """heads: true attention heads of all streams. slices16: 16-channel slices of the image path,
    including the MLP channels of single blocks; the published study counts these as heads."""

    tokens: str = "all"
    """Token group of the response: text, pad, target, reference, or all (published)."""

    response: str = "rms"
    """rms (published), or log_rms: relative change, comparable between units of different scale."""

    keep: list[str] = field(default_factory=lambda: ["energy"])
    """What is kept of a pass. energy: sums of squares, always. mean: also the mean vector of every
    head over the tokens of each group, for axes of the role and for intervention=steer."""

    @property
    def keeps_means(self) -> bool:
        """Whether mean vectors are kept."""
        return "mean" in self.keep

    def __post_init__(self) -> None:
        check_choices(
            "capture", self, units=UNIT_SETS, tokens=(*TOKEN_GROUPS, "all"),
            response=RESPONSES, keep=("energy", "mean"),
        )  # fmt: skip
        right = "energy" in self.keep
        check_value("capture", self, "keep", right, ": use [energy] or [energy, mean]")


@dataclass
class Sampling:
    """How the measured passes run."""

    steps: int = 1
    """Denoising steps of a probe pass. Only 1, as published; see `trajectory`."""

    guidance_scale: float = 1.0
    """Above 1, the transformer runs twice per step, with and without the prompt: not supported."""

    noise: str = "same"
    """same: one noise for all passes (published). per_item: one per item, shared within a pair."""

    levels: list[float] = field(default_factory=lambda: [1.0])
    """Noise levels in (0, 1] at which every prompt is measured; 1 is pure noise (published). Below,
    the latents are the reference's, x = (1 - level) * reference + level * noise (rectified flow,
    Liu et al. 2023), the same for both roles; all tests are family-wise over levels and units."""

    trajectory: int = 0
    """Denoising steps of the model's own trajectory under each prompt, in place of `levels`; 0 for
    none. After the first step, trajectories differ by wording, which confounds the role."""

    at: list[int] = field(default_factory=list)
    """Steps of the trajectory that are measured, from 0; empty for all of them."""

    def __post_init__(self) -> None:
        check = partial(check_value, "sampling", self)
        check(
            "steps", self.steps == 1, ": a response is read from one transformer call; use "
            "sampling.steps=1, or sampling.trajectory for the model's own steps",
        )  # fmt: skip
        check(
            "guidance_scale", self.guidance_scale == 1, ": guidance runs the transformer twice per "
            "step and mixes two prompts' responses; use sampling.guidance_scale=1",
        )  # fmt: skip
        check_choices("sampling", self, noise=("same", "per_item"))
        check("levels", self.levels, " is empty: name at least one, such as 1.0")
        for level in self.levels:  # NaN is not either
            check(
                "levels",
                0 < level <= 1,
                f": {level:g} is not above 0 and at most 1; 1 is pure noise",
            )
        check("levels", len(set(self.levels)) == len(self.levels), " repeats a level")
        check_least("sampling", self, trajectory=0)
        check(
            "at", self.trajectory or not self.at,
            " names steps, but sampling.trajectory is 0: set the number of its steps",
        )  # fmt: skip
        check(
            "trajectory", not self.trajectory or self.levels == [1.0],
            f" and sampling.levels={self.levels}: a study measures noise levels of the reference "
            "or the model's own steps, not both",
        )  # fmt: skip
        steps, last = self.trajectory, self.trajectory - 1
        for step in self.at:
            has = f": a trajectory of {steps} steps has the steps 0 to {last}, not {step}"
            check("at", 0 <= step < steps, has)
        ascending = self.at == sorted(set(self.at))
        check("at", ascending, ": name each step once, in ascending order")

    @property
    def measured(self) -> list[int]:
        """Steps of the trajectory that are measured; empty without a trajectory."""
        return list(self.at or range(self.trajectory))

    @property
    def steps_per_prompt(self) -> int:
        """Noise levels or steps at which a prompt is measured."""
        return len(self.measured) if self.trajectory else len(self.levels)

    @property
    def passes_per_prompt(self) -> int:
        """Transformer calls of a prompt: a trajectory also runs steps that are not measured."""
        return max(self.measured) + 1 if self.trajectory else len(self.levels)

    @property
    def needs_picture(self) -> bool:
        """Whether a level has latents of the reference in it."""
        return any(level < 1 for level in self.levels)

    @property
    def starts_from_noise(self) -> bool:
        """Whether the first measured step is that of pure noise."""
        return self.measured[0] == 0 if self.trajectory else self.levels[0] == 1


@dataclass
class Nulls:
    """The null distributions with which the observed values are compared."""

    thresholds: list[float] = field(default_factory=lambda: [3.0, 5.0])
    """Values of |t| above which units are counted."""

    flips: int = 200
    """Number of random sign flips of whole pairs in the published reading."""

    sign_flips: str | int = "auto"
    """Sign patterns of the sign-flip test and the role test: exact (all), a number to draw, or auto
    (exact where affordable)."""

    alpha: float = 0.05
    """Family-wise error rate, and false discovery rate where one is controlled."""

    splits: int = 100
    """Random halvings of the items, for the stability of the t-map."""

    label_shuffle: int = 0
    """Number of shuffles of the role labels, which check the tests' error rate; 0 for none."""

    wording_splits: int = 20
    """Random halvings of items and wordings: does one half confirm what the other finds?"""

    def __post_init__(self) -> None:
        check_least("nulls", self, flips=1, splits=1, label_shuffle=0, wording_splits=1)
        check_value("nulls", self, "alpha", 0 < self.alpha < 1, " is not between 0 and 1")
        if isinstance(self.sign_flips, str):
            check_choices("nulls", self, sign_flips=("auto", "exact"))
        else:
            check_least("nulls", self, sign_flips=1)
        check_list("nulls", self, "thresholds")
        right = all(0 < level < math.inf for level in self.thresholds)
        check_value("nulls", self, "thresholds", right, ": give finite values above 0")


@dataclass
class PublishedCount:
    """One row of a published table."""

    threshold: float
    """Units with |t| above this are counted."""
    observed: int
    null_mean: float
    null_p99: float


@dataclass
class Published:
    """Numbers of a publication, shown with a run of the same study."""

    source: str
    """The publication."""

    where: dict[str, Any]
    """Settings, by dotted name, that produced them; other runs do not show them."""

    unit_set: str
    """Which units are counted as heads: heads or slices16."""

    units: int
    """Number of units."""

    counts: list[PublishedCount]

    max_abs_t: float
    """Largest |t| over units."""

    def __post_init__(self) -> None:
        check_choices("published", self, unit_set=UNIT_SETS)
