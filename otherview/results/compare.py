"""Compare two results of one study on two models, and write it with all else that differs.

A comparison is a folder with `comparison.json`, one table per unit set, and the reference pictures
of both results; docs/compare.md describes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from otherview.analysis.shared_design import (
    Mismatch,
    NotComparableError,
    SharedDesign,
    shared_design,
)
from otherview.analysis.two_models import ComparedUnits, compare_units
from otherview.disk.atomic import replacing, write_json
from otherview.disk.fingerprint import code_version, commit
from otherview.disk.progress import Progress, silent
from otherview.passes.stored_responses import stored_responses
from otherview.results.integrity import sealed
from otherview.results.reader import Result, RunResult, damage_named
from otherview.results.state import COMBINED, COMPARISON, SUMMARY
from otherview.results.status import STATUS
from otherview.results.writing import PICTURES, REFERENCE, SCENES
from otherview.study import Study
from otherview.study.differing_settings import differing_settings, flat
from otherview.study.prompts import study_prompts
from otherview.study.reading import RESPONSES, UNIT_SETS

SHEETS = (REFERENCE, SCENES, PICTURES)
"""What passes were conditioned on, as a run writes it."""
PAGE = "report.html"
COMPARED = ("model", "templates", "controls", "creatures", "capture.units")
"""Settings whose differences are found in the responses, or are what is compared."""
INDIFFERENT = ("name", "question", "published", "intervention", "attribution")
"""Settings on which no response and no test of the comparison depends."""
NULLS = ("nulls.alpha", "nulls.thresholds", "nulls.sign_flips")
"""Settings of the nulls that the comparison takes from A."""
NOT_SHOWN = ("model.card", "model.architecture")
"""Settings of a model that only describe it."""


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
    one, other = checked_run(a), checked_run(b)
    if response is not None and response not in RESPONSES:
        raise NotComparableError(f"response={response} is none of {', '.join(RESPONSES)}")
    responses = []
    for run in (one, other):
        with damage_named(path := run.folder / "responses.nc"):
            responses.append(stored_responses(path, study_prompts(run.study)))
    responses_a, responses_b = responses
    design = shared_design(responses_a, responses_b)
    unit_sets = [name for name in one.summary["results"] if name in other.summary["results"]]
    if not unit_sets:
        raise NotComparableError(
            f"the results have no units in common: A has {', '.join(one.summary['results'])}, "
            f"B has {', '.join(other.summary['results'])}; run both with capture=both"
        )
    capture = one.study.capture
    asked = replace(one.study, capture=replace(capture, response=response or capture.response))
    compared = {
        unit_set: [
            compare_units(responses_a, responses_b, design, contrast, unit_set, asked, progress)
            for contrast in design.contrasts
        ]
        for unit_set in unit_sets
    }
    mismatches = design.mismatches + mismatches_of_runs(one, other, response)
    for which, result in (("only_a", one), ("only_b", other)):
        if left_out := [name for name in result.summary["results"] if name not in unit_sets]:
            mismatches.append({"kind": f"units_{which}", "units": left_out})
    content = content_of(one, other, design, compared, asked) | {"mismatches": mismatches}
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


def content_of(
    a: RunResult,
    b: RunResult,
    design: SharedDesign,
    compared: Mapping[str, list[ComparedUnits]],
    asked: Study,
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
        "reading": {"tokens": asked.capture.tokens, "response": asked.capture.response},
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


def mismatches_of_runs(a: RunResult, b: RunResult, response: str | None) -> list[Mismatch]:
    """Return what limits a comparison of two runs, besides their designs.

    `response` is read of both, whatever they say.
    """
    one, other = flat(a.settings), flat(b.settings)
    found: list[Mismatch] = [
        {"kind": "setting", "setting": name, "a": one.get(name), "b": other.get(name)}
        for name in differing_settings([one, other])
        if decides(name) and not (name == "capture.response" and response is not None)
    ]
    found += picture_mismatch(a, b)
    origins = [each.summary["provenance"] for each in (a, b)]
    revisions = [origin["model_revision"] for origin in origins]
    if a.settings["model"] == b.settings["model"] and revisions[0] == revisions[1]:
        found.append({"kind": "same_model"})
    found += [{"kind": "code"}] if origins[0].get("code") != origins[1].get("code") else []
    versions = [origin.get("libraries", {}) for origin in origins]
    if changed := differing_settings(versions):
        libraries = [{each: of.get(each) for each in changed} for of in versions]
        found.append({"kind": "libraries"} | dict(zip("ab", libraries, strict=True)))
    devices = [origin.get("device_name") for origin in origins]
    if devices[0] != devices[1]:
        found.append({"kind": "device_name"} | dict(zip("ab", devices, strict=True)))
    for which, result in (("A", a), ("B", b)):
        if result.state.changed:
            found.append({"kind": "changed", "result": which, "reason": result.state.changed})
    return found


def decides(setting: str) -> bool:
    """Return whether a difference of a setting limits what a comparison says."""
    if setting.startswith("nulls."):
        return setting in NULLS
    section = setting.split(".")[0]
    known = {section, ".".join(setting.split(".")[:2])} & {*COMPARED, *INDIFFERENT}
    return not known and not setting.endswith(".name")


def model_settings(a: RunResult, b: RunResult) -> list[dict[str, Any]]:
    """Return the settings in which the models differ: name, values in A and in B."""
    settings = []
    for result in (a, b):
        revision = {"model.revision": result.summary["provenance"]["model_revision"]}
        settings.append(flat({"model": result.settings["model"]}) | revision)
    return [
        {"setting": name.removeprefix("model."), "a": settings[0].get(name),
         "b": settings[1].get(name)}
        for name in differing_settings(settings)
        if not name.startswith(NOT_SHOWN) and name != "model.name"
    ]  # fmt: skip


def picture_mismatch(a: RunResult, b: RunResult) -> list[Mismatch]:
    """Return that the reference pictures differ, or that one result has none."""
    files = [each.summary["files"] for each in (a, b)]
    hashes = [[each[name]["sha256"] for name in SHEETS if name in each] for each in files]
    if hashes[0] == hashes[1]:
        return []
    drawn = all(scene.image is None for each in (a, b) for scene in each.study.scenery)
    if [] in hashes:
        return [{"kind": "reference_missing", "result": "B" if hashes[0] else "A"}]
    return [{"kind": "reference", "drawn": drawn}]
