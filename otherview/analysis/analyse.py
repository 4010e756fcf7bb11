"""Reads the responses as a study asks and tests every unit.

Items are the exchangeability blocks of every test: with several wordings a role, an item's
responses are averaged over the wordings before its sign is flipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from jaxtyping import Float

from otherview.disk.progress import Progress
from otherview.models.sites import Unit, units_of
from otherview.passes.responses import Responses
from otherview.stats import (
    DiscoverConfirmResult,
    LabelShuffleResult,
    PublishedReading,
    RoleTestResult,
    SignFlipResult,
    SplitHalfResult,
    TrendResult,
    WordingSplitResult,
    discover_confirm,
    enough_to_split,
    label_shuffle,
    published_reading,
    role_test,
    sign_flip_test,
    split_half,
    trend,
    wording_split,
)
from otherview.stats.sign_flip import Flips
from otherview.study import TOKEN_GROUPS, Study
from otherview.study.errors import StudyError

FEWEST_TO_HALVE = 4
"""Items that a split into two halves needs."""
FEWEST_FOR_TREND = 3


@dataclass(frozen=True)
class Analysis:
    """One set of units of a study, tested."""

    unit_set: str
    """heads or slices16."""
    units: tuple[Unit, ...]
    test: Float[np.ndarray, "items units"]
    """Response under the test role, mean over its wordings."""
    control: Float[np.ndarray, "items units"]
    published: PublishedReading
    sign_flip: SignFlipResult
    split_half: SplitHalfResult | None
    """None with fewer than four items."""
    discover_confirm: DiscoverConfirmResult | None
    """None with fewer than four items."""
    trend: TrendResult | None
    """Along the study's axis; None without one."""
    role: RoleTestResult | None
    """None with one wording a role: then role and words are one and the same."""
    text_trend: TrendResult | None
    """Along the distance of the items' prompts in the text encoder; None without an axis."""
    label_shuffle: LabelShuffleResult | None
    """None where the study asks for no shuffles."""
    wording_split: WordingSplitResult | None
    """None with too few items or wordings to halve."""

    @property
    def differences(self) -> Float[np.ndarray, "items units"]:
        """Test minus control, a row a pair."""
        return np.asarray(self.test - self.control)


def analyse(responses: Responses, study: Study, progress: Progress | None = None) -> list[Analysis]:
    """An analysis for every entry of `study.capture.units`.

    Units whose site does not see the study's token group are left out. Raises StudyError where a
    response of 0 has no logarithm.
    """
    check_tokens(responses, study)
    try:
        return [_analyse(responses, study, unit_set, progress) for unit_set in study.capture.units]
    except StudyError:
        raise
    except ValueError as error:
        raise StudyError(f"the responses cannot be tested: {error}") from error


def _analyse(
    responses: Responses, study: Study, unit_set: str, progress: Progress | None
) -> Analysis:
    capture, nulls, seed = study.capture, study.nulls, study.seed
    units = tuple(
        unit
        for unit in units_of(responses.sites, unit_set)
        if capture.tokens == "all" or capture.tokens in unit.site.token_groups
    )
    values = responses.read(units, capture.tokens, capture.response)
    check_finite(values, units)
    test, control = responses.role_means(values)
    differences = test - control
    flips = cast(Flips, nulls.sign_flips)

    def report(doing: str) -> Callable[[int, int], None] | None:
        return partial(progress, f"{doing} {unit_set}") if progress else None

    by_role, sign_flip = tested(values, differences, responses, study, report("testing"))
    halves = len(differences) >= FEWEST_TO_HALVE
    ranks = responses.prompts.ranks if len(differences) >= FEWEST_FOR_TREND else None
    distances = responses.text_distance
    return Analysis(
        unit_set,
        units,
        test,
        control,
        published=published_reading(
            differences, thresholds=nulls.thresholds, flips=nulls.flips, seed=seed
        ),
        sign_flip=sign_flip,
        split_half=split_half(
            differences, nulls.splits, seed, alpha=nulls.alpha, progress=report("halving")
        )
        if halves
        else None,
        discover_confirm=discover_confirm(differences, flips=flips, alpha=nulls.alpha, seed=seed)
        if halves
        else None,
        trend=trend(differences, ranks, alpha=nulls.alpha, seed=seed) if ranks else None,
        role=by_role,
        text_trend=trend(differences, distances, alpha=nulls.alpha, seed=seed)
        if ranks and np.ptp(distances)
        else None,
        label_shuffle=label_shuffle(
            values,
            responses.prompts.roles,
            nulls.label_shuffle,
            threshold=min(nulls.thresholds),
            alpha=nulls.alpha,
            seed=seed,
            progress=report("shuffling labels,"),
        )
        if nulls.label_shuffle
        else None,
        wording_split=split_over_wordings(values, responses, study, report("splitting wordings,")),
    )


def tested(
    values: Float[np.ndarray, "items wordings units"],
    differences: Float[np.ndarray, "items units"],
    responses: Responses,
    study: Study,
    progress: Callable[[int, int], None] | None,
) -> tuple[RoleTestResult | None, SignFlipResult]:
    """The role test, where there are wordings for it, and the sign-flip test over items."""
    nulls = study.nulls
    flips, thresholds = cast(Flips, nulls.sign_flips), tuple(nulls.thresholds)
    if len(responses.prompts.roles) > 2:
        by_role = role_test(
            values,
            responses.prompts.roles,
            thresholds=thresholds,
            alpha=nulls.alpha,
            flips=flips,
            seed=study.seed,
            progress=progress,
        )
        return by_role, by_role.items
    return None, sign_flip_test(
        differences,
        thresholds=thresholds,
        flips=flips,
        alpha=nulls.alpha,
        seed=study.seed,
        progress=progress,
    )


def split_over_wordings(
    values: Float[np.ndarray, "items wordings units"],
    responses: Responses,
    study: Study,
    progress: Callable[[int, int], None] | None,
) -> WordingSplitResult | None:
    roles, nulls = responses.prompts.roles, study.nulls
    if not enough_to_split(roles.count("test"), roles.count("control"), len(values), nulls.alpha):
        return None
    return wording_split(
        values,
        roles,
        nulls.wording_splits,
        alpha=nulls.alpha,
        seed=study.seed,
        progress=progress,
    )


def check_tokens(responses: Responses, study: Study) -> None:
    group = study.capture.tokens
    if group == "all":
        return
    empty = np.argwhere(responses.tokens[..., TOKEN_GROUPS.index(group)] == 0)
    if len(empty):
        item, wording = empty[0]
        prompt = responses.prompts.prompts[item * len(responses.prompts.wordings) + wording]
        raise StudyError(
            f"capture.tokens={group}: the prompt {prompt.text!r} has no such tokens",
            "capture.tokens",
        )


def check_finite(
    values: Float[np.ndarray, "items wordings units"], units: tuple[Unit, ...]
) -> None:
    if not np.isfinite(values).all():
        unit = units[int(np.argwhere(~np.isfinite(values))[0][2])]
        raise StudyError(
            f"{unit.address} has a response of 0, which has no logarithm: use capture.response=rms",
            "capture.response",
        )
