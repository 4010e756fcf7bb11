"""The figures over a study and its controls: `controls.json` and `controls_<units>.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from otherview.analysis.analyse import Analysis
from otherview.analysis.controls import Tested
from otherview.analysis.selectivity import Selectivity, selectivity, selectivity_summary
from otherview.analysis.summary import token_summary
from otherview.analysis.tables import null_where_not_finite, rank_correlation
from otherview.analysis.token_shares import token_shares
from otherview.stats import PublishedReading, SignFlipResult
from otherview.study import TOKEN_GROUPS


def controls_figures(tested: Sequence[Tested]) -> dict[str, Any]:
    """The content of `controls.json`; `tested` begins with the study's own contrast."""
    contrasts = [one for one in tested if not one.is_placebo]
    placebos = [one for one in tested if one.is_placebo]
    figures: dict[str, Any] = {
        "contrasts": [contrast(one, is_own=one is tested[0]) for one in tested],
        "token_groups": [token_groups(one) for one in tested],
        "correlation": [agreement(one, other) for one, other in combinations(tested, 2)],
    }
    if placebos:
        figures["selectivity"] = [_selectivity(one, placebos) for one in contrasts]
    return figures


def controls_tables(tested: Sequence[Tested]) -> dict[str, pl.DataFrame]:
    """By unit set, a row a unit: t of every contrast, and selectivity of those of two roles."""
    placebos = [one for one in tested if one.is_placebo]
    tables = {}
    for unit_set, own in tested[0].analyses.items():
        columns: dict[str, Any] = {"unit": own.addresses}
        for one in tested:
            columns[f"t_{one.name}"] = one.analyses[unit_set].of(SignFlipResult).t
        for one in tested if placebos else ():
            if not one.is_placebo:
                found = selective(one, placebos, unit_set)
                columns[f"selectivity_{one.name}"] = found.mean
                columns[f"selectivity_sd_{one.name}"] = found.sd
        tables[unit_set] = null_where_not_finite(pl.DataFrame(columns))
    return tables


def contrast(one: Tested, *, is_own: bool) -> dict[str, Any]:
    templates = one.study.templates
    tokens = token_summary(one.study, one.measurement)
    row: dict[str, Any] = {
        "name": one.name,
        "kind": "placebo" if one.is_placebo else "contrast",
        "folder": "." if is_own else f"controls/{one.name}",
        "test": templates.test,
        "control": templates.control,
        "equal_count": tokens["equal_count"],
        "equal_item_position": tokens["equal_item_position"],
        "results": {name: reading(analysis) for name, analysis in one.analyses.items()},
    }
    if templates.placebo is not None:
        row["role"] = templates.placebo
    return row


def reading(analysis: Analysis) -> dict[str, Any]:
    published, test = analysis.of(PublishedReading), analysis.of(SignFlipResult)
    lowest = min(published.counts, key=lambda count: count.threshold)
    figures: dict[str, Any] = {
        "units": len(analysis.units),
        "threshold": lowest.threshold,
        "observed": lowest.observed,
        "share": lowest.observed / len(analysis.units),
        "familywise": int((test.p_stepdown <= test.alpha).sum()),
    }
    if published.max_abs_t is not None:
        figures["max_abs_t"] = published.max_abs_t
    return figures


def selective(one: Tested, placebos: Sequence[Tested], unit_set: str) -> Selectivity:
    return selectivity(
        one.analyses[unit_set].differences,
        [placebo.analyses[unit_set].differences for placebo in placebos],
    )


def _selectivity(one: Tested, placebos: Sequence[Tested]) -> dict[str, Any]:
    row: dict[str, Any] = {"contrast": one.name, "placebos": [each.name for each in placebos]}
    row["results"] = {}
    for unit_set, analysis in one.analyses.items():
        found = selective(one, placebos, unit_set)
        row["results"][unit_set] = selectivity_summary(found, analysis.addresses)
    return row


def token_groups(one: Tested) -> dict[str, Any]:
    results = {}
    for unit_set, analysis in one.analyses.items():
        threshold = min(count.threshold for count in analysis.of(PublishedReading).counts)
        t = np.nan_to_num(analysis.of(PublishedReading).t)
        counted = [
            unit for unit, size in zip(analysis.units, np.abs(t), strict=True) if size > threshold
        ]
        result: dict[str, Any] = {"counted": len(counted)}
        if counted:
            shares = np.nanmean(token_shares(one.measurement.responses, counted), axis=0)
            result["shares"] = dict(zip(TOKEN_GROUPS, shares.tolist(), strict=True))
        results[unit_set] = result
    return {"contrast": one.name, "results": results}


def agreement(one: Tested, other: Tested) -> dict[str, Any]:
    results = {}
    for unit_set in one.analyses:
        mine, theirs = (each.analyses[unit_set].of(SignFlipResult).t for each in (one, other))
        both = np.isfinite(mine) & np.isfinite(theirs)
        if both.sum() > 2:
            r = rank_correlation(mine[both], theirs[both])
            results[unit_set] = {"units": int(both.sum()), "r": r}
    return {"one": one.name, "other": other.name, "results": results}
