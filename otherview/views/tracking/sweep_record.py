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

    def of_results(rows_of: Callable[[Content], Iterable[Content]]) -> pl.DataFrame:
        return frame([
            {"group": entry["title"], "unit_set": unit_set, **row}
            for entry in groups
            for unit_set, result in entry["results"].items()
            for row in rows_of(result)
        ])  # fmt: skip

    yield "sweep/points", frame(combined["points"])
    yield "sweep/left_out", frame(combined["left_out"])
    yield "sweep/tests", of_results(tests)
    yield (
        "sweep/agreement_between_templates",
        of_results(lambda result: map(flat, result["agreement"]["between_templates"])),
    )
    yield (
        "sweep/agreement_between_seeds",
        of_results(lambda result: map(flat, result["agreement"]["between_seeds"])),
    )
    yield "sweep/variance", of_results(
        lambda result: [{"component": name, **found}
                        for name, found in result.get("variance", {}).get("shares", {}).items()]
    )  # fmt: skip
    yield "sweep/selectivity", of_results(
        lambda result: [{**flat(row), "placebos": ", ".join(row["placebos"])}
                        for row in result.get("selectivity", [])]
    )  # fmt: skip
    yield "sweep/models", frame([
        {"unit_set": one["unit_set"], "templates": one.get("templates"), **flat(row)}
        for one in combined.get("models", [])
        for row in one["rows"]
    ])  # fmt: skip
    yield (
        "sweep/generalises",
        frame(
            [{"group": entry["title"], **said} for entry in groups for said in entry["generalises"]]
        ),
    )


def flat(row: Content) -> dict[str, Any]:
    return dict(flattened(row))


def tests(result: Content) -> Iterator[Content]:
    """Yield one row per test: the pooled one, and every contrast and placebo."""
    if "pooled" in result:
        templates = ", ".join(result["pooled"]["templates"])
        yield {"kind": "pooled", "templates": templates, **flat(result["pooled"])}
    for test in result["contrasts"]:
        yield {"kind": "placebo" if "placebo" in test else "contrast", **flat(test)}
