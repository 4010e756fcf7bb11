"""A result's files as what Weights & Biases shows: values, tables, histograms, pictures, files.

Nothing here imports wandb, and nothing is computed anew but the shape of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from omegaconf import DictConfig, OmegaConf

from otherview.results.reader import RunResult, read_result
from otherview.study.compose import identity
from otherview.study.configuration import RUN_SETTINGS
from otherview.views.tracking.histograms import Histogram, null_histogram, t_histogram
from otherview.views.tracking.null_pictures import null_figure, t_figure

Value = float | int | bool | str
TAG_LENGTH = 64
"""Longest tag that the server takes."""


@dataclass
class Record:
    """Everything that is sent of one result."""

    id: str
    name: str
    job_type: str
    tags: list[str]
    config: dict[str, Any]
    group: str | None = None
    values: dict[str, Value] = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    drawings: dict[str, bytes] = field(default_factory=dict)
    """Pictures as PNG."""
    pictures: dict[str, Path] = field(default_factory=dict)
    """Pictures that lie in the result."""
    files: dict[str, Path] = field(default_factory=dict)
    """The result's files by their name in the artifact."""
    artifact: str = ""
    uses: list[str] = field(default_factory=list)
    """Artifacts that this one was made from."""


def run_record(folder: Path, group: str | None = None) -> Record:
    """The record of a run's result. `group` replaces the name of the sweep that it is part of.

    Raises ResultError where the result is damaged or unfinished.
    """
    run = read_result(folder)
    assert isinstance(run, RunResult)
    summary = run.summary
    config, run_id = _config(folder)
    record = Record(
        id=run_id,
        name=folder.resolve().name,
        job_type="run",
        tags=tags(summary["study"], summary["model"], summary["contrast"]["templates"]),
        config={**config, "provenance": summary["provenance"]},
        group=group or sweep_name(folder),
        artifact=f"result-{run_id}",
        files=result_files(folder),
    )
    record.values = dict(flattened(summary["results"]))
    record.tables["study/published_reading"] = published_reading(summary)
    record.tables["study/sign_flips"] = sign_flips(summary)
    for unit_set, result in summary["results"].items():
        units = run.units[unit_set]
        record.tables[f"{unit_set}/unit_table"] = units
        add_distributions(record, unit_set, result, units, run.nulls, summary["items"])
    if run.single_heads is not None:
        record.tables["interventions/unit_table"] = run.single_heads
    for key, name in (("scene/reference", "reference"), ("scene/renderings", "renderings")):
        if (folder / f"{name}.png").is_file():
            record.pictures[key] = folder / f"{name}.png"
    return record


def identity_of(folder: Path) -> str:
    """The identity of the study that a folder holds the result of."""
    return _config(folder)[1]


def tags(*names: str) -> list[str]:
    """Names as tags: without doubles, cut to what the server takes."""
    return list(dict.fromkeys(name[:TAG_LENGTH] for name in names if name.strip()))


def flattened(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """The single values of nested mappings, by path: heads/sign_flip/count_3/observed.

    Counts are named by their threshold; other lists are left to the tables and files.
    """
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            yield f"{prefix}{name}", value
        elif name in ("counts", "above"):
            for count in value:
                rest = {key: entry for key, entry in count.items() if key != "threshold"}
                yield from flattened(rest, f"{prefix}{count_name(count['threshold'])}/")


def count_name(threshold: float) -> str:
    """Name of a count in keys; the server takes a full stop for a step into a mapping."""
    return f"count_{threshold:g}".replace(".", "_")


def result_files(folder: Path) -> dict[str, Path]:
    """The whole files of a result by relative name; hidden ones but Hydra's are left out."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            found[path.name] = path
    for path in sorted((folder / ".hydra").glob("*.yaml")):
        found[f".hydra/{path.name}"] = path
    return found


def sweep_name(folder: Path) -> str | None:
    """Name of the sweep's directory that a run lies in; None for a run alone."""
    parent = folder.resolve().parent
    if (parent / ".sweep").is_dir() or (parent / "combined.json").is_file():
        return parent.name
    hydra = folder / ".hydra" / "hydra.yaml"
    if hydra.is_file():
        own = yaml.safe_load(hydra.read_text(encoding="utf-8"))
        if own["hydra"].get("mode") == "MULTIRUN":
            return parent.name
    return None


def stable_id(*parts: str) -> str:
    """Eight hexadecimal digits that name what has no identity of its own."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def _config(folder: Path) -> tuple[dict[str, Any], str]:
    """The composed study and its identity; a result made in a notebook is named by its folder."""
    file = folder / ".hydra" / "config.yaml"
    if not file.is_file():
        named = re.search(r"-([0-9a-f]{8})$", folder.resolve().name)
        return {}, named[1] if named else stable_id(folder.resolve().name)
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    study = OmegaConf.to_container(config, resolve=True)
    assert isinstance(study, dict)
    return {str(k): value for k, value in study.items() if k not in RUN_SETTINGS}, identity(config)


def add_distributions(
    record: Record,
    unit_set: str,
    result: Mapping[str, Any],
    units: pl.DataFrame,
    nulls: pl.DataFrame,
    items: int,
) -> None:
    """Observed values and nulls, as histograms and as pictures of one against the other."""
    reading = result["published_reading"]
    observed = {f"count_{row['threshold']:g}": row["observed"] for row in reading["counts"]}
    if "max_abs_t" in reading:
        observed["max_abs_t"] = reading["max_abs_t"]
    own = nulls.filter(pl.col("unit_set") == unit_set)
    for statistic, value in observed.items():
        name = f"{unit_set}/{statistic.replace('.', '_')}"
        rows = own.filter(pl.col("statistic") == statistic)
        found = {
            str(null): null_histogram(rows.filter(pl.col("null") == null))
            for null in rows["null"].unique(maintain_order=True)
        }
        for null, histogram in found.items():
            record.histograms[f"{name}/null_{null}"] = histogram
        record.drawings[f"{name}/drawn"] = null_figure(unit_set, statistic, value, found)
    t = units["t"].drop_nulls().to_numpy()
    if len(t):
        record.histograms[f"{unit_set}/t/observed"] = t_histogram(t)
        critical = result["sign_flip"].get("critical_t")
        record.drawings[f"{unit_set}/t/drawn"] = t_figure(unit_set, t, items, critical)


def published_reading(summary: Mapping[str, Any]) -> pl.DataFrame:
    """The published table: a row a set of units and threshold, the publication's own below."""
    readings = [
        (unit_set, result["units"], result["published_reading"])
        for unit_set, result in summary["results"].items()
    ]
    figures = summary.get("published_figures")
    if figures:
        readings.append(("published", figures["units"], figures))
    rows = []
    for counted, units, reading in readings:
        for count in reading["counts"]:
            share = count["observed"] / units
            ratio = count["observed"] / count["null_p99"] if count["null_p99"] else None
            max_abs_t = reading.get("max_abs_t")
            own = {key: count[key] for key in ("threshold", "observed", "null_mean", "null_p99")}
            rows.append(
                {"counted": counted, "units": units}
                | own
                | {"share": share, "ratio": ratio, "max_abs_t": max_abs_t}
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def sign_flips(summary: Mapping[str, Any]) -> pl.DataFrame:
    """What the exact test says: a row a set of units and threshold."""
    rows = []
    for unit_set, result in summary["results"].items():
        test = {key: value for key, value in result["sign_flip"].items() if key != "counts"}
        for count in result["sign_flip"]["counts"]:
            low, high = count["null_p99_interval"]
            rest = {key: value for key, value in count.items() if key != "null_p99_interval"}
            ends = {"null_p99_low": low, "null_p99_high": high}
            rows.append({"counted": unit_set, "units": result["units"], **rest, **ends, **test})
    return pl.DataFrame(rows, infer_schema_length=None)
