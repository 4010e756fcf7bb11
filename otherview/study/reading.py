"""Settings of capture, sampling and nulls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from otherview.study.checks import check_choices, check_least
from otherview.study.errors import StudyError

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

    def __post_init__(self) -> None:
        if not self.units:
            raise StudyError(
                "capture.units is empty: choose heads, slices16 or both", "capture.units"
            )
        tokens = (*TOKEN_GROUPS, "all")
        check_choices("capture", self, units=UNIT_SETS, tokens=tokens, response=RESPONSES)


@dataclass
class Sampling:
    """How the measured passes run."""

    steps: int = 1
    """Denoising steps of a probe pass. Only 1, as published, is supported."""

    guidance_scale: float = 1.0
    """Above 1, the transformer runs twice per step, with and without the prompt: not supported."""

    noise: str = "same"
    """same: one noise for all passes (published). per_item: one per item, shared within a pair."""

    def __post_init__(self) -> None:
        if self.steps != 1:
            raise StudyError(
                f"sampling.steps={self.steps}: a response is read from one transformer call; "
                "use sampling.steps=1",
                "sampling.steps",
            )
        if self.guidance_scale != 1.0:
            raise StudyError(
                f"sampling.guidance_scale={self.guidance_scale}: guidance runs the transformer "
                "twice per step and mixes two prompts' responses; use sampling.guidance_scale=1",
                "sampling.guidance_scale",
            )
        check_choices("sampling", self, noise=("same", "per_item"))


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
