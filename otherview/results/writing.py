"""Writes what a run leaves. Every file is whole or absent; docs/result.md describes each field."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import otherview
from otherview.analysis.analyse import Analysis
from otherview.analysis.controls import Tested
from otherview.analysis.controls_summary import controls_figures, controls_tables
from otherview.analysis.summary import batch_sizes, summary_of
from otherview.analysis.tables import null_table, unit_table
from otherview.causes import FILES as INTERVENTION_FILES
from otherview.disk.atomic import replacing, write_json
from otherview.passes.measure import Measurement
from otherview.study import Study

CONTROL_FILES = ("controls.json", "controls_heads.parquet", "controls_slices16.parquet")
TABLES = ("summary.json", "heads.parquet", "slices16.parquet", "nulls.parquet", *CONTROL_FILES)
VIEWS = ("report.html", "examples.png")


def write_measurement(folder: Path, study: Study, measurement: Measurement) -> None:
    """Writes `reference.png` and `responses.nc`; removes tables and views of an earlier run.

    Those would be of other responses; `summary.json` goes first, as it is written last.
    """
    for name in (*TABLES, *INTERVENTION_FILES, *VIEWS):
        (folder / name).unlink(missing_ok=True)
    with replacing(folder / "reference.png") as temporary:
        measurement.reference.save(temporary)
    with replacing(folder / "responses.nc") as temporary:
        measurement.responses.save(temporary, origin(study, measurement))


def write_analyses(
    folder: Path, study: Study, measurement: Measurement, analyses: Mapping[str, Analysis]
) -> dict[str, Any]:
    """Writes `heads.parquet`, `slices16.parquet`, `nulls.parquet` and, last, `summary.json`.

    Returns the content of `summary.json`.
    """
    tables = {name: unit_table(analysis) for name, analysis in analyses.items()}
    for unit_set, table in tables.items():
        with replacing(folder / f"{unit_set}.parquet") as temporary:
            table.write_parquet(temporary)
    with replacing(folder / "nulls.parquet") as temporary:
        null_table(analyses).write_parquet(temporary)
    summary = summary_of(study, measurement, analyses, tables)
    written = [folder / f"{unit_set}.parquet" for unit_set in tables]
    names = ("reference.png", "responses.nc", "nulls.parquet", *CONTROL_FILES, *INTERVENTION_FILES)
    written += [folder / name for name in names if (folder / name).is_file()]
    summary["files"] = {file.name: file.stat().st_size for file in written}
    write_json(folder / "summary.json", summary)
    return summary


def write_controls(folder: Path, tested: Sequence[Tested]) -> dict[str, Any]:
    """Write what the contrasts of a study say of each other, and the tables of each control.

    `tested` begins with the study's own contrast, whose tables are written elsewhere. The tables of
    a control are in a folder below `controls`; its responses are part of the run's. Returns the
    content of `controls.json`.
    """
    for control in tested[1:]:
        below = folder / "controls" / control.name
        below.mkdir(parents=True, exist_ok=True)
        write_analyses(below, control.study, control.measurement, control.analyses)
    for unit_set, table in controls_tables(tested).items():
        with replacing(folder / f"controls_{unit_set}.parquet") as temporary:
            table.write_parquet(temporary)
    figures = controls_figures(tested)
    write_json(folder / "controls.json", figures)
    return figures


def whole_summary(folder: Path) -> dict[str, Any] | None:
    """The content of `summary.json` where the result in `folder` is whole, else None.

    Whole means that `summary.json`, which is written last, can be read, and that every file that
    it names has the size that was written.
    """
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        sizes = {name: (folder / name).stat().st_size for name in summary["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    assert isinstance(summary, dict)
    return summary if sizes == summary["files"] else None


def read_status(folder: Path) -> dict[str, Any] | None:
    """The content of `status.json`; None where there is none, or none that can be read."""
    try:
        status = json.loads((folder / "status.json").read_bytes())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


def origin(study: Study, measurement: Measurement) -> dict[str, str | int]:
    """What `responses.nc` must say of itself when it is copied elsewhere."""
    return {
        "study": study.name,
        "model": study.model.name,
        "model_revision": measurement.model_revision,
        "dtype": study.model.dtype,
        "batch_size": batch_sizes(study, measurement.responses)["batch_size"],
        "seed": study.seed,
        "noise": study.sampling.noise,
        "scene": study.scene.name,
        "axis": study.creatures.axis or "",
        "otherview": otherview.__version__,
    }


def write_status(folder: Path, state: str, error: str | None = None, **more: Any) -> None:
    """Writes `status.json`: running, finished, failed (with the error) or interrupted."""
    status: dict[str, Any] = {
        "state": state,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }
    if error is not None:
        status["error"] = error
    write_json(folder / "status.json", status)
