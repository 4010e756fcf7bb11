"""Compare the effects of two models, head by head, for every contrast and set of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.analyse import addresses
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
    level_column,
    null_where_not_finite,
    place_columns,
    strongest,
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
from otherview.stats.sign_flip import Flips
from otherview.study import Capture, Study
from otherview.study.prompts import PromptSet

COLUMNS = (
    Column("contrast", "name of the contrast in A"),
    *UNIT_COLUMNS,
    LEVEL_COLUMN,
    *RoleTestResult.COLUMNS,
    *EffectComparison.COLUMNS,
    Column("level_a", "mean response in A, over items and both roles", "response", "level in A"),
    Column("level_b", "the same in B", "response", "level in B"),
)
"""All columns of `comparison_heads.parquet` and `comparison_slices16.parquet`."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles over units of the ratio of levels."""


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
    noise_levels: Sequence[float]
    """Of every step of A, where several were compared; else of one."""
    role: RoleTestResult | None
    """Of A − B, over items and wordings; None where a role has too few wordings."""

    @property
    def table(self) -> pl.DataFrame:
        """One row per unit: COLUMNS."""
        columns = {
            "contrast": [self.contrast.name] * len(self.units),
            **place_columns(self.units),
            **level_column(self.units, self.noise_levels),
            **(self.role.columns() if self.role is not None else {}),
            **self.found.columns(),
            "level_a": self.level_a,
            "level_b": self.level_b,
        }
        return null_where_not_finite(pl.DataFrame(columns))

    def summary(self) -> dict[str, Any]:
        """Return its entry in `comparison.json`."""
        found, named = self.found, addresses(self.units, self.noise_levels)
        summary = {"units": len(self.units), **found.summary(named)}
        if self.role is not None:
            summary["role_test"] = self.role.summary(named) | found.directions(self.role.called)
        if len(self.noise_levels) > 1:
            steps = dict.fromkeys(unit.step for unit in self.units)
            summary["levels"] = [self._at_step(step) for step in steps]
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
        summary["strongest"] = strongest(self.table.drop_nulls("t"), COLUMNS)
        return summary

    def _at_step(self, step: int) -> dict[str, Any]:
        """How many units differ at one noise level, corrected for all levels together."""
        here = np.array([unit.step == step for unit in self.units])
        differs = here & (self.found.test.p_stepdown <= self.found.test.alpha)
        called = {} if self.role is None else {"called": int((here & self.role.called).sum())}
        return {
            "noise_level": self.noise_levels[step],
            "units": int(here.sum()),
            "familywise": int(differs.sum()),
            **self.found.directions(differs),
            **called,
        }

    def _level_ratio(self) -> Float[np.ndarray, " units"]:
        """Level in A over that in B, where both are there."""
        if self.response == "log_rms":
            return np.asarray(np.exp(self.level_a - self.level_b))
        there = (self.level_a > 0) & (self.level_b > 0)
        return np.asarray(self.level_a[there] / self.level_b[there])


def compare_units(
    a: Responses,
    b: Responses,
    design: SharedDesign,
    contrast: SharedContrast,
    unit_set: str,
    study: Study,
    progress: Progress = silent,
) -> ComparedUnits:
    """Compare one unit set under one contrast, read and tested as `study` says.

    Raises NotComparableError if no site sees the token group in both, or if a response of 0 has no
    logarithm.
    """
    capture, nulls = study.capture, study.nulls
    units_a, units_b = design.units(a.sites, b.sites, unit_set, capture.tokens)
    if not units_a:
        raise NotComparableError(f"no {unit_set} see {capture.tokens} tokens in both results")
    of_a, of_b = a.of(contrast.name), b.of(contrast.name_b)
    values_a = values_of(of_a, units_a, design.places_a, capture, "A")
    values_b = values_of(of_b, units_b, design.places_b, capture, "B")
    values_b = values_b[:, places_of_conditions(of_a.prompts, of_b.prompts)]
    roles, strata = of_a.prompts.wording_roles, of_a.prompts.wording_strata
    how: dict[str, Any] = {
        "thresholds": tuple(nulls.thresholds),
        "flips": cast(Flips, nulls.sign_flips),
        "alpha": nulls.alpha,
        "seed": study.seed,
        "progress": partial(progress, f"{contrast.name}: {unit_set}"),
    }
    (test_a, control_a), (test_b, control_b) = map(of_a.role_means, (values_a, values_b))
    by_scene = of_a.prompts.by_scene(values_a - values_b)
    if study.scenes_are != "sample":
        by_scene = by_scene.mean(axis=2)
    several = enough_for_role_test(roles, strata=strata)
    return ComparedUnits(
        contrast,
        tuple(units_a),
        np.asarray((test_a + control_a).mean(axis=0) / 2),
        np.asarray((test_b + control_b).mean(axis=0) / 2),
        capture.response,
        compare_effects(test_a - control_a, test_b - control_b, **how),
        levels(a)[: None if len(design.steps_a) > 1 else 1],
        role_test(by_scene, roles, strata=strata, **how) if several else None,
    )


def values_of(
    responses: Responses,
    units: Sequence[Unit],
    places: Sequence[int],
    capture: Capture,
    model: str,
) -> Float[np.ndarray, "items conditions units"]:
    """Return the responses of the items in `places`. Raises NotComparableError."""
    values = responses.read(units, capture.tokens, capture.response)[list(places)]
    if np.isnan(values).any():
        raise NotComparableError(f"some prompts of {model} have no {capture.tokens} tokens")
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
