"""Read the responses as a study asks and test every unit.

Items are the exchangeability blocks of every test: with several wordings per role, an item's
responses are averaged over the wordings before its sign is flipped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from otherview.analysis.statistics import STATISTICS, Question, Report, Result
from otherview.disk.progress import Progress
from otherview.models.sites import Unit, at_steps, heads, units_of
from otherview.passes.mean_vectors import head_vectors
from otherview.passes.predicted_changes import PredictedChanges
from otherview.passes.responses import Responses
from otherview.stats import MeasuredChanges, PredictedTowardResult
from otherview.study import TOKEN_GROUPS, Study
from otherview.study.errors import StudyError

R = TypeVar("R")


@dataclass(frozen=True)
class Analysis:
    """One set of units of a study, tested."""

    units: tuple[Unit, ...]
    test: Float[np.ndarray, "items units"]
    """Response under the test role, mean over its wordings."""
    control: Float[np.ndarray, "items units"]
    results: dict[str, Result]
    """By name, in the order of STATISTICS; only those that were computed."""
    noise_levels: tuple[float | None, ...] = (1.0,)
    """Share of noise at every measured step; `units` are those of the first, then the next."""
    latents: tuple[str, ...] = ("noise",)
    """What the target's latents are at every step: a key of `responses.LATENTS`."""

    @property
    def differences(self) -> Float[np.ndarray, "items units"]:
        """Test minus control, one row per item."""
        return np.asarray(self.test - self.control)

    @property
    def addresses(self) -> list[str]:
        """The names of the units; with several noise levels each says its own."""
        return addresses(self.units, self.noise_levels)

    def find(self, kind: type[R]) -> R | None:
        """Return the result of a class, such as RoleTestResult; None if it was not computed."""
        return next((found for found in self.results.values() if isinstance(found, kind)), None)

    def of(self, kind: type[R]) -> R:
        """Return the result of a class. Raises KeyError if it was not computed."""
        found = self.find(kind)
        if found is None:
            raise KeyError(kind.__name__)
        return found


def analyse(
    responses: Responses,
    study: Study,
    progress: Progress | None = None,
    attribution: PredictedChanges | None = None,
) -> dict[str, Analysis]:
    """Test the first contrast of `responses`: an analysis per entry of `study.capture.units`.

    `attribution` holds the predicted changes of that contrast, which are tested for heads.

    Units whose site does not see the token group of the study are omitted. Raises StudyError if a
    response of 0 has no logarithm.
    """
    responses = responses.of()
    check_tokens(responses, study)
    try:
        return {name: analyse_units(responses, study, name, progress, attribution)
                for name in study.capture.units}  # fmt: skip
    except StudyError:
        raise
    except ValueError as error:
        raise StudyError(f"the responses cannot be tested: {error}") from error


def analyse_units(
    responses: Responses,
    study: Study,
    unit_set: str,
    progress: Progress | None = None,
    attribution: PredictedChanges | None = None,
    only: Collection[type[Result]] = (),
) -> Analysis:
    """Compute every statistic that is defined for one set of units.

    With `only`, those whose results are of these classes.

    With several noise levels a column is a unit at a level, so that tests are per level and
    family-wise over levels and units together.
    """
    capture, levels = study.capture, responses.noise_levels
    seeing = [
        unit
        for unit in units_of(responses.sites, unit_set)
        if capture.tokens == "all" or capture.tokens in unit.site.token_groups
    ]
    units = tuple(at_steps(seeing, len(levels)))
    values = responses.read(units, capture.tokens, capture.response)
    check_finite(values, units)
    test, control = responses.role_means(values)

    def report(doing: str) -> Report | None:
        return partial(progress, f"{doing} {unit_set}") if progress else None

    of_heads = attribution if unit_set == "heads" else None
    question = Question(
        unit_set,
        responses.prompts.by_scene(values),
        test - control,
        responses.prompts.wording_roles,
        responses.prompts.wording_strata,
        responses.prompts.ranks,
        responses.text_distance,
        study.nulls,
        study.seed,
        report,
        item_strata=responses.prompts.item_strata,
        scenes_are_sample=study.scenes_are == "sample",
        vectors=vectors_of(responses, units, capture.tokens) if unit_set == "heads" else None,
        **predictions(of_heads, units, responses, study.attribution.floor),
    )
    asked = [each for each in STATISTICS if each.asked(question)]
    if only:
        asked = [each for each in asked if each.result in only]
    results = {statistic.name: statistic.of(question) for statistic in asked}
    return Analysis(units, test, control, results, levels, responses.latents)


def addresses(units: Sequence[Unit], levels: Sequence[float | None]) -> list[str]:
    """Return the names of units; with several noise levels, of every step, each says its own."""
    if len(levels) == 1:
        return [unit.address for unit in units]
    return [at_level(unit.address, levels[unit.step]) for unit in units]


def at_level(address: str, level: float | None) -> str:
    """Return the name of a unit at one of several noise levels."""
    return f"{address} at {level:.4g}"


def predictions(
    attribution: PredictedChanges | None,
    units: Sequence[Unit],
    responses: Responses,
    floor: float,
) -> dict[str, Any]:
    """Return what a Question holds of the predicted changes of heads, means over scenes.

    Nothing without an attribution.
    """
    if attribution is None:
        return {}
    known = {unit.address: place for place, unit in enumerate(heads(attribution.sites))}
    places = [known[unit.address] for unit in units]
    changes, holds = attribution.zeroed()[..., places], attribution.first_order_holds(floor)
    site_of = [[site.module for site in attribution.sites].index(u.site.module) for u in units]
    measured, way = attribution.measured_changes(), attribution.toward_by_role()
    fails = attribution.unpredicted(floor)[places]
    return {
        "predicted": np.asarray(responses.prompts.by_scene(changes).mean(axis=2)),
        "holds": None if holds is None else holds[site_of],
        "measured": measured and MeasuredChanges(measured[0][places], measured[1][places], fails),
        "toward": way
        and PredictedTowardResult(way[0][places], way[1][places], attribution.toward_items),
        "floor": floor,
    }


def vectors_of(
    responses: Responses, units: Sequence[Unit], tokens: str
) -> Float[np.ndarray, "items wordings units channels"] | None:
    """Return the mean vectors of heads, means over scenes; None where none were kept."""
    if responses.means is None:
        return None
    found = head_vectors(responses, units, tokens)
    shape = (len(found), -1, len(responses.prompts.scenes), *found.shape[2:])
    return np.asarray(found.reshape(shape).mean(axis=2))


def check_tokens(responses: Responses, study: Study) -> None:
    group = study.capture.tokens
    if group == "all":
        return
    empty = np.argwhere(responses.tokens[..., TOKEN_GROUPS.index(group)] == 0)
    if len(empty):
        item, condition = empty[0]
        prompt = responses.prompts.prompts[item * len(responses.prompts.conditions) + condition]
        raise StudyError(
            f"capture.tokens={group}: the prompt {prompt.text!r} has no such tokens",
            "capture.tokens",
        )


def check_finite(
    values: Float[np.ndarray, "items conditions units"], units: tuple[Unit, ...]
) -> None:
    if not np.isfinite(values).all():
        unit = units[int(np.argwhere(~np.isfinite(values))[0][2])]
        raise StudyError(
            f"{unit.address} has a response of 0, which has no logarithm; use capture.response=rms",
            "capture.response",
        )
