"""Writes what a run leaves. Every file is whole or absent; docs/result.md describes each field."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from otherview.analysis import Analysis, null_table, summarise, unit_table
from otherview.atomic import replacing, write_json
from otherview.measure import Measurement
from otherview.provenance import provenance
from otherview.study import Study


def write_measurement(folder: Path, measurement: Measurement) -> None:
    """Writes `reference.png` and `responses.nc`."""
    with replacing(folder / "reference.png") as temporary:
        measurement.reference.save(temporary)
    with replacing(folder / "responses.nc") as temporary:
        measurement.responses.save(temporary)


def write_analyses(
    folder: Path, study: Study, measurement: Measurement, analyses: list[Analysis]
) -> dict[str, Any]:
    """Writes `heads.parquet`, `slices16.parquet`, `nulls.parquet` and, last, `summary.json`.

    Returns the content of `summary.json`.
    """
    for analysis in analyses:
        with replacing(folder / f"{analysis.unit_set}.parquet") as temporary:
            unit_table(analysis).write_parquet(temporary)
    with replacing(folder / "nulls.parquet") as temporary:
        null_table(analyses).write_parquet(temporary)
    summary = summary_of(study, measurement, analyses)
    write_json(folder / "summary.json", summary)
    return summary


def summary_of(study: Study, measurement: Measurement, analyses: list[Analysis]) -> dict[str, Any]:
    """Study, table and provenance of a run, ready for JSON."""
    summary: dict[str, Any] = {
        "study": study.name,
        "question": study.question,
        "model": study.model.name,
        "contrast": {
            "templates": study.templates.name,
            "test": study.templates.test,
            "control": study.templates.control,
        },
        "pairs": len(study.creatures.items),
        "seed": study.seed,
        "reading": {
            "tokens": study.capture.tokens,
            "response": study.capture.response,
            "batch_size": study.model.batch_size,
            "dtype": study.model.dtype,
            "noise": study.sampling.noise,
        },
        "tokens": _token_summary(study, measurement),
        "results": {analysis.unit_set: summarise(analysis) for analysis in analyses},
        "provenance": provenance(measurement.device, measurement.model_revision),
    }
    if study.repeats_published:
        assert study.published is not None
        summary["published_figures"] = asdict(study.published)
    return summary


def _token_summary(study: Study, measurement: Measurement) -> dict[str, Any]:
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


def write_status(folder: Path, state: str, error: str | None = None) -> None:
    """Writes `status.json`: running, finished, failed (with the error) or interrupted."""
    status: dict[str, Any] = {
        "state": state,
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if error is not None:
        status["error"] = error
    write_json(folder / "status.json", status)
