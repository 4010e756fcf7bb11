"""Compare two results of one study on two models, and write the comparison.

A comparison is a folder with `comparison.json`, one table per unit set, and the reference pictures
of both results; docs/compare.md describes them.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from otherview.analysis.shared_design import NotComparableError, SharedDesign, shared_design
from otherview.analysis.two_models import ComparedUnits, Reading, compare_responses
from otherview.disk.atomic import replacing, write_json
from otherview.disk.fingerprint import code_version, commit
from otherview.disk.progress import Progress, silent
from otherview.passes.responses import Responses
from otherview.passes.stored_responses import stored_responses
from otherview.results.integrity import sealed
from otherview.results.mismatches import mismatches_of_runs, model_settings
from otherview.results.reader import Result, RunResult, damage_named
from otherview.results.state import COMBINED, COMPARISON, SUMMARY
from otherview.results.status import STATUS
from otherview.results.writing import PICTURES, REFERENCE, SCENES
from otherview.study.prompts import study_prompts
from otherview.study.reading import RESPONSES, UNIT_SETS

SHEETS = (REFERENCE, SCENES, PICTURES)
"""What passes were conditioned on, as a run writes it."""
PAGE = "report.html"


@dataclass(frozen=True)
class Comparison:
    """Two results, compared. Nothing of it is on disk before `write_comparison`."""

    a: RunResult = field(repr=False)
    b: RunResult = field(repr=False)
    content: dict[str, Any] = field(repr=False)
    """Content of `comparison.json`, without hashes."""
    units: dict[str, pl.DataFrame]
    """By unit set: one row per contrast and unit."""


def compare(
    a: Result, b: Result, response: str | None = None, progress: Progress = silent
) -> Comparison:
    """Compare the role effects of two results of one study, on two models, head by head.

        found = compare(read_result("outputs/base"), read_result("outputs/distilled"))
        found.units["heads"].filter("familywise")

    For every contrast that both have and every unit set in both, items' effects in A and B are
    subtracted, and their signs flipped (`otherview.stats.compare_effects`). With several wordings
    per role, the role test of these differences also generalises over wordings. Responses are read
    as A reads them, or as `response` says: rms or log_rms. Statistics take level, thresholds and
    seed from A.

    Raises NotComparableError, in one line, if nothing can be compared: a sweep or a control, no
    contrast, items, sites or unit sets in common. Raises ResultError if `responses.nc` is damaged.
    """
    runs = [checked_run(each) for each in (a, b)]
    one, other = runs
    if response is not None and response not in RESPONSES:
        raise NotComparableError(f"response={response} is none of {', '.join(RESPONSES)}")
    responses_a, responses_b = (responses_of(each) for each in runs)
    design = shared_design(responses_a, responses_b)
    unit_sets = [name for name in one.summary["results"] if name in other.summary["results"]]
    if not unit_sets:
        raise NotComparableError(
            f"the results have no units in common: A has {', '.join(one.summary['results'])}, "
            f"B has {', '.join(other.summary['results'])}; run both with capture=both"
        )
    capture = one.study.capture
    reading = Reading(
        capture.tokens,
        response or capture.response,
        one.study.nulls,
        one.summary["seed"],
        one.study.scenes_are == "sample",
    )
    compared: dict[str, list[ComparedUnits]] = defaultdict(list)
    for name, found in compare_responses(
        responses_a, responses_b, design, unit_sets, reading, progress
    ):
        compared[name].append(found)
    mismatches = design.mismatches + mismatches_of_runs(one, other, response)
    for which, result in (("only_a", one), ("only_b", other)):
        if left_out := [name for name in result.summary["results"] if name not in unit_sets]:
            mismatches.append({"kind": f"units_{which}", "units": left_out})
    content = content_of(one, other, design, compared, reading) | {"mismatches": mismatches}
    tables = {
        name: pl.concat([each.table for each in found], how="diagonal_relaxed")
        for name, found in compared.items()
    }
    return Comparison(one, other, content, tables)


def checked_run(result: Result) -> RunResult:
    """Return `result`. Raises NotComparableError if it is no run."""
    if not isinstance(result, RunResult):
        raise NotComparableError(f"{result.folder} is no run: compare two runs, or two points")
    if result.measured != result.folder:
        raise NotComparableError(
            f"{result.folder} is a control of {result.measured}: compare that run, which holds it"
        )
    return result


def responses_of(result: RunResult) -> Responses:
    """Return the responses of a run. Raises ResultError if they cannot be read."""
    path = result.folder / "responses.nc"
    prompts = study_prompts(result.study)
    with damage_named(path):
        return stored_responses(path, prompts)


def content_of(
    a: RunResult,
    b: RunResult,
    design: SharedDesign,
    compared: Mapping[str, list[ComparedUnits]],
    reading: Reading,
) -> dict[str, Any]:
    """Return the content of `comparison.json`, without mismatches and hashes."""
    contrasts = []
    for number, contrast in enumerate(design.contrasts):
        templates = a.study.contrasts[contrast.name]
        contrasts.append(
            {
                "name": contrast.name,
                **({"placebo": contrast.placebo} if contrast.placebo else {}),
                **({"name_b": contrast.name_b} if contrast.name_b != contrast.name else {}),
                "test": templates.texts("test"),
                "control": templates.texts("control"),
                "results": {name: found[number].summary() for name, found in compared.items()},
            }
        )
    return {
        "study": a.summary["study"],
        "question": a.summary["question"],
        "a": identity(a),
        "b": identity(b),
        "models": model_settings(a, b),
        "reading": {"tokens": reading.tokens, "response": reading.response},
        "items": list(design.items),
        "contrasts": contrasts,
        "provenance": {**code_version(), "commit": commit()},
    }


def identity(result: RunResult) -> dict[str, Any]:
    """Return which result was compared."""
    summary = result.summary
    return {
        "folder": str(result.folder),
        "study": summary["study"],
        "model": summary["model"],
        "model_revision": summary["provenance"]["model_revision"],
        "dtype": summary["reading"]["dtype"],
        "seed": summary["seed"],
        "items": summary["items"],
        "finished": summary["provenance"]["finished"],
        "otherview": summary["provenance"]["otherview"],
    }


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write tables and pictures of a comparison into `folder`, and `comparison.json` last.

    A comparison that is there is replaced. Raises NotComparableError if the folder holds a run or a
    sweep, whose files it would mix with.
    """
    for name in (SUMMARY, COMBINED, STATUS):
        if (folder / name).exists():
            raise NotComparableError(f"{folder} holds another result: name another folder, --out")
    folder.mkdir(parents=True, exist_ok=True)
    tables = [f"comparison_{unit_set}.parquet" for unit_set in UNIT_SETS]
    pictures = [picture_name(name, which) for name in SHEETS for which in "ab"]
    for name in (COMPARISON, PAGE, *tables, *pictures):
        (folder / name).unlink(missing_ok=True)
    written = []
    for unit_set, table in comparison.units.items():
        path = folder / f"comparison_{unit_set}.parquet"
        with replacing(path) as temporary:
            table.write_parquet(temporary)
        written.append(path.name)
    for which, result in (("a", comparison.a), ("b", comparison.b)):
        for name in SHEETS:
            if (result.folder / name).is_file():
                with replacing(folder / picture_name(name, which)) as temporary:
                    shutil.copyfile(result.folder / name, temporary)
                written.append(picture_name(name, which))
    write_json(folder / COMPARISON, sealed(comparison.content, folder, written))


def picture_name(name: str, which: str) -> str:
    """Return what a picture of A or B is called in a comparison: reference_a.png."""
    return f"{Path(name).stem}_{which}.png"
