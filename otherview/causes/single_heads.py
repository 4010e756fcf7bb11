"""Every head edited alone: its effect, its p among matching heads, its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.stats import pearsonr, spearmanr

from otherview.analysis.analyse import Analysis
from otherview.causes.effects import Effects, Variant
from otherview.causes.matching_sets import closest_level, matching_group, permutation_p
from otherview.causes.variants import PATCH_NAMES
from otherview.causes.verdicts import change_verdict, toward_verdict
from otherview.disk.progress import Progress
from otherview.models.sites import Unit, heads
from otherview.passes.predicted_changes import PredictedChanges
from otherview.stats import RoleTestResult, SignFlipResult, difference_intervals
from otherview.study import ROLES, Intervention

PREDICTED_EDITS = {"zero": "zero", "0": "zero", "mean": "mean", PATCH_NAMES["role"]: "patch"}
"""By variant of an intervention, the edit whose change an attribution predicts."""
MIN_HEADS = 5
"""Heads from which a rank correlation is computed."""


def heads_to_edit(
    chosen: Sequence[Unit],
    pool: Sequence[Unit],
    settings: Intervention,
    alpha: float,
    predicted: PredictedChanges | None = None,
    floor: float = 0.0,
) -> list[Unit]:
    """Return all heads of `pool`, those that match a selected one, or those that are predicted.

    `predicted` ranks heads by how much zeroing them changes, both roles together (by
    `PredictedChanges.known_changes`), or for a patch from the other role by the way to its
    prediction: the first `exact_share` of them are returned, heads that nothing is known of, and
    the selected ones.
    """
    if settings.singles == "all":
        return list(pool)
    if settings.singles == "predicted":
        assert predicted is not None
        known = heads(predicted.sites)
        order = [known[place] for place in np.argsort(-effect_sizes(predicted, settings))]
        ranked = [unit for unit in order if unit in pool]
        first = ranked[: math.ceil(settings.exact_share * len(pool))]
        unknown = [known[place] for place in np.flatnonzero(predicted.unpredicted(floor))]
        return [u for u in pool if u in first or u in chosen or u in unknown]
    levels = [closest_level([unit], pool, alpha) for unit in chosen]
    groups = {
        (level, matching_group(unit, level)) for unit, level in zip(chosen, levels, strict=True)
    }
    return [
        unit
        for unit in pool
        if any((level, matching_group(unit, level)) in groups for level in set(levels))
    ]


def effect_sizes(
    predicted: PredictedChanges, settings: Intervention
) -> Float[np.ndarray, " heads"]:
    """Return by how much an edit of each head is known to act, both roles together.

    For a patch from the other role this is the way to its prediction, else the change by zeroing.
    Heads that change much can be specific even where their predicted specificity is small: in
    benchmarks/causes.py they are ranked better by change than by predicted specificity.
    """
    way = predicted.toward_by_role() if settings.patches_role else None
    test, control = predicted.known_changes() if way is None else way
    return np.asarray(np.abs(test) + np.abs(control))


def single_table(
    effects: Effects,
    edited: Sequence[Unit],
    pool: Sequence[Unit],
    chosen: Sequence[Unit],
    variant: Variant,
    analysis: Analysis,
    seed: int,
    progress: Progress,
) -> pl.DataFrame:
    """Return one row per head of `edited`, with the columns that docs/causes.md describes.

    `chosen` are the selected heads, and `analysis` holds the statistics of the study. `seed` draws
    items for the bounds on the changes.
    """
    measured = {}
    for done, unit in enumerate(edited):
        progress("editing single heads", done, len(edited))
        measured[unit] = effects.of([unit.address], variant)
    progress("editing single heads", len(edited), len(edited))
    known, alpha = statistics_by_head(analysis), analysis.of(SignFlipResult).alpha
    bounds = upper_bounds([measured[unit]["change"] for unit in edited], alpha, seed)
    rows = []
    for unit, bound in zip(edited, bounds, strict=True):
        level = closest_level([unit], pool, alpha)
        matching = [
            measured[other]["change"].mean(axis=1)
            for other in edited
            if other is not unit and matching_group(other, level) == matching_group(unit, level)
        ]
        own, null = measured[unit]["change"].mean(axis=1), np.array(matching).reshape(-1, 2)
        row: dict[str, Any] = {
            "unit": unit.address,
            "block_kind": unit.site.block_kind,
            "block": unit.site.block,
            "stream": unit.site.stream,
            "head": unit.head,
            "variant": variant.name,
            "selected": unit in chosen,
            **known.get(unit.address, {}),
            "matching": level,
            "specificity": float(own[0] - own[1]),
        }
        for place, role in enumerate(ROLES):
            for measure in effects.measures:
                values = measured[unit][measure.name][place]
                row[f"{measure.name}_{role}"] = float(values.mean())
            row[f"p_{role}"] = permutation_p(own[place], list(null[:, place]))
            row[f"median_{role}"] = float(np.median([own[place], *null[:, place]]))
            row[f"bound_{role}"] = float(bound[place]) if np.isfinite(bound[place]) else None
        differs: bool | None = row.get("differs")
        steered = variant.edit.shift is not None
        if steered or variant.name in (PATCH_NAMES["role"], PATCH_NAMES["both"]):
            toward = row["toward_test"], row["toward_control"]
            judged = toward_verdict(differs, toward, steered=steered)
        else:
            judged = change_verdict(differs, (row["change_test"], row["change_control"]))
        row["verdict"] = judged.key
        rows.append(row)
    return pl.DataFrame(rows, schema=columns_of(effects))


def agreement(table: pl.DataFrame, predicted: PredictedChanges | None) -> dict[str, Any]:
    """Return how predicted and measured changes correlate over the heads of `table`.

    By `change_test`, `change_control` and `specificity`, under a patch also `toward_test` and
    `toward_control`: Spearman's and Pearson's correlation.
    Empty for edits that were not predicted, with fewer than five heads, or without variance.
    """
    edit = PREDICTED_EDITS.get(str(table["variant"][0])) if len(table) else None
    if predicted is None or edit is None or len(table) < MIN_HEADS:
        return {}
    test, control = predicted.role_changes(edit)
    known = [unit.address for unit in heads(predicted.sites)]
    places = [known.index(address) for address in table["unit"]]
    of_heads = {"change_test": test, "change_control": control, "specificity": test - control}
    way = predicted.toward_by_role() if edit == "patch" else None
    if way is not None:
        of_heads |= {"toward_test": way[0], "toward_control": way[1]}
    found: dict[str, Any] = {}
    for name, values in of_heads.items():
        pair = values[places], table[name].to_numpy()
        if np.isfinite(pair).all() and np.ptp(pair[0]) > 0 and np.ptp(pair[1]) > 0:
            found[name] = {
                "spearman": float(spearmanr(*pair).statistic),
                "pearson": float(pearsonr(*pair).statistic),
            }
    return found | {"heads": len(table), "edit": edit} if found else {}


def columns_of(effects: Effects) -> dict[str, Any]:
    """Return the columns of interventions.parquet and their types."""
    by_role = [f"{measure.name}_{role}" for measure in effects.measures for role in ROLES]
    return {
        **dict.fromkeys(("unit", "block_kind"), pl.String),
        "block": pl.Int64,
        "stream": pl.String,
        "head": pl.Int64,
        "variant": pl.String,
        **dict.fromkeys(("selected", "differs"), pl.Boolean),
        **dict.fromkeys(("t", "role_t", *by_role), pl.Float64),
        **dict.fromkeys(("p_test", "p_control"), pl.Float64),
        "matching": pl.String,
        **dict.fromkeys(("median_test", "median_control", "specificity"), pl.Float64),
        **dict.fromkeys(("bound_test", "bound_control"), pl.Float64),
        "verdict": pl.String,
    }


def upper_bounds(
    changes: Sequence[Float[np.ndarray, "roles items"]], alpha: float, seed: int
) -> Float[np.ndarray, "heads roles"]:
    """Return what the mean change of each role by each head does not exceed, over items.

    The upper ends of `difference_intervals` of all heads and both roles: they hold together with
    confidence 1 - alpha, so that they also hold for heads that were chosen by their changes.
    Infinite where too few items allow no bound.
    """
    if not changes:
        return np.empty((0, len(ROLES)))
    values = np.concatenate(changes)
    found = difference_intervals(values.T, alpha=alpha, seed=seed)
    return found.high.reshape(len(changes), -1)


def statistics_by_head(analysis: Analysis) -> dict[str, dict[str, bool | float | None]]:
    """Return the statistics of every tested head at the first noise level.

    None for what is not finite.
    """
    role, test = analysis.find(RoleTestResult), analysis.of(SignFlipResult)
    differs = role.called if role is not None else test.familywise
    found = {"t": test.t}
    if role is not None:
        found["role_t"] = role.t
    return {
        unit.address: {"differs": bool(differs[place])}
        | {name: float(v[place]) if np.isfinite(v[place]) else None for name, v in found.items()}
        for place, unit in enumerate(analysis.units)
        if unit.step == 0
    }


def by_verdict(table: pl.DataFrame) -> dict[str, list[str]]:
    """Return the heads of each verdict, those with the largest change of the test role first."""
    ordered = table.sort("change_test", descending=True)
    groups = ordered.group_by("verdict", maintain_order=True).agg("unit")
    return {str(verdict): list(units) for verdict, units in groups.iter_rows()}


def bounds_by_verdict(table: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return by verdict and role what the change by none of its heads exceeds; see `upper_bounds`.

    Empty where too few items allow no bound.
    """
    largest = table.group_by("verdict").agg(pl.max(f"bound_{role}") for role in ROLES)
    return {
        str(verdict): dict(zip(ROLES, bounds, strict=True))
        for verdict, *bounds in largest.sort("verdict").iter_rows()
        if None not in bounds
    }


def rank_correlations(table: pl.DataFrame) -> dict[str, float | int]:
    """Return Spearman's correlation with specificity: of |t|, and of |t| of the role test.

    Also with the sign of the difference between the roles, since specificity has a sign: it is
    negative for a head on which the control role depends. Omitted with fewer than five heads or
    without variance.
    """
    strengths = {
        "t": pl.col("t").abs(),
        "role_t": pl.col("role_t").abs(),
        "signed_t": pl.col("t"),
        "signed_role_t": pl.col("role_t"),
    }
    found: dict[str, float | int] = {}
    for name, strength in strengths.items():
        rows = table.select(strength.alias(name), "specificity").drop_nulls()
        if len(rows) < MIN_HEADS:
            continue
        correlation = float(spearmanr(rows[name], rows["specificity"]).statistic)
        if np.isfinite(correlation):
            found |= {name: correlation, "heads": len(rows)}
    return found
