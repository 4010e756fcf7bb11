"""The content of `summary.json`: the study, its tables in numbers, how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from otherview.analysis.analyse import Analysis
from otherview.analysis.tables import rank_correlation
from otherview.passes.measure import Measurement
from otherview.passes.responses import Responses
from otherview.results.provenance import provenance
from otherview.stats import (
    DiscoverConfirmResult,
    LabelShuffleResult,
    RoleTestResult,
    SignFlipResult,
    SplitHalfResult,
    TrendResult,
    WordingSplitResult,
)
from otherview.study import Study, settings_of

TOP_BLOCKS = 5
STRONGEST_UNITS = 8
ONE_PAIR = (
    "One pair of wordings cannot tell the role from the words: any two wordings differ. "
    "templates=nouns draws eight wordings a role and tests the role."
)


def summary_of(
    study: Study,
    measurement: Measurement,
    analyses: Sequence[Analysis],
    tables: Mapping[str, pl.DataFrame],
) -> dict[str, Any]:
    """Study, results and provenance of a run, ready for JSON. What was not computed is absent.

    `tables` are the analyses' `unit_table`s by unit set.
    """
    summary: dict[str, Any] = {
        "study": study.name,
        "question": study.question,
        "model": study.model.name,
        "contrast": {
            "templates": study.templates.name,
            "test": study.templates.test,
            "control": study.templates.control,
        },
        "items": len(study.creatures.items),
        "seed": study.seed,
        "settings": settings_of(study),
        "reading": reading_summary(study) | batch_sizes(study, measurement.responses),
        "tokens": token_summary(study, measurement),
        "results": {
            analysis.unit_set: _result(analysis, tables[analysis.unit_set]) for analysis in analyses
        },
        "provenance": provenance(measurement.device, measurement.model_revision),
    }
    if study.templates.placebo is not None:
        summary["contrast"]["placebo"] = study.templates.placebo
    if not any("role_test" in result for result in summary["results"].values()):
        summary["role_note"] = ONE_PAIR
    if study.creatures.axis is not None:
        summary["axis"] = study.creatures.axis
        summary["text_axis"] = text_axis(measurement)
    if study.repeats_published:
        assert study.published is not None
        summary["published_figures"] = asdict(study.published)
    return summary


def reading_summary(study: Study) -> dict[str, Any]:
    """What was read, and what else the responses depend on."""
    return {
        "tokens": study.capture.tokens,
        "response": study.capture.response,
        "batch_size": study.model.batch_size,
        "dtype": study.model.dtype,
        "noise": study.sampling.noise,
    }


def batch_sizes(study: Study, responses: Responses) -> dict[str, Any]:
    """Prompts of a transformer call, and to what a lack of device memory reduced it, where it did.

    In low precision the last digits depend on it.
    """
    first, *reduced = responses.batch_sizes or (study.model.batch_size,)
    sizes: dict[str, Any] = {"batch_size": first}
    return sizes | {"batch_size_reduced_to": reduced} if reduced else sizes


def token_summary(study: Study, measurement: Measurement) -> dict[str, Any]:
    """Whether the members of the pairs have as many tokens and hold the item at the same place."""
    prompts = measurement.responses.prompts.prompts
    places = list(zip(prompts, measurement.places, strict=True))
    counts = {(prompt.item, place.count) for prompt, place in places}
    positions = {(prompt.item, place.item_position) for prompt, place in places}
    return {
        "text_length": study.model.text_length,
        "longest_prompt": max(count for _, count in counts),
        "equal_count": len(counts) == len(study.creatures.items),
        "equal_item_position": len(positions) == len(study.creatures.items),
    }


def text_axis(measurement: Measurement) -> dict[str, Any]:
    """How the study's axis goes with the items' distances in the text encoder."""
    responses = measurement.responses
    ranks = responses.prompts.ranks
    axis: dict[str, Any] = {"distances": responses.text_distance.tolist()}
    if ranks is not None and len(ranks) > 2 and np.ptp(responses.text_distance):
        axis["spearman"] = rank_correlation(ranks, responses.text_distance)
    return axis


def _result(analysis: Analysis, table: pl.DataFrame) -> dict[str, Any]:
    result: dict[str, Any] = {
        "units": len(analysis.units),
        "units_by_kind": dict(Counter(unit.channel_kind for unit in analysis.units)),
        "degenerate": table.filter("degenerate")["unit"].to_list(),
        "published_reading": published_reading(analysis),
        "sign_flip": sign_flip_summary(analysis.sign_flip),
        "top_blocks": top_blocks(analysis, table),
        "strongest": _strongest(analysis, table),
    }
    addresses = [unit.address for unit in analysis.units]
    if analysis.split_half is not None:
        result["split_half"] = split_half(analysis.split_half)
    if analysis.discover_confirm is not None:
        result["discover_confirm"] = discover_confirm(analysis.discover_confirm)
    if analysis.trend is not None:
        result["trend"] = trend(analysis.trend)
    if analysis.role is not None:
        result["role_test"] = role_summary(analysis.role, addresses)
    if analysis.text_trend is not None and analysis.trend is not None:
        result["text_distance"] = text_distance(analysis.text_trend, analysis.trend)
    if analysis.label_shuffle is not None:
        result["label_shuffle"] = label_shuffle(analysis.label_shuffle)
    if analysis.wording_split is not None:
        result["wording_split"] = wording_split(analysis.wording_split, addresses)
    return result


def published_reading(analysis: Analysis) -> dict[str, Any]:
    reading = analysis.published
    counts = []
    for count in reading.counts:
        row: dict[str, Any] = {
            "threshold": count.threshold,
            "observed": count.observed,
            "share": count.observed / len(analysis.units),
            "null_mean": count.null_mean,
            "null_p99": count.null_p99,
        }
        if count.ratio is not None:
            row["ratio"] = count.ratio
        counts.append(row)
    summary: dict[str, Any] = {"flips": reading.flips, "seed": reading.seed, "counts": counts}
    if reading.max_abs_t is not None:
        summary["max_abs_t"] = reading.max_abs_t
    return summary


def sign_flip_summary(test: SignFlipResult) -> dict[str, Any]:
    """How a sign-flip test was done, and how many units it finds; docs/result.md."""
    summary: dict[str, Any] = {
        "exact": test.exact,
        "patterns": test.n_flips,
        "method": test.methods["null"],
        "blocks": test.n_blocks,
        "alpha": test.alpha,
        "smallest_p": test.smallest_p,
        "familywise": int((test.p_stepdown <= test.alpha).sum()),
        "familywise_single_step": int((test.p_maxt <= test.alpha).sum()),
        "false_discovery": int((test.q_bh <= test.alpha).sum()),
        "counts": [
            {
                "threshold": level,
                "observed": count.observed,
                "null_mean": count.null_mean,
                "null_sd": count.null_sd,
                "null_p99": count.null_p99,
                "null_p99_interval": list(count.null_p99_interval),
                "p": count.p,
                "false_positives": count.false_positives,
                "true_discoveries": count.true_discoveries,
            }
            for level, count in test.counts.items()
        ],
    }
    if np.isfinite(test.critical_t):
        summary["critical_t"] = test.critical_t
    return summary


def split_half(found: SplitHalfResult) -> dict[str, Any]:
    summary: dict[str, Any] = {"splits": len(found.correlation)}
    if np.isfinite(found.mean_correlation):
        summary["mean_correlation"] = found.mean_correlation
    if found.replication is not None:
        summary["replication"] = found.replication
    return summary


def discover_confirm(found: DiscoverConfirmResult) -> dict[str, Any]:
    return {
        "discovery_items": len(found.discovery_blocks),
        "confirmation_items": len(found.confirmation_blocks),
        "discovered": int(found.selected.sum()),
        "confirmed": int(found.confirmed.sum()),
    }


def trend(found: TrendResult) -> dict[str, Any]:
    return {
        "permutations": found.n_permutations,
        "exact": found.exact,
        "familywise": int(found.significant.sum()),
        "smallest_p_maxt": float(found.p_maxt.min()),
    }


def text_distance(found: TrendResult, graded: TrendResult) -> dict[str, Any]:
    return {
        "familywise": int(found.significant.sum()),
        "smallest_p_maxt": float(found.p_maxt.min()),
        "both": int((found.significant & graded.significant).sum()),
    }


def label_shuffle(found: LabelShuffleResult) -> dict[str, Any]:
    return {
        "over": found.over,
        "shuffles": len(found.called),
        "seed": found.seed,
        "called_any": found.called_any,
        "rate": found.rate,
        "interval": list(found.interval),
        "nominal": found.alpha,
        "threshold": found.threshold,
        "published_observed": float(found.published.mean()),
        "published_share": float(found.published.mean() / found.units),
    }


def wording_split(found: WordingSplitResult, addresses: Sequence[str]) -> dict[str, Any]:
    discovered, confirmed = found.discovered.mean(axis=0), found.confirmed.mean(axis=0)
    strongest = np.lexsort((-discovered, -confirmed))[:STRONGEST_UNITS]
    summary: dict[str, Any] = {
        "splits": len(found.discovered),
        "mean_discovered": float(found.discovered.sum(axis=1).mean()),
        "mean_confirmed": float(found.confirmed.sum(axis=1).mean()),
        "strongest": [
            {
                "unit": addresses[index],
                "discovered": float(discovered[index]),
                "confirmed": float(confirmed[index]),
            }
            for index in strongest
            if discovered[index]
        ],
    }
    if found.survival is not None:
        summary["survival"] = found.survival
    return summary


def role_summary(found: RoleTestResult, addresses: Sequence[str]) -> dict[str, Any]:
    """How a role test was done, and which units it calls; docs/result.md."""
    units = np.array(addresses)
    strongest_first = np.argsort(-np.nan_to_num(found.min_f), kind="stable")
    return {
        "called": int(found.called.sum()),
        "called_units": [str(units[index]) for index in strongest_first if found.called[index]],
        "fails_wordings": int(found.fails_wordings.sum()),
        "fails_items": int(found.fails_items.sum()),
        "relabellings": found.n_relabellings,
        "exact": found.exact,
        "wordings": {"test": found.n_test, "control": found.n_control},
        "smallest_p": found.smallest_p,
        "smallest_p_maxt": float(found.p_maxt.min()),
        "alpha": found.alpha,
        "note": found.note,
    }


def top_blocks(analysis: Analysis, table: pl.DataFrame) -> list[dict[str, Any]]:
    """The blocks with the largest |t|, a row a block and stream."""
    lowest = min(count.threshold for count in analysis.published.counts)
    rows = (
        table.select(
            "unit",
            block=pl.Series([unit.site.address for unit in analysis.units]),
            abs_t=pl.col("t").abs(),
        )
        .drop_nulls("abs_t")
        .group_by("block")
        .agg(
            max_abs_t=pl.col("abs_t").max(),
            unit=pl.col("unit").sort_by("abs_t").last(),
            units=pl.len(),
            above=(pl.col("abs_t") > lowest).sum(),
        )
        .sort("max_abs_t", "block", descending=[True, False])
    )
    return rows.head(TOP_BLOCKS).to_dicts()


def _strongest(analysis: Analysis, table: pl.DataFrame) -> list[dict[str, Any]]:
    """The units with the largest |t|, or first those that the role test calls."""
    order = [pl.col("t").abs()]
    if analysis.role is not None:
        order = [pl.col("role_called"), pl.col("role_min_f")]
    wanted = ["unit", "t", "p", "p_stepdown", "g", "g_low", "g_high", "confirmed", "trend_p_maxt"]
    wanted += ["role_min_f", "role_t", "role_p_maxt", "role_failed"]
    rows = (
        table.sort(order, descending=True, nulls_last=True)
        .head(STRONGEST_UNITS)
        .select(name for name in wanted if name in table.columns)
    )
    return [
        {name: value for name, value in row.items() if value is not None} for row in rows.to_dicts()
    ]
