"""The figures over the contrasts of a study: `controls.json` and `controls_<units>.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.analyse import Analysis
from otherview.analysis.comparison import Selectivity, agreement, selectivity
from otherview.analysis.controls import TestedContrast
from otherview.analysis.summary import token_summary
from otherview.analysis.tables import level_column, null_where_not_finite
from otherview.models.sites import Unit
from otherview.passes.responses import Responses
from otherview.stats import DifferenceIntervals, PublishedReading, SignFlipResult
from otherview.study import TOKEN_GROUPS


def controls_figures(tested: Sequence[TestedContrast]) -> dict[str, Any]:
    """Return the content of `controls.json`; `tested` begins with the study's own contrast."""
    unit_sets = list(tested[0].analyses)
    figures: dict[str, Any] = {
        "contrasts": [contrast(one, is_own=one is tested[0]) for one in tested],
        "token_groups": [
            {"contrast": one.name, "results": {name: counted(one, name) for name in unit_sets}}
            for one in tested
        ],
        "correlation": [correlation(one, other) for one, other in combinations(tested, 2)],
    }
    placebos = [one.name for one in tested if one.is_placebo]
    if placebos:
        figures["selectivity"] = [
            {
                "contrast": one.name,
                "placebos": placebos,
                "results": {
                    name: selective(one, tested, name).summary(analysis.addresses)
                    for name, analysis in one.analyses.items()
                },
            }
            for one in tested
            if not one.is_placebo
        ]
    return figures


def controls_tables(tested: Sequence[TestedContrast]) -> dict[str, pl.DataFrame]:
    """Return, by unit set, one row per unit: t of every contrast, and what placebos leave of it."""
    placebos = any(one.is_placebo for one in tested)
    tables = {}
    for unit_set, own in tested[0].analyses.items():
        columns: dict[str, Any] = {"unit": [unit.address for unit in own.units]}
        columns |= level_column(own.units, own.noise_levels)
        for one in tested:
            columns[f"t_{one.name}"] = one.analyses[unit_set].of(SignFlipResult).t
        for one in tested:
            if placebos and not one.is_placebo:
                columns |= selective(one, tested, unit_set).columns(f"_{one.name}")
        tables[unit_set] = null_where_not_finite(pl.DataFrame(columns))
    return tables


def contrast(one: TestedContrast, *, is_own: bool) -> dict[str, Any]:
    templates = one.study.templates
    tokens = token_summary(one.study, one.measurement)
    row: dict[str, Any] = {
        "name": one.name,
        "kind": "placebo" if one.is_placebo else "contrast",
        "folder": "." if is_own else f"controls/{one.name}",
        "test": templates.texts("test"),
        "control": templates.texts("control"),
        **{name: tokens[name] for name in ("equal_count", "equal_item_position") if name in tokens},
        "results": {name: reading(analysis) for name, analysis in one.analyses.items()},
    }
    return row | ({"role": templates.placebo} if one.is_placebo else {})


def reading(analysis: Analysis) -> dict[str, Any]:
    published, test = analysis.of(PublishedReading), analysis.of(SignFlipResult)
    lowest = min(published.counts, key=lambda count: count.threshold)
    figures: dict[str, Any] = {
        "units": len(analysis.units),
        "threshold": lowest.threshold,
        "observed": lowest.observed,
        "share": lowest.observed / len(analysis.units),
        "familywise": int((test.p_stepdown <= test.alpha).sum()),
        "note": test.summary(analysis.addresses)["note"],
    }
    intervals = analysis.find(DifferenceIntervals)
    if intervals is not None and np.isfinite(intervals.margin()):
        figures |= {"margin": intervals.margin(), "largest": float(np.abs(intervals.mean).max())}
    return figures | ({} if published.max_abs_t is None else {"max_abs_t": published.max_abs_t})


def selective(one: TestedContrast, tested: Sequence[TestedContrast], unit_set: str) -> Selectivity:
    """Return the selectivity of a contrast over all placebos among `tested`."""
    placebos = [each.analyses[unit_set].differences for each in tested if each.is_placebo]
    return selectivity(one.analyses[unit_set].differences, placebos)


def counted(one: TestedContrast, unit_set: str) -> dict[str, Any]:
    """Return the number of units above the lowest threshold, and the token groups they change."""
    analysis = one.analyses[unit_set]
    published = analysis.of(PublishedReading)
    above = np.abs(np.nan_to_num(published.t)) > min(each.threshold for each in published.counts)
    units = [analysis.units[index] for index in np.flatnonzero(above)]
    if not units:
        return {"counted": 0}
    shares = np.nanmean(token_shares(one.measurement.responses, units), axis=0)
    return {"counted": len(units), "shares": dict(zip(TOKEN_GROUPS, shares.tolist(), strict=True))}


def correlation(one: TestedContrast, other: TestedContrast) -> dict[str, Any]:
    results = {}
    for unit_set in one.analyses:
        maps = (each.analyses[unit_set].of(SignFlipResult).t for each in (one, other))
        found = agreement(*maps)
        if found is not None:
            results[unit_set] = found
    return {"one": one.name, "other": other.name, "results": results}


def token_shares(responses: Responses, units: Sequence[Unit]) -> Float[np.ndarray, "units groups"]:
    """Return the share of each token group (TOKEN_GROUPS) in the change of a unit's mean square.

    The square of the RMS over all tokens is a sum over token groups, so the change between the
    roles of the first contrast, averaged over items and conditions, splits exactly. A share is the
    absolute change in a group over the sum of absolute changes; NaN where nothing changes.
    """
    responses = responses.of()
    changes = []
    tokens = responses.tokens.astype(np.float64)
    for place, group in enumerate(TOKEN_GROUPS):
        square = np.nan_to_num(responses.read(units, group) ** 2)
        seen = np.array([group in unit.site.token_groups for unit in units])
        of_all = tokens[..., place, None] * seen
        test, control = responses.role_means(square * of_all)
        changes.append(np.abs((test - control).mean(axis=0)))
    change = np.stack(changes, axis=-1)
    total = change.sum(axis=-1, keepdims=True)
    shares = np.full_like(change, np.nan)
    np.divide(change, total, out=shares, where=total > 0)
    return shares
