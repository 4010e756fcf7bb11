"""The content of `summary.json`: study, results and provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from itertools import compress
from typing import Any

import numpy as np
import polars as pl

from otherview.analysis.analyse import Analysis
from otherview.analysis.reported_sets import level_rows, reported_sets
from otherview.analysis.tables import COLUMNS, rank_correlation, strongest
from otherview.disk.fingerprint import provenance
from otherview.models.picture_files import picture_figures
from otherview.passes.measure import Measurement
from otherview.passes.responses import LATENTS, Responses
from otherview.study import TOKEN_GROUPS, Study, settings_of

ONE_PAIR = (
    "One pair of wordings cannot tell the role from the wording, because any two wordings differ: "
    "templates={} takes eight wordings per role and tests the role."
)
ONE_PICTURE = (
    "One picture per item and role cannot tell the role from the picture, because any two pictures "
    "differ: write several wordings per role, each with its own picture of the item."
)


def summary_of(
    study: Study,
    measurement: Measurement,
    analyses: Mapping[str, Analysis],
    tables: Mapping[str, pl.DataFrame],
) -> dict[str, Any]:
    """Return study, results and provenance of a run as plain JSON, without what was not computed.

    `tables` are the analyses' `unit_table`s by unit set.
    """
    summary: dict[str, Any] = {
        "study": study.name,
        "question": study.question,
        "model": study.model.name,
        "contrast": {
            "templates": study.templates.name,
            "test": study.templates.texts("test"),
            "control": study.templates.texts("control"),
        },
        "items": len(study.creatures.items),
        "seed": study.seed,
        "settings": settings_of(study),
        "reading": reading_summary(study)
        | step_summary(measurement.responses)
        | batch_sizes(study, measurement.responses),
        "tokens": token_summary(study, measurement),
        "results": {
            name: result_summary(analysis, tables[name]) for name, analysis in analyses.items()
        },
        "provenance": {
            **provenance(measurement.device, measurement.model_revision),
            "inputs": measurement.inputs,
        },
    }
    if study.scenes:
        summary["scenes"] = {"names": list(study.scenes), "are": study.scenes_are}
    pictures = picture_figures(measurement.responses.prompts, study.seed)
    if pictures is not None:
        summary["pictures"] = pictures
    if measurement.remarks:
        summary["remarks"] = list(measurement.remarks)
    if study.templates.frames is not None:
        summary["contrast"]["frames"] = study.templates.frames
    if study.templates.placebo is not None:
        summary["contrast"]["placebo"] = study.templates.placebo
    if study.templates.expected != "either":
        summary["contrast"]["expected"] = study.templates.expected
        for name, result in summary["results"].items():
            result["expected"] = expected_figures(study, tables[name])
    if not any("role_test" in result for result in summary["results"].values()):
        summary["role_note"] = role_note(study)
    if study.creatures.axis is not None:
        summary["axis"] = study.creatures.axis
        summary["text_axis"] = text_axis(measurement)
    if study.repeats_published:
        assert study.published is not None
        summary["published_figures"] = asdict(study.published)
    return summary


def role_note(study: Study) -> str:
    """Return why the role is not tested: there is one wording per role."""
    if study.templates.has_pictures:
        return ONE_PICTURE
    return ONE_PAIR.format("nouns" if study.has_scene else "scene_nouns")


def step_summary(responses: Responses) -> dict[str, Any]:
    """Return timestep and, where it is known, share of noise of the measured step.

    Of several, those of the first, and lists of all with what the latents are at each, in words.
    """
    levels, timesteps = responses.noise_levels, responses.timesteps
    summary: dict[str, Any] = {"timestep": timesteps[0]}
    if levels[0] is not None:
        summary["noise_level"] = levels[0]
    if len(levels) > 1:
        latents = [LATENTS[each] for each in responses.latents]
        summary |= {"timesteps": timesteps, "noise_levels": levels, "latents": latents}
    return summary


def reading_summary(study: Study) -> dict[str, Any]:
    """Return what was read, and what else the responses depend on."""
    return {
        "tokens": study.capture.tokens,
        "response": study.capture.response,
        "batch_size": study.model.batch_size,
        "dtype": study.model.dtype,
        "noise": study.sampling.noise,
    }


def batch_sizes(study: Study, responses: Responses) -> dict[str, Any]:
    """Return the prompts per transformer call, and smaller batches if memory ran out.

    In low precision the last digits depend on it.
    """
    first, *reduced = responses.batch_sizes or (study.model.batch_size,)
    sizes: dict[str, Any] = {"batch_size": first}
    return sizes | {"batch_size_reduced_to": reduced} if reduced else sizes


def token_summary(study: Study, measurement: Measurement) -> dict[str, Any]:
    """Return whether the prompts of each item agree in token count and in item position."""
    prompts = measurement.responses.prompts.prompts
    tokens = measurement.responses.tokens
    text = sum(tokens[..., TOKEN_GROUPS.index(group)] for group in ("text", "pad"))
    length = {"text_length": int(np.max(text))}
    if not measurement.places:  # the tokenizer does not tell
        return length
    places = list(zip(prompts, measurement.places, strict=True))
    counts = {(prompt.item, place.count) for prompt, place in places}
    positions = {(prompt.item, place.item_position) for prompt, place in places}
    return length | {
        "longest_prompt": max(count for _, count in counts),
        "equal_count": len(counts) == len(study.creatures.items),
        "equal_item_position": len(positions) == len(study.creatures.items),
    }


def text_axis(measurement: Measurement) -> dict[str, Any]:
    """Return the distances of the items in the text encoder, and how the axis correlates."""
    responses = measurement.responses
    ranks = responses.prompts.ranks
    axis: dict[str, Any] = {"distances": responses.text_distance.tolist()}
    if ranks is not None and len(ranks) > 2 and np.ptp(responses.text_distance):
        axis["spearman"] = rank_correlation(ranks, responses.text_distance)
    return axis


def result_summary(analysis: Analysis, table: pl.DataFrame) -> dict[str, Any]:
    """Return an entry of `results`: the units, then the summary of every statistic."""
    addresses = analysis.addresses
    levels = level_rows(analysis)
    return {
        "units": len(addresses),
        **({"levels": levels} if levels else {}),
        "units_by_kind": dict(Counter(unit.channel_kind for unit in analysis.units)),
        "degenerate": list(compress(addresses, table["degenerate"])),
        **{name: found.summary(addresses) for name, found in analysis.results.items()},
        "sets": reported_sets(analysis),
        "strongest": strongest(table, COLUMNS),
    }


def expected_figures(study: Study, table: pl.DataFrame) -> dict[str, int]:
    """Return how many units are called, and how many of them differ in the expected direction.

    Called by the role test; where there is none, by the test over items.
    """
    by_items = pl.col("p_stepdown") <= study.nulls.alpha
    called = table.filter(pl.col("role_called") if "role_called" in table.columns else by_items)
    sign = 1 if study.templates.expected == "higher" else -1
    expected = called.filter(pl.col("mean_difference") * sign > 0)
    return {"called": len(called), "as_expected": len(expected)}
