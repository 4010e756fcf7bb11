"""A combined sweep as what Weights & Biases shows: a run that stands for the whole sweep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from otherview.results.reader import SweepResult, read_result
from otherview.views.tracking.record import Record, flattened, stable_id, tags


def sweep_record(folder: Path, uses: Sequence[str], group: str | None = None) -> Record:
    """The record of a sweep's combined result; `uses` are the artifacts of its runs.

    Its id is made of the studies' names and the directory's, so that a sweep that has grown stays
    one run. Raises ResultError where the result is damaged.
    """
    result = read_result(folder)
    assert isinstance(result, SweepResult)
    combined = result.combined
    name = folder.resolve().name
    groups = combined["groups"]
    models = [entry["model"] for entry in groups]
    contrasts = [test["templates"] for entry in groups for test in entry["contrasts"]]
    run_id = f"sweep-{stable_id(name, *combined['studies'])}"
    record = Record(
        id=run_id,
        name=f"{name}, all runs",
        job_type="sweep",
        tags=tags(*combined["studies"], *models, *contrasts),
        config={
            "studies": combined["studies"],
            "question": combined["question"],
            "groups": [
                {key: entry.get(key) for key in ("id", "title", "differs", "scene", "reading")}
                for entry in groups
            ],
            "points": [point["point"] for point in combined["points"]],
            "provenance": combined["provenance"],
        },
        group=group or name,
        artifact=f"result-{run_id}",
        files={
            path.name: path
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith(".")
        },
        uses=list(uses),
    )
    record.values = {"points": len(combined["points"]), "left_out": len(combined["left_out"])}
    for entry in groups:
        prefix = "" if len(groups) == 1 else f"{_key(entry['title'])}/"
        record.values |= dict(flattened(entry["results"], prefix))
    record.tables = {name: table for name, table in tables(combined) if table.height}
    # Slices are many times as many rows as heads: with heads, they stay in the artifact.
    unit_set = min(result.units)
    table = result.units[unit_set]
    lists = [column for column, kind in table.schema.items() if kind == pl.List]
    record.tables[f"{unit_set}/combined"] = table.drop(lists)
    return record


def _key(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", title).strip("_")


def tables(combined: Mapping[str, Any]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The sweep's tables by the question that they answer."""
    yield "sweep/points", frame(combined["points"])
    yield "sweep/left_out", frame(combined["left_out"])
    yield "sweep/tests", frame(of_results(combined, tests))
    yield "sweep/agreement_between_templates", frame(of_results(combined, between_templates))
    yield "sweep/agreement_between_seeds", frame(of_results(combined, between_seeds))
    yield "sweep/variance", frame(of_results(combined, variance))
    yield "sweep/selectivity", frame(of_results(combined, selectivity))
    rows = [
        {"unit_set": one["unit_set"], "templates": one.get("templates"), **dict(flattened(row))}
        for one in combined.get("models", [])
        for row in one["rows"]
    ]
    yield "sweep/models", frame(rows)
    generalises = [
        {"group": entry["title"], **said}
        for entry in combined["groups"]
        for said in entry["generalises"]
    ]
    yield "sweep/generalises", frame(generalises)


def of_results(combined: Mapping[str, Any], rows_of: Any) -> list[dict[str, Any]]:
    return [
        {"group": entry["title"], "unit_set": unit_set, **row}
        for entry in combined["groups"]
        for unit_set, result in entry["results"].items()
        for row in rows_of(result)
    ]


def tests(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row a test: every contrast and placebo, and the pooled one."""
    pooled = [("pooled", result["pooled"])] if "pooled" in result else []
    kinds = [("placebo" if "placebo" in test else "contrast", test) for test in result["contrasts"]]
    for kind, test in [*pooled, *kinds]:
        named = test["templates"]
        written = named if isinstance(named, str) else ", ".join(named)
        yield {"kind": kind, "templates": written, **dict(flattened({**test, "templates": {}}))}


def between_templates(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result["agreement"]["between_templates"]
    return [dict(flattened(row)) for row in rows]


def between_seeds(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result["agreement"]["between_seeds"]
    return [dict(flattened(row)) for row in rows]


def variance(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    shares: dict[str, dict[str, Any]] = result.get("variance", {}).get("shares", {})
    return [{"component": component, **share} for component, share in shares.items()]


def selectivity(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result.get("selectivity", [])
    return [{**dict(flattened(row)), "placebos": ", ".join(row["placebos"])} for row in rows]


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table; a row that lacks a column is null there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, strict=False)
