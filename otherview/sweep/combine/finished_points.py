"""Finds the finished points of a sweep, by their files alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from otherview.study import Study, Templates, settings_of
from otherview.study.compose import RUN_SETTINGS, study_from

FILES_OF_A_POINT = (".hydra", "status.json", "responses.nc", "summary.json")
VARIED = ("templates", "seed")
"""Settings that may differ between the points of a group."""
TOP_LEVEL = re.compile(r"^(?=[^\s#-])", re.MULTILINE)
HASH = re.compile(r"-([0-9a-f]{8,})$")


@dataclass(frozen=True)
class LeftOut:
    """A point that is not used, and why."""

    point: str
    reason: str


@dataclass(frozen=True)
class Config:
    """A composed config but for its seed; shared by all points that agree in it."""

    study: Study
    """Its `seed` is that of the first point that was read."""
    settings: Mapping[str, Any]
    """All settings of `study`, nested."""
    shared: Mapping[str, Any]
    """Settings, nested, in which the points of a group agree."""
    shared_text: str
    """The same as JSON."""


@dataclass(frozen=True)
class Point:
    """A finished point."""

    folder: Path
    config: Config = field(repr=False)
    seed: int
    model_revision: str
    finished: str
    otherview: str
    commit: str | None
    equal_count: bool
    equal_item_position: bool

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def identity(self) -> str | None:
        """The hash at the end of the folder's name."""
        found = HASH.search(self.name)
        return found[1] if found else None

    @property
    def study(self) -> Study:
        return self.config.study

    @property
    def templates(self) -> Templates:
        return self.config.study.templates

    @property
    def group(self) -> str:
        """Eight hexadecimal digits over what the points of a group share."""
        shared = f"{self.config.shared_text} {self.model_revision}"
        return hashlib.sha256(shared.encode()).hexdigest()[:8]


class UnusablePointError(ValueError):
    """A point whose files cannot be used; the message says which and why."""


def find_points(
    directory: Path, folders: Sequence[Path] | None = None
) -> tuple[list[Point], list[LeftOut]]:
    """The finished points directly below `directory`, or in `folders`, by name; and the rest."""
    if folders is None:
        folders = [
            folder
            for folder in directory.iterdir()
            if not folder.name.startswith(".")
            and any((folder / name).exists() for name in FILES_OF_A_POINT)
        ]
    points, left_out = [], []
    reader = Reader()
    for folder in sorted(folders, key=lambda folder: folder.name):
        try:
            points.append(reader.read(folder))
        except UnusablePointError as error:
            left_out.append(LeftOut(folder.name, str(error)))
    return points, left_out


class Reader:
    """Reads points; what they have in common is parsed once."""

    def __init__(self) -> None:
        self._configs: dict[str, Config] = {}

    def read(self, folder: Path) -> Point:
        """Raises UnusablePointError."""
        if not folder.is_dir():
            raise UnusablePointError("missing: there is no such folder")
        summary = read_summary(folder)
        text = read_text(folder / ".hydra" / "config.yaml")
        sections = TOP_LEVEL.split(text)
        seed_lines = [section for section in sections if section.startswith("seed:")]
        rest = "".join(section for section in sections if not section.startswith("seed:"))
        try:
            if rest not in self._configs:
                self._configs[rest] = _config(text)
            config = self._configs[rest]
            seed = int(seed_lines[0].removeprefix("seed:")) if seed_lines else config.study.seed
            point = _point(folder, config, seed, summary)
            other = disagreement(point, summary)
        except UnusablePointError:
            raise
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UnusablePointError(f"damaged: .hydra/config.yaml: {reason}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UnusablePointError(f"damaged: summary.json lacks {error}") from error
        if other:
            raise UnusablePointError(f"damaged: summary.json is not of .hydra/config.yaml: {other}")
        return point


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        where = path.relative_to(path.parents[1] if path.parent.name == ".hydra" else path.parent)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnusablePointError(f"damaged: {where}: {reason}") from error


def read_summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.exists():
        raise UnusablePointError(f"unfinished: {_state(folder)}")
    try:
        summary = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UnusablePointError(f"damaged: summary.json: {error}") from error
    if not isinstance(summary, dict):
        raise UnusablePointError("damaged: summary.json holds no object")
    return summary


def _state(folder: Path) -> str:
    """What `status.json` says of a point without a summary."""
    try:
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        state = str(status["state"])
        return f"{state}: {status['error']}" if "error" in status else state
    except (OSError, ValueError, KeyError, TypeError):
        return "it has no summary.json"


def _config(text: str) -> Config:
    composed = OmegaConf.create(text)
    if not isinstance(composed, DictConfig):
        raise UnusablePointError("damaged: .hydra/config.yaml holds no settings")
    study = study_from(composed)
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    shared = {
        str(name): value for name, value in plain.items() if name not in (*RUN_SETTINGS, *VARIED)
    }
    shared["model"] = {name: v for name, v in shared["model"].items() if name != "device"}
    return Config(study, settings_of(study), shared, json.dumps(shared, sort_keys=True))


def _point(folder: Path, config: Config, seed: int, summary: Mapping[str, Any]) -> Point:
    provenance, tokens = summary["provenance"], summary["tokens"]
    return Point(
        folder=folder,
        config=config,
        seed=seed,
        model_revision=str(provenance["model_revision"]),
        finished=str(provenance["finished"]),
        otherview=str(provenance["otherview"]),
        commit=provenance.get("commit"),
        equal_count=bool(tokens["equal_count"]),
        equal_item_position=bool(tokens["equal_item_position"]),
    )


def disagreement(point: Point, summary: Mapping[str, Any]) -> str | None:
    """What of the summary does not follow from the config, in words."""
    study = point.study
    expected = {
        "study": study.name,
        "model": study.model.name,
        "seed": point.seed,
        "items": len(study.creatures.items),
    }
    for name, value in expected.items():
        if summary.get(name) != value:
            return f"{name} is {summary.get(name)!r} and not {value!r}"
    contrast = summary.get("contrast", {})
    for role in ("test", "control"):
        if contrast.get(role) != getattr(study.templates, role):
            return f"the {role} wordings differ"
    if set(summary.get("results", {})) != set(study.capture.units):
        return "results are of other units"
    settings = {**point.config.settings, "seed": point.seed}
    changed = _changed(summary["settings"], settings)
    if changed:
        return f"{changed} is not what the result was made with; the config was changed or cut"
    return None


def _changed(made_with: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """The first setting of a result that has another value in `settings`, by its dotted name.

    Settings that came after the result was made say nothing against it.
    """
    if made_with == settings:
        return None
    for name, value in made_with.items():
        other = settings.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            inner = _changed(value, other)
            if inner:
                return f"{name}.{inner}"
        elif other != value:
            return name
    return None


def without_repeats(points: Sequence[Point]) -> tuple[list[Point], list[LeftOut]]:
    """Of points with equal settings the one that finished last; and the others."""
    latest: dict[tuple[Any, ...], Point] = {}
    for point in points:
        key = all_settings(point)
        if key not in latest or latest[key].finished < point.finished:
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
        tuple(templates.test),
        tuple(templates.control),
    )
