"""Every head edited alone: its effect, its rank among heads like it, its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from otherview.analysis.analyse import Analysis
from otherview.causes.effects import ROLES, Effects, Variant
from otherview.causes.matching import closest_level, matching_group, permutation_p
from otherview.causes.verdicts import verdict
from otherview.models.sites import Unit
from otherview.stats import RoleTestResult, SignFlipResult

FEWEST_TO_CORRELATE = 5
MAY_BE_NULL = {
    "differs": pl.Boolean,
    **dict.fromkeys(("t", "role_min_f", "role_difference", "p_test", "p_control"), pl.Float64),
}
"""Columns that keep their type where the study has nothing to put in."""


@dataclass(frozen=True)
class Statistics:
    """What the study says of a head; None where it did not test it, or t is not finite."""

    differs: bool | None = None
    t: float | None = None
    role_min_f: float | None = None
    role_difference: float | None = None


def heads_to_edit(
    chosen: Sequence[Unit], pool: Sequence[Unit], which: str, alpha: float
) -> list[Unit]:
    """All heads of `pool`, or (`matched`) those against which a chosen one is held."""
    if which == "all":
        return list(pool)
    levels = [closest_level([unit], pool, alpha) for unit in chosen]
    groups = {
        (level, matching_group(unit, level)) for unit, level in zip(chosen, levels, strict=True)
    }
    return [
        unit
        for unit in pool
        if any((level, matching_group(unit, level)) in groups for level in set(levels))
    ]


def single_table(
    effects: Effects,
    edited: Sequence[Unit],
    pool: Sequence[Unit],
    chosen: Sequence[Unit],
    variant: Variant,
    analysis: Analysis,
    progress: Callable[[int, int], None],
) -> pl.DataFrame:
    """A row a head of `edited`, as docs/interventions.md describes. What was not computed is null.

    `chosen` are the study's selected heads, and `analysis` what its statistics say of the heads.
    """
    measured = {}
    for done, unit in enumerate(edited):
        progress(done, len(edited))
        measured[unit.address] = effects.of([unit.address], variant)
    progress(len(edited), len(edited))
    known = statistics_of(analysis)
    alpha = analysis.of(SignFlipResult).alpha
    selected = {unit.address for unit in chosen}
    rows = []
    for unit in edited:
        statistics = known.get(unit.address, Statistics())
        row: dict[str, object] = {
            "unit": unit.address,
            "block_kind": unit.site.block_kind,
            "block": unit.site.block,
            "stream": unit.site.stream,
            "head": unit.head,
            "variant": variant.name,
            "selected": unit.address in selected,
            "differs": statistics.differs,
            "t": statistics.t,
            "role_min_f": statistics.role_min_f,
            "role_difference": statistics.role_difference,
        }
        for measure in effects.measures:
            by_role = measured[unit.address][measure.name].mean(axis=1)
            row |= {
                f"{measure.name}_{role}": float(value)
                for role, value in zip(ROLES, by_role, strict=True)
            }
        level = closest_level([unit], pool, alpha)
        matching = [
            measured[other.address]["change"].mean(axis=1)
            for other in edited
            if other is not unit and matching_group(other, level) == matching_group(unit, level)
        ]
        own = measured[unit.address]["change"].mean(axis=1)
        null = np.array(matching).reshape(-1, 2)
        p = [permutation_p(own[role], list(null[:, role])) for role in (0, 1)]
        median = [float(np.median([own[role], *null[:, role]])) for role in (0, 1)]
        row |= {"p_test": p[0], "p_control": p[1], "matching": level}
        row |= {"median_test": median[0], "median_control": median[1]}
        row["specificity"] = float(own[0] - own[1])
        row["verdict"] = verdict(
            statistics.differs,
            p=(p[0], p[1]),
            change=(float(own[0]), float(own[1])),
            median=(median[0], median[1]),
            alpha=alpha,
        ).key
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides=MAY_BE_NULL, infer_schema_length=None)


def rank_correlations(table: pl.DataFrame) -> dict[str, float | int]:
    """Spearman's correlation with specificity: of |t|, and of min F' of the role test.

    Both also with the sign of the difference between the roles, since specificity has one: a head
    on which the control role hangs has a negative one. Over the heads that have them. Absent are
    those with fewer than five heads, or without variance.
    """
    strengths = {
        "t": pl.col("t").abs(),
        "role_min_f": pl.col("role_min_f"),
        "signed_t": pl.col("t"),
        "signed_role_min_f": pl.col("role_min_f") * pl.col("role_difference").sign(),
    }
    found: dict[str, float | int] = {}
    for name, strength in strengths.items():
        rows = table.select(strength.alias(name), "specificity").drop_nulls()
        if len(rows) < FEWEST_TO_CORRELATE:
            continue
        correlation = float(spearmanr(rows[name], rows["specificity"]).statistic)
        if np.isfinite(correlation):
            found |= {name: correlation, "heads": len(rows)}
    return found


def statistics_of(analysis: Analysis) -> dict[str, Statistics]:
    """By address: what the study says of the head."""
    role, test = analysis.find(RoleTestResult), analysis.of(SignFlipResult)
    differs = role.called if role is not None else test.p_stepdown <= test.alpha
    found = {}
    for place, unit in enumerate(analysis.units):
        found[unit.address] = Statistics(
            bool(differs[place]),
            finite(test.t[place]),
            None if role is None else finite(role.min_f[place]),
            None if role is None else finite(role.difference[place]),
        )
    return found


def finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
