"""Writes what a run leaves. Every file is whole or absent; docs/result.md describes each field."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import otherview
from otherview.analysis import Analysis
from otherview.atomic import replacing, write_json
from otherview.measure import Measurement
from otherview.study import Study
from otherview.summary import summary_of
from otherview.tables import null_table, unit_table

TABLES = ("summary.json", "heads.parquet", "slices16.parquet", "nulls.parquet")
VIEWS = ("report.html", "examples.png")


def write_measurement(folder: Path, study: Study, measurement: Measurement) -> None:
    """Writes `reference.png` and `responses.nc`; removes tables and views of an earlier run.

    Those would be of other responses; `summary.json` goes first, as it is written last.
    """
    for name in (*TABLES, *VIEWS):
        (folder / name).unlink(missing_ok=True)
    with replacing(folder / "reference.png") as temporary:
        measurement.reference.save(temporary)
    with replacing(folder / "responses.nc") as temporary:
        measurement.responses.save(temporary, _origin(study, measurement))


def write_analyses(
    folder: Path, study: Study, measurement: Measurement, analyses: list[Analysis]
) -> dict[str, Any]:
    """Writes `heads.parquet`, `slices16.parquet`, `nulls.parquet` and, last, `summary.json`.

    Returns the content of `summary.json`.
    """
    tables = {analysis.unit_set: unit_table(analysis) for analysis in analyses}
    for unit_set, table in tables.items():
        with replacing(folder / f"{unit_set}.parquet") as temporary:
            table.write_parquet(temporary)
    with replacing(folder / "nulls.parquet") as temporary:
        null_table(analyses).write_parquet(temporary)
    summary = summary_of(study, measurement, analyses, tables)
    write_json(folder / "summary.json", summary)
    return summary


def _origin(study: Study, measurement: Measurement) -> dict[str, str | int]:
    """What `responses.nc` must say of itself when it is copied elsewhere."""
    return {
        "study": study.name,
        "model": study.model.name,
        "model_revision": measurement.model_revision,
        "dtype": study.model.dtype,
        "batch_size": study.model.batch_size,
        "seed": study.seed,
        "noise": study.sampling.noise,
        "scene": study.scene.name,
        "axis": study.creatures.axis or "",
        "otherview": otherview.__version__,
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
