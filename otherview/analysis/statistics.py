"""Which statistics are computed for a set of units, and when.

A statistic is a module of `otherview.stats` whose result knows its columns and its summary. Here it
is one entry of STATISTICS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Bool, Float

from otherview import stats
from otherview.stats import Column, RoleTestResult, SignFlipResult, TrendResult
from otherview.stats.sign_flip import Flips
from otherview.study import Nulls

Report = Callable[[int, int], None]
MIN_ITEMS_TO_HALVE = 4
MIN_ITEMS_FOR_TREND = 3


class Result(Protocol):
    """The result of a statistic."""

    def summary(self, addresses: Sequence[str], /) -> dict[str, Any]:
        """Its entry in `summary.json`."""


@dataclass(frozen=True)
class Question:
    """One set of units of a study, and what can be computed for it."""

    unit_set: str
    by_scene: Float[np.ndarray, "items wordings scenes units"]
    differences: Float[np.ndarray, "items units"]
    roles: Sequence[str]
    strata: Sequence[str] | None
    """Frames of the wordings; None where they name none."""
    ranks: Sequence[float] | None
    """Of the items on the study's axis; None without one."""
    text_distance: Float[np.ndarray, " items"]
    nulls: Nulls
    seed: int
    report: Callable[[str], Report | None]
    """Returns the progress callback of a stage."""
    predicted: Float[np.ndarray, "items wordings units"] | None = None
    """Predicted change by zeroing each unit; None without an attribution."""
    holds: Bool[np.ndarray, " units"] | None = None
    """Whether first order holds at the site of each unit; None if that was not checked."""
    measured: stats.MeasuredChanges | None = None
    """Units of sites where it does not hold, zeroed alone; None if none was."""
    toward: stats.PredictedTowardResult | None = None
    """The ways that patches are predicted to go; None if none was predicted."""
    floor: float = 0.0
    """Difference of predicted changes up to which no unit is called."""
    vectors: Float[np.ndarray, "items wordings units channels"] | None = None
    """Mean vector of each unit, mean over scenes; None where none were kept."""
    item_strata: Sequence[str] | None = None
    """Group of every item; None without any."""
    scenes_are_sample: bool = True
    """Whether the role test holds over scenes like these, or is about exactly these."""

    @cached_property
    def values(self) -> Float[np.ndarray, "items wordings units"]:
        """Mean over scenes."""
        return np.asarray(self.by_scene.mean(axis=2))

    @property
    def sampled(self) -> Float[np.ndarray, "items wordings *scenes units"]:
        """What the role test is about: with scenes apart where they are a sample of several."""
        several = self.scenes_are_sample and self.by_scene.shape[2] > 1
        return self.by_scene if several else self.values

    @property
    def level(self) -> dict[str, Any]:
        """Level and seed, which every test takes."""
        return {"alpha": self.nulls.alpha, "seed": self.seed}

    @property
    def flips(self) -> dict[str, Any]:
        """The same with the sign patterns to use."""
        return {"flips": cast(Flips, self.nulls.sign_flips), **self.level}

    def can_halve(self) -> bool:
        return len(self.differences) >= MIN_ITEMS_TO_HALVE

    def has_axis(self) -> bool:
        return self.ranks is not None and len(self.differences) >= MIN_ITEMS_FOR_TREND

    def has_strata(self) -> bool:
        return self.item_strata is not None and 1 < len({*self.item_strata}) < len(self.item_strata)

    def has_text_axis(self) -> bool:
        return self.has_axis() and bool(np.ptp(self.text_distance))

    def has_several_wordings(self) -> bool:
        """Return whether the wordings of a role, or frames, show how much wordings differ."""
        return stats.enough_for_role_test(self.roles, strata=self.strata)

    def of_predictions(self) -> stats.PredictedChangeResult:
        assert self.predicted is not None
        return stats.predicted_change_test(
            self.predicted,
            self.roles,
            strata=self.strata,
            holds=self.holds,
            measured=self.measured,
            floor=self.floor,
            **self.flips,
        )

    def has_axes(self) -> bool:
        return self.vectors is not None and self.has_several_wordings()

    def of_axes(self) -> stats.AxisResult:
        assert self.vectors is not None
        return stats.axis_test(
            self.vectors,
            self.roles,
            strata=self.strata,
            **self.flips,
            progress=self.report("finding axes of"),
        )

    def can_halve_wordings(self) -> bool:
        items, alpha = len(self.values), self.nulls.alpha
        return stats.enough_to_split(self.roles, items, strata=self.strata, alpha=alpha)

    @cached_property
    def by_role(self) -> RoleTestResult:
        return stats.role_test(
            self.sampled,
            self.roles,
            strata=self.strata,
            thresholds=tuple(self.nulls.thresholds),
            **self.flips,
            progress=self.report("testing"),
        )

    def over_items(self) -> SignFlipResult:
        """Return the sign-flip test over items, which is a part of the role test."""
        if self.has_several_wordings():
            return self.by_role.items
        return stats.sign_flip_test(
            self.differences,
            thresholds=tuple(self.nulls.thresholds),
            **self.flips,
            progress=self.report("testing"),
        )

    @cached_property
    def along_axis(self) -> TrendResult:
        return self.along(self.ranks)

    def along(self, axis: Any) -> TrendResult:
        return stats.trend(self.differences, axis, **self.level)


@dataclass(frozen=True)
class TextDistance:
    """Trends along the distance of the items' prompts in the text encoder, and along the axis."""

    text: TrendResult
    axis: TrendResult

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`."""
        along = self.text.summary(addresses)
        both = int((self.text.significant & self.axis.significant).sum())
        return {name: along[name] for name in ("familywise", "smallest_p_maxt")} | {"both": both}


@dataclass(frozen=True)
class Statistic:
    """One statistic: its name in `summary.json`, its result, when it is computed, and how."""

    name: str
    result: type[Result]
    asked: Callable[[Question], bool]
    of: Callable[[Question], Result]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns in the table of units; none where it has no values per unit."""
        return getattr(self.result, "COLUMNS", ())


STATISTICS = (
    Statistic("published_reading", stats.PublishedReading, lambda _: True,
              lambda q: stats.published_reading(q.differences, thresholds=q.nulls.thresholds,
                                                flips=q.nulls.flips, seed=q.seed)),
    Statistic("sign_flip", SignFlipResult, lambda _: True, Question.over_items),
    Statistic("discovery_bounds", stats.DiscoveryBounds, lambda _: True,
              lambda q: stats.discovery_bounds(q.differences, **q.level,
                                               progress=q.report("bounding"))),
    Statistic("difference_intervals", stats.DifferenceIntervals,
              lambda q: q.unit_set == "heads",  # slices of channels are no units of their own
              lambda q: stats.difference_intervals(q.differences, **q.level,
                                                   progress=q.report("drawing"))),
    Statistic("split_half", stats.SplitHalfResult, Question.can_halve,
              lambda q: stats.split_half(q.differences, q.nulls.splits, **q.level,
                                         progress=q.report("halving"))),
    Statistic("discover_confirm", stats.DiscoverConfirmResult, Question.can_halve,
              lambda q: stats.discover_confirm(q.differences, **q.flips)),
    Statistic("trend", TrendResult, Question.has_axis, lambda q: q.along_axis),
    Statistic("strata", stats.StrataResult, Question.has_strata,
              lambda q: stats.strata_test(q.differences, q.item_strata or (), **q.level)),
    Statistic("role_test", RoleTestResult, Question.has_several_wordings, lambda q: q.by_role),
    Statistic("text_distance", TextDistance, Question.has_text_axis,
              lambda q: TextDistance(q.along(q.text_distance), q.along_axis)),
    Statistic("label_shuffle", stats.LabelShuffleResult,
              lambda q: q.nulls.label_shuffle > 0,
              lambda q: stats.label_shuffle(q.sampled, q.roles, q.nulls.label_shuffle,
                                            strata=q.strata, threshold=min(q.nulls.thresholds),
                                            **q.level, progress=q.report("shuffling labels,"))),
    Statistic("wording_split", stats.WordingSplitResult, Question.can_halve_wordings,
              lambda q: stats.wording_split(q.sampled, q.roles, q.nulls.wording_splits,
                                            strata=q.strata, **q.level,
                                            progress=q.report("splitting wordings,"))),
    Statistic("predicted_change", stats.PredictedChangeResult,
              lambda q: q.predicted is not None, Question.of_predictions),
    Statistic("predicted_toward", stats.PredictedTowardResult,
              lambda q: q.toward is not None, lambda q: cast(Result, q.toward)),
    Statistic("axes", stats.AxisResult, Question.has_axes, Question.of_axes),
)  # fmt: skip
"""In the order in which they are computed and written."""
