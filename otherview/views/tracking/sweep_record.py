"""A combined sweep in the form of Weights & Biases: one run for the whole sweep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from otherview.results.reader import SweepResult, read_result
from otherview.views.tracking.record import (
    Content,
    Record,
    figures,
    flattened,
    frame,
    identity_of,
    result_files,
    stable_id,
    tags,
)


def sweep_record(folder: Path, group: str | None = None) -> Record:
    """Return the record of a combined result, which uses the artifacts of its runs.

    Its id is made from the names of the studies and of the directory, so that a sweep that has
    grown stays the same run. Raises ResultError if the result is damaged.
    """
    result = read_result(folder)
    assert isinstance(result, SweepResult)
    combined, name = result.combined, folder.resolve().name
    groups = combined["groups"]
    contrasts = [test["templates"] for entry in groups for test in entry["contrasts"]]
    run_id = f"sweep-{stable_id(name, *combined['studies'])}"
    values: dict[str, Any] = {kind: len(combined[kind]) for kind in ("points", "left_out")}
    for entry in groups:
        title = re.sub(r"[^A-Za-z0-9_-]+", "_", entry["title"]).strip("_")
        values |= dict(flattened(entry["results"], "" if len(groups) == 1 else f"{title}/"))
    record = Record(
        id=run_id,
        name=f"{name}, all runs",
        job_type="sweep",
        tags=tags(*combined["studies"], *(entry["model"] for entry in groups), *contrasts),
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
        notes=combined["question"] or "",
        values=values,
        tables={name: table for name, table in tables(combined) if table.height},
        images=figures(result),
        artifact=f"result-{run_id}",
        files=result_files(folder),
        uses=[f"result-{identity_of(folder / point['point'])}" for point in combined["points"]],
    )
    # There are many more slices than heads: if there are heads, slices stay in the artifact.
    unit_set = min(result.units)
    table = result.units[unit_set]
    lists = [column for column, kind in table.schema.items() if kind == pl.List]
    record.tables[f"{unit_set}/combined"] = table.drop(lists)
    return record


def tables(combined: Content) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the tables of the sweep by name."""
    groups = combined["groups"]
    rows_of: dict[str, Callable[[Content], Iterable[Content]]] = {
        "tests": tests,
        "agreement_between_templates": lambda result: result["agreement"]["between_templates"],
        "agreement_between_seeds": lambda result: result["agreement"]["between_seeds"],
        "variance": lambda result: [
            {"component": name, **found}
            for name, found in result.get("variance", {}).get("shares", {}).items()
        ],
        "selectivity": lambda result: [
            {**row, "placebos": ", ".join(row["placebos"])} for row in result.get("selectivity", [])
        ],
    }
    for name, of_result in rows_of.items():
        yield f"sweep/{name}", frame([
            {"group": entry["title"], "unit_set": unit_set, **dict(flattened(row))}
            for entry in groups
            for unit_set, result in entry["results"].items()
            for row in of_result(result)
        ])  # fmt: skip
    yield "sweep/models", frame([
        {"unit_set": one["unit_set"], "templates": one.get("templates"), **dict(flattened(row))}
        for one in combined.get("models", [])
        for row in one["rows"]
    ])  # fmt: skip
    yield "sweep/generalises", frame([
        {"group": entry["title"], **row} for entry in groups for row in entry["generalises"]
    ])  # fmt: skip
    for name in ("points", "left_out"):
        yield f"sweep/{name}", frame(combined[name])


def tests(result: Content) -> Iterator[Content]:
    """Yield one row per test: the pooled one, and every contrast and placebo."""
    if "pooled" in result:
        pooled = result["pooled"]
        yield {"kind": "pooled", **pooled, "templates": ", ".join(pooled["templates"])}
    for test in result["contrasts"]:
        yield {"kind": "placebo" if "placebo" in test else "contrast", **test}
