"""Settings of capture, sampling and nulls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from otherview.study.checks import check_choices, check_least
from otherview.study.errors import StudyError

TOKEN_GROUPS = ("text", "pad", "target", "reference")
UNIT_SETS = ("heads", "slices16")
RESPONSES = ("rms", "log_rms")
KEPT = ("energy", "mean")


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
        if not self.units:
            raise StudyError(
                "capture.units is empty: choose heads, slices16 or both", "capture.units"
            )
        tokens = (*TOKEN_GROUPS, "all")
        check_choices(
            "capture", self, units=UNIT_SETS, tokens=tokens, response=RESPONSES, keep=KEPT
        )
        if "energy" not in self.keep or len(set(self.keep)) < len(self.keep):
            raise StudyError(
                f"capture.keep={list(self.keep)}: use [energy] or [energy, mean]", "capture.keep"
            )


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
        if self.steps != 1:
            raise StudyError(
                f"sampling.steps={self.steps}: a response is read from one transformer call; "
                "use sampling.steps=1, or sampling.trajectory for the model's own steps",
                "sampling.steps",
            )
        if self.guidance_scale != 1.0:
            raise StudyError(
                f"sampling.guidance_scale={self.guidance_scale}: guidance runs the transformer "
                "twice per step and mixes two prompts' responses; use sampling.guidance_scale=1",
                "sampling.guidance_scale",
            )
        check_choices("sampling", self, noise=("same", "per_item"))
        self._check_levels()
        self._check_trajectory()

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

    def _check_levels(self) -> None:
        said, setting = f"sampling.levels={list(self.levels)}", "sampling.levels"
        if not self.levels:
            raise StudyError(f"{said} is empty: name at least one, such as 1.0", setting)
        for level in self.levels:
            if not 0 < level <= 1:  # NaN is not either
                raise StudyError(
                    f"{said}: {level:g} is not above 0 and at most 1; 1 is pure noise", setting
                )
        if len(set(self.levels)) < len(self.levels):
            raise StudyError(f"{said} repeats a level", setting)

    def _check_trajectory(self) -> None:
        said = f"sampling.at={list(self.at)}"
        check_least("sampling", self, trajectory=0)
        if not self.trajectory and self.at:
            raise StudyError(
                f"{said} names steps, but sampling.trajectory is 0: set the number of its steps",
                "sampling.at",
            )
        if self.trajectory and self.levels != [1.0]:
            raise StudyError(
                f"sampling.trajectory={self.trajectory} and sampling.levels={list(self.levels)}: "
                "a study measures noise levels of the reference or the model's own steps, not both",
                "sampling.trajectory",
            )
        wrong = [step for step in self.at if not 0 <= step < self.trajectory]
        if wrong:
            raise StudyError(
                f"{said}: a trajectory of {self.trajectory} steps has the steps 0 to "
                f"{self.trajectory - 1}, not {wrong[0]}",
                "sampling.at",
            )
        if self.at != sorted(set(self.at)):
            raise StudyError(f"{said}: name each step once, in ascending order", "sampling.at")


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
        if not 0 < self.alpha < 1:
            raise StudyError(f"nulls.alpha={self.alpha} is not between 0 and 1", "nulls.alpha")
        if isinstance(self.sign_flips, str):
            check_choices("nulls", self, sign_flips=("auto", "exact"))
        else:
            check_least("nulls", self, sign_flips=1)
        levels = self.thresholds
        if not levels or not all(0 < level < math.inf for level in levels):
            raise StudyError(
                f"nulls.thresholds={list(levels)}: give one or more finite values above 0",
                "nulls.thresholds",
            )
        if len(set(levels)) < len(levels):
            raise StudyError(f"nulls.thresholds={list(levels)} repeats a value", "nulls.thresholds")
