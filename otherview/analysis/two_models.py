"""Compare the effects of two models, head by head, for every contrast and set of units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.analyse import at_level
from otherview.analysis.comparison import agreement
from otherview.analysis.shared_design import (
    NotComparableError,
    SharedContrast,
    SharedDesign,
    condition_key,
    levels,
)
from otherview.analysis.tables import (
    LEVEL_COLUMN,
    UNIT_COLUMNS,
    by_strength,
    null_where_not_finite,
    place_columns,
)
from otherview.disk.progress import Progress, silent
from otherview.models.sites import Unit
from otherview.passes.responses import Responses
from otherview.stats import (
    Column,
    EffectComparison,
    RoleTestResult,
    compare_effects,
    enough_for_role_test,
    role_test,
)
from otherview.stats.columns import STRONGEST_UNITS
from otherview.stats.sign_flip import Flips
from otherview.study import Nulls
from otherview.study.prompts import PromptSet

RoleMeans = tuple[Float[np.ndarray, "items units"], Float[np.ndarray, "items units"]]
"""Mean response over the test wordings, and over the control wordings."""

LEVEL_COLUMNS = (
    Column("level_a", "mean response in A, over items and both roles", "response", "level in A"),
    Column("level_b", "the same in B", "response", "level in B"),
)
COLUMNS = (
    Column("contrast", "name of the contrast in A"),
    *UNIT_COLUMNS,
    LEVEL_COLUMN,
    *RoleTestResult.COLUMNS,
    *EffectComparison.COLUMNS,
    *LEVEL_COLUMNS,
)
"""All columns of `comparison_heads.parquet` and `comparison_slices16.parquet`."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles over units of the ratio of levels."""


@dataclass(frozen=True)
class Reading:
    """What of the responses is compared, and how it is tested."""

    tokens: str
    response: str
    nulls: Nulls
    seed: int
    scenes_are_sample: bool = True
    """Whether the role test holds over scenes like these, or is about exactly these."""


@dataclass(frozen=True)
class ComparedUnits:
    """One set of units under one contrast, compared."""

    contrast: SharedContrast
    units: tuple[Unit, ...]
    """Of A."""
    level_a: Float[np.ndarray, " units"]
    """Mean response over items and roles."""
    level_b: Float[np.ndarray, " units"]
    response: str
    found: EffectComparison
    noise_levels: tuple[float, ...]
    """Of every unit, where several levels were compared; else empty."""
    role: RoleTestResult | None
    """Of A − B, over items and wordings; None where a role has too few wordings."""

    @property
    def table(self) -> pl.DataFrame:
        """One row per unit: COLUMNS."""
        columns = {
            "contrast": [self.contrast.name] * len(self.units),
            **place_columns(self.units),
            **({LEVEL_COLUMN.name: self.noise_levels} if self.noise_levels else {}),
            **(self.role.columns() if self.role is not None else {}),
            **self.found.columns(),
            "level_a": self.level_a,
            "level_b": self.level_b,
        }
        return null_where_not_finite(pl.DataFrame(columns))

    def summary(self) -> dict[str, Any]:
        """Return its entry in `comparison.json`."""
        found, addresses = self.found, self._addresses()
        summary = {"units": len(self.units), **found.summary(addresses)}
        if self.role is not None:
            directions = found.directions(self.role.called)
            summary["role_test"] = self.role.summary(addresses) | directions
        if self.noise_levels:
            summary["levels"] = [
                self._at_level(level) for level in dict.fromkeys(self.noise_levels)
            ]
        agree = agreement(found.g_a, found.g_b)
        if agree is not None:
            summary["agreement"] = agree
        ratio = self._level_ratio()
        if len(ratio):
            low, median, high = np.quantile(ratio, SPREAD)
            typical = float(np.median(np.maximum(ratio, 1 / ratio)))
            summary["level_ratio"] = {
                "median": float(median), "low": float(low), "high": float(high), "typical": typical,
            }  # fmt: skip
        summary["strongest"] = self._strongest()
        return summary

    def _addresses(self) -> list[str]:
        """The names of the units; with several noise levels each says its own."""
        if not self.noise_levels:
            return [unit.address for unit in self.units]
        named = zip(self.units, self.noise_levels, strict=True)
        return [at_level(unit.address, level) for unit, level in named]

    def _at_level(self, level: float) -> dict[str, Any]:
        """How many units differ at one noise level, corrected for all levels together."""
        here = np.array(self.noise_levels) == level
        differs = here & (self.found.test.p_stepdown <= self.found.test.alpha)
        called = {} if self.role is None else {"called": int((here & self.role.called).sum())}
        return {
            "noise_level": level,
            "units": int(here.sum()),
            "familywise": int(differs.sum()),
            **self.found.directions(differs),
            **called,
        }

    def _strongest(self) -> list[dict[str, Any]]:
        """The columns that have a heading, for the units whose difference is surest."""
        table = by_strength(self.table.drop_nulls("t")).head(STRONGEST_UNITS)
        shown = [each.name for each in COLUMNS if each.heading and each.name in table.columns]
        return [
            {name: value for name, value in row.items() if value is not None}
            for row in table.select(shown).to_dicts()
        ]

    def _level_ratio(self) -> Float[np.ndarray, " units"]:
        """Level in A over that in B, where both are there."""
        if self.response == "log_rms":
            return np.asarray(np.exp(self.level_a - self.level_b))
        there = (self.level_a > 0) & (self.level_b > 0)
        return np.asarray(self.level_a[there] / self.level_b[there])


def compare_responses(
    a: Responses,
    b: Responses,
    design: SharedDesign,
    unit_sets: Sequence[str],
    reading: Reading,
    progress: Progress = silent,
) -> Iterator[tuple[str, ComparedUnits]]:
    """Yield the comparison of every unit set under every shared contrast, the first one first.

    Raises NotComparableError if no site sees the token group in both, or if a response of 0 has no
    logarithm.
    """
    for contrast in design.contrasts:
        for unit_set in unit_sets:
            report = partial(progress, f"{contrast.name}: {unit_set}")
            yield unit_set, compare_units(a, b, design, contrast, unit_set, reading, report)


def compare_units(
    a: Responses,
    b: Responses,
    design: SharedDesign,
    contrast: SharedContrast,
    unit_set: str,
    reading: Reading,
    report: Callable[[int, int], None],
) -> ComparedUnits:
    """Compare one unit set under one contrast. Raises NotComparableError."""
    units_a, units_b = design.units(a.sites, b.sites, unit_set, reading.tokens)
    if not units_a:
        raise NotComparableError(f"no {unit_set} see {reading.tokens} tokens in both results")
    of_a, of_b = a.of(contrast.name), b.of(contrast.name_b)
    values_a = values_of(of_a, units_a, design.places_a, reading, "A")
    values_b = values_of(of_b, units_b, design.places_b, reading, "B")
    values_b = values_b[:, places_of_conditions(of_a.prompts, of_b.prompts)]
    nulls = reading.nulls
    roles, strata = of_a.prompts.wording_roles, of_a.prompts.wording_strata
    how: dict[str, Any] = {
        "thresholds": tuple(nulls.thresholds),
        "flips": cast(Flips, nulls.sign_flips),
        "alpha": nulls.alpha,
        "seed": reading.seed,
        "progress": report,
    }
    role_means_a, role_means_b = of_a.role_means(values_a), of_a.role_means(values_b)
    of_step = levels(a)
    by_scene = of_a.prompts.by_scene(values_a - values_b)
    if not reading.scenes_are_sample:
        by_scene = by_scene.mean(axis=2)
    several = enough_for_role_test(roles, strata=strata)
    return ComparedUnits(
        contrast,
        tuple(units_a),
        level(role_means_a),
        level(role_means_b),
        reading.response,
        compare_effects(effect(role_means_a), effect(role_means_b), **how),
        tuple(of_step[unit.step] for unit in units_a) if len(design.steps_a) > 1 else (),
        role_test(by_scene, roles, strata=strata, **how) if several else None,
    )


def values_of(
    responses: Responses,
    units: Sequence[Unit],
    places: Sequence[int],
    reading: Reading,
    model: str,
) -> Float[np.ndarray, "items conditions units"]:
    """Return the responses of the items in `places`. Raises NotComparableError."""
    values = responses.read(units, reading.tokens, reading.response)[list(places)]
    if np.isnan(values).any():
        raise NotComparableError(f"some prompts of {model} have no {reading.tokens} tokens")
    if not np.isfinite(values).all():
        place = int(np.argwhere(~np.isfinite(values))[0][2])
        raise NotComparableError(
            f"{units[place].address} has a response of 0 in {model}, which has no logarithm; "
            "compare with --response rms"
        )
    return values


def places_of_conditions(a: PromptSet, b: PromptSet) -> list[int]:
    """Return where in B the conditions of A are, of one contrast; they may be in another order."""
    in_b = [condition_key(b, condition) for condition in b.conditions]
    return [in_b.index(condition_key(a, condition)) for condition in a.conditions]


def effect(role_means: RoleMeans) -> Float[np.ndarray, "items units"]:
    """Return the response under test minus that under control."""
    test, control = role_means
    return test - control


def level(role_means: RoleMeans) -> Float[np.ndarray, " units"]:
    """Return the mean response over items and roles."""
    test, control = role_means
    return np.asarray((test + control).mean(axis=0) / 2)
