"""Finds the finished points of a sweep, by their files alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from otherview.disk.progress import Progress
from otherview.results.integrity import VerifiedStamps
from otherview.results.state import SUMMARY, SWEEP, VERIFIED, Kind, examine
from otherview.results.status import STATUS
from otherview.study import Study, Templates
from otherview.study.compose import study_from

SIGNS = (".hydra", STATUS, SUMMARY)
"""What a folder has one of where a point was begun."""
VARIED = ("templates", "seed")
"""Settings that may differ between the points of a group."""
SEVERAL_LEVELS = (
    "it has several noise levels, and a combined result is of one: see the point's own result, or "
    "sweep sampling.levels=[1.0],[0.5]"
)
HASH = re.compile(r"-([0-9a-f]{8,})$")


@dataclass(frozen=True)
class LeftOut:
    """A point that is not used, and why."""

    point: str
    reason: str


@dataclass(frozen=True)
class Point:
    """A finished point."""

    folder: Path
    study: Study = field(repr=False)
    """Its `seed` is that of the first point with these settings."""
    shared: Mapping[str, Any] = field(repr=False)
    """Settings, nested, in which the points of a group agree."""
    seed: int
    provenance: Mapping[str, Any] = field(repr=False)
    tokens: Mapping[str, Any] = field(repr=False)
    """Whether its prompts agree in tokens, where the tokenizer tells."""
    remarks: tuple[str, ...]
    """What a reader should know of its passes."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def identity(self) -> str | None:
        """The hash at the end of the folder's name."""
        found = HASH.search(self.name)
        return found[1] if found else None

    @property
    def model_revision(self) -> str:
        return str(self.provenance["model_revision"])

    @property
    def templates(self) -> Templates:
        return self.study.templates

    @property
    def is_test(self) -> Bool[np.ndarray, " wordings"]:
        """Whether a wording is of the test role, in the order of responses.nc."""
        return np.arange(len(self.templates.weights)) < len(self.templates.test)

    @cached_property
    def group(self) -> str:
        """Eight hexadecimal digits over what the points of a group share."""
        shared = f"{json.dumps(self.shared, sort_keys=True)} {self.model_revision}"
        return hashlib.sha256(shared.encode()).hexdigest()[:8]


def find_points(
    directory: Path, folders: Sequence[Path] | None, report: Progress
) -> tuple[list[Point], list[LeftOut]]:
    """Return the whole points directly below `directory`, or in `folders`, by name; and the rest.

    Settings that points have in common are parsed once.
    """
    if folders is None:
        folders = [
            path for path in directory.iterdir() if any((path / sign).exists() for sign in SIGNS)
        ]
    points, left_out = [], []
    known: dict[str, tuple[Study, dict[str, Any]]] = {}
    verified = VerifiedStamps(directory / SWEEP / VERIFIED)
    for number, folder in enumerate(sorted(folders, key=lambda folder: folder.name), start=1):
        state, summary = examine(folder, verified=verified)
        report("checking points", number, len(folders))
        if state.changed:
            left_out.append(LeftOut(folder.name, f"outdated: {state.changed}"))
        elif summary and any("levels" in found for found in summary["results"].values()):
            left_out.append(LeftOut(folder.name, SEVERAL_LEVELS))
        elif summary:
            points.append(point_of(folder, summary, known))
        else:
            prefix = "" if state.kind in (Kind.DAMAGED, Kind.MISSING) else "unfinished: "
            left_out.append(LeftOut(folder.name, f"{prefix}{state}"))
    verified.save()
    return points, left_out


def point_of(
    folder: Path, summary: Mapping[str, Any], known: dict[str, tuple[Study, dict[str, Any]]]
) -> Point:
    """Return the point of a whole result; `known` holds what was parsed before, by settings."""
    settings = {name: value for name, value in summary["settings"].items() if name != "seed"}
    text = json.dumps(settings)
    if text not in known:
        shared = {name: value for name, value in settings.items() if name not in VARIED}
        known[text] = study_from(summary["settings"]), shared
    return Point(
        folder,
        *known[text],
        summary["seed"],
        summary["provenance"],
        summary["tokens"],
        tuple(summary.get("remarks", ())),
    )


def without_repeats(points: Sequence[Point]) -> tuple[list[Point], list[LeftOut]]:
    """Of points with equal settings the one that finished last; and the others."""
    latest: dict[tuple[Any, ...], Point] = {}
    for point in points:
        key = all_settings(point)
        if key not in latest or latest[key].provenance["finished"] < point.provenance["finished"]:
            latest[key] = point
    used = {point.name for point in latest.values()}
    repeats = [
        LeftOut(point.name, f"repeats {latest[all_settings(point)].name}")
        for point in points
        if point.name not in used
    ]
    return list(latest.values()), repeats


def all_settings(point: Point) -> tuple[Any, ...]:
    return (point.group, *contrast_key(point.templates), point.seed)


def contrast_key(templates: Templates) -> tuple[Any, ...]:
    """What makes two points points of one contrast."""
    return (
        templates.name,
        templates.placebo,
        tuple(templates.wordings("test")),
        tuple(templates.wordings("control")),
    )
