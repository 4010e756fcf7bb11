"""The points of a sweep: composed, named and checked before anything is started."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from otherview.disk.progress import Progress, silent
from otherview.study import Study
from otherview.study.compose import identity, path_part, plain_config, study_from, varied_name

NAMED = ("model", "templates", "seed", "experiment", "name")
"""Part of the name of every point, so not to be added."""
MAX_NAME = 120
"""Characters of a folder's name; file systems take 255 bytes."""


@dataclass
class Point:
    """One planned study."""

    folder: str
    """Name of its folder in the sweep's directory."""
    identity: str
    """Hash of the composed study: `compose.identity`."""
    overrides: list[str]
    """What was asked for, as on the command line."""
    config: dict[str, Any]
    """The composed config, resolved, without Hydra's part."""
    cost: float = field(default=0.0)
    """Predicted floating-point operations."""

    @cached_property
    def study(self) -> Study:
        """The study that the frozen config describes."""
        return study_from(self.config)


def compose_points(
    loader: ConfigLoader,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    report: Progress = silent,
) -> list[Point]:
    """Return a point for every list of overrides, each once, in their order.

    Raises what Hydra and the study's dataclasses raise for the first that cannot be composed.
    """
    swept, seeds = swept_names(job_overrides), seeds_of(loader, job_overrides)
    families = [tuple(o for o in overrides if o not in seeds) for overrides in job_overrides]
    firsts = dict(zip(reversed(families), reversed(job_overrides), strict=True))
    configs = compose(loader, master, [firsts[family] for family in dict.fromkeys(families)])
    known: dict[tuple[str, ...], tuple[dict[str, Any], Study, bool]] = {}
    found: dict[str, Point] = {}
    for number, (overrides, family) in enumerate(zip(job_overrides, families, strict=True), 1):
        report("composing points", number, len(job_overrides))
        if family not in known:
            known[family] = described(next(configs))
        plain, study, refers = known[family]
        seed = next((seeds[o] for o in reversed(overrides) if o in seeds), plain["seed"])
        if refers and seed != plain["seed"]:
            plain, study, _ = described(next(compose(loader, master, [overrides])))
        elif seed != plain["seed"]:
            plain, study = {**plain, "seed": seed}, replace(study, seed=seed)
        point = Point("", identity(plain), list(overrides), plain)
        vars(point)["study"] = study
        found.setdefault(point.identity, point)
    points = list(found.values())
    several = len({point.study.name for point in points}) > 1
    for point in points:
        point.folder = folder_of(point, swept, several)
    return points


def folder_of(point: Point, swept: Collection[str], several: bool) -> str:
    """Return `<what was varied>-<identity>`, in characters that every file system takes.

    Of `several` studies, each is named.
    """
    varied = [*([point.study.name] if several else []), varied_name(point.config)]
    more = [o.lstrip("+~").rpartition(".")[2] for o in point.overrides if key(o) in swept]
    name = path_part("-".join([*varied, *more]))
    return f"{name[: MAX_NAME - len(point.identity) - 1].rstrip('_-')}-{point.identity}"


def seeds_of(loader: ConfigLoader, job_overrides: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the overrides that set nothing but the seed, with their numbers.

    Points that differ in them alone share their study, which takes longest to check.
    """
    texts = dict.fromkeys(o for each in job_overrides for o in each if o.startswith("seed="))
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(texts))
    values = {text: override.value() for text, override in zip(texts, parsed, strict=True)}
    return {text: value for text, value in values.items() if type(value) is int}


def described(config: DictConfig) -> tuple[dict[str, Any], Study, bool]:
    """Return a composed config as plain values, its study, and whether values refer to others."""
    plain = plain_config(config)
    names = [str(name) for name in config if name != "hydra"]
    written = OmegaConf.to_container(OmegaConf.masked_copy(config, names))
    return plain, study_from(plain), "${" in repr(written)


def compose(
    loader: ConfigLoader, master: DictConfig, job_overrides: Sequence[Sequence[str]]
) -> Iterator[DictConfig]:
    """Yield the composed config of every list of overrides; of Hydra's part, its sources alone.

    Points that differ only in plain values (`seed=3`) share what Hydra composes from all other
    overrides, which takes nearly all the time.
    """
    texts = list(dict.fromkeys(text for overrides in job_overrides for text in overrides))
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(texts)
    values = {text: o for text, o in zip(texts, parsed, strict=True) if sets_value(loader, o)}
    composed: dict[tuple[str, ...], DictConfig] = {}
    for overrides in job_overrides:
        others = tuple(text for text in overrides if text not in values)
        if others not in composed:
            whole = loader.load_sweep_config(master, list(others))
            names = [str(name) for name in whole if name != "hydra"]
            composed[others] = OmegaConf.masked_copy(whole, names)
            runtime = OmegaConf.masked_copy(whole.hydra.runtime, ["choices", "config_sources"])
            with open_dict(composed[others]):
                composed[others].hydra = {"runtime": runtime}  # where files are looked for
            OmegaConf.set_struct(composed[others], True)
        config = copy.deepcopy(composed[others])
        for override in (values[text] for text in overrides if text in values):
            try:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            except OmegaConfBaseException as error:
                raise ConfigCompositionException(
                    f"Could not override '{override.key_or_group}'."
                ) from error
        yield config


def sets_value(loader: ConfigLoader, override: Override) -> bool:
    """Return whether an override sets a value that exists, and does not choose a group's option."""
    plain = override.type is OverrideType.CHANGE and override.package is None
    return plain and (
        isinstance(override.value(), dict) or not loader.get_group_options(override.key_or_group)
    )


def swept_names(job_overrides: Sequence[Sequence[str]]) -> set[str]:
    """Return the names that do not have the same value in all points."""
    values: dict[str, set[str]] = {}
    for overrides in job_overrides:
        for override in overrides:
            values.setdefault(key(override), set()).add(override)
    varied = (name for name, given in values.items() if len(given) > 1)
    return {name for name in varied if name.partition("@")[0] not in NAMED}


def key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]


def find_existing_folders(points: Sequence[Point], directory: Path) -> None:
    """Put each of the points into the folder that already has its identity, if there is one.

    A folder is named by what was varied when it was made; a later sweep may vary more.
    """
    names = (path.name for path in directory.glob("[!.]*"))
    existing = {name.rpartition("-")[2]: name for name in names}
    for point in points:
        point.folder = existing.get(point.identity, point.folder)
