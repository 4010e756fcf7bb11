"""How two results differ in what is not compared: settings, pictures, steps, code and machines."""

from __future__ import annotations

from typing import Any

from otherview.analysis.shared_design import Mismatch
from otherview.results.reader import RunResult
from otherview.results.writing import PICTURES, REFERENCE, SCENES
from otherview.study.differing_settings import differing_settings, flat

COMPARED = ("model", "templates", "controls", "creatures", "capture.units")
"""Settings whose differences are found in the responses, or are what is compared."""
INDIFFERENT = ("name", "question", "published", "intervention", "attribution")
"""Settings on which no response and no test of the comparison depends."""
NULLS = ("nulls.alpha", "nulls.thresholds", "nulls.sign_flips")
"""Settings of the nulls that the comparison takes from A."""
NOT_SHOWN = ("model.card", "model.architecture")
"""Settings of a model that only describe it."""


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
    found += picture_mismatch(a, b) + same_weights(a, b)
    for name in ("code", "libraries", "device_name"):
        values = [each.summary["provenance"].get(name) for each in (a, b)]
        if values[0] != values[1]:
            found.append({"kind": name} | pair(name, *values))
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
    pictures = (REFERENCE, SCENES, PICTURES)
    files = [each.summary["files"] for each in (a, b)]
    hashes = [[each[name]["sha256"] for name in pictures if name in each] for each in files]
    if hashes[0] == hashes[1]:
        return []
    drawn = all(scene.image is None for each in (a, b) for scene in each.study.scenery)
    if [] in hashes:
        return [{"kind": "reference_missing", "result": "B" if hashes[0] else "A"}]
    return [{"kind": "reference", "drawn": drawn}]


def same_weights(a: RunResult, b: RunResult) -> list[Mismatch]:
    """Return that both results are of one model."""
    models = [
        (each.settings["model"], each.summary["provenance"]["model_revision"]) for each in (a, b)
    ]
    return [{"kind": "same_model"}] if models[0] == models[1] else []


def pair(name: str, a: Any, b: Any) -> dict[str, Any]:
    """Return two values; of libraries those whose versions differ, and no hash of the code."""
    if name == "code":
        return {}
    if name != "libraries":
        return {"a": a, "b": b}
    changed = sorted(each for each in {*a, *b} if a.get(each) != b.get(each))
    return {
        "a": {each: a.get(each) for each in changed},
        "b": {each: b.get(each) for each in changed},
    }
