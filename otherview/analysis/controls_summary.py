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
    for place, own in enumerate(tested[0].analyses):
        columns: dict[str, Any] = {"unit": [unit.address for unit in own.units]}
        for one in tested:
            columns[f"t_{one.name}"] = one.analyses[place].published.t
        for one in tested if placebos else ():
            if not one.is_placebo:
                found = selective(one, placebos, place)
                columns[f"selectivity_{one.name}"] = found.mean
                columns[f"selectivity_sd_{one.name}"] = found.sd
        tables[own.unit_set] = null_where_not_finite(pl.DataFrame(columns))
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
        "results": {analysis.unit_set: _reading(analysis) for analysis in one.analyses},
    }
    if templates.placebo is not None:
        row["role"] = templates.placebo
    return row


def _reading(analysis: Analysis) -> dict[str, Any]:
    lowest = min(analysis.published.counts, key=lambda count: count.threshold)
    test = analysis.sign_flip
    reading: dict[str, Any] = {
        "units": len(analysis.units),
        "threshold": lowest.threshold,
        "observed": lowest.observed,
        "share": lowest.observed / len(analysis.units),
        "familywise": int((test.p_stepdown <= test.alpha).sum()),
    }
    if analysis.published.max_abs_t is not None:
        reading["max_abs_t"] = analysis.published.max_abs_t
    return reading


def selective(one: Tested, placebos: Sequence[Tested], place: int) -> Selectivity:
    return selectivity(
        one.analyses[place].differences,
        [placebo.analyses[place].differences for placebo in placebos],
    )


def _selectivity(one: Tested, placebos: Sequence[Tested]) -> dict[str, Any]:
    row: dict[str, Any] = {"contrast": one.name, "placebos": [each.name for each in placebos]}
    row["results"] = {}
    for place, analysis in enumerate(one.analyses):
        found = selective(one, placebos, place)
        addresses = [unit.address for unit in analysis.units]
        row["results"][analysis.unit_set] = selectivity_summary(found, addresses)
    return row


def token_groups(one: Tested) -> dict[str, Any]:
    results = {}
    for analysis in one.analyses:
        threshold = min(count.threshold for count in analysis.published.counts)
        t = np.nan_to_num(analysis.published.t)
        counted = [
            unit for unit, size in zip(analysis.units, np.abs(t), strict=True) if size > threshold
        ]
        result: dict[str, Any] = {"counted": len(counted)}
        if counted:
            shares = np.nanmean(token_shares(one.measurement.responses, counted), axis=0)
            result["shares"] = dict(zip(TOKEN_GROUPS, shares.tolist(), strict=True))
        results[analysis.unit_set] = result
    return {"contrast": one.name, "results": results}


def agreement(one: Tested, other: Tested) -> dict[str, Any]:
    results = {}
    for mine, theirs in zip(one.analyses, other.analyses, strict=True):
        both = np.isfinite(mine.published.t) & np.isfinite(theirs.published.t)
        if both.sum() > 2:
            r = rank_correlation(mine.published.t[both], theirs.published.t[both])
            results[mine.unit_set] = {"units": int(both.sum()), "r": r}
    return {"one": one.name, "other": other.name, "results": results}
