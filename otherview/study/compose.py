"""From composed configs to studies, and the identities and directory names of results.

Hydra accepts `+sed=3`, a typo with a plus, even with a schema. So the composed config is merged
into the dataclasses of `otherview.study`, which know every name and type.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from otherview.disk.atomic import replacing
from otherview.study import Study
from otherview.study.checks import check_characters, check_name
from otherview.study.command_line import (
    GROUPS,
    added,
    completed,
    config_folders,
    options_and_settings,
    quoted,
)
from otherview.study.config_errors import (
    lacking_setting,
    missing_setting,
    unknown_setting,
    yaml_mapping,
)
from otherview.study.configuration import RUN_SETTINGS, RunSettings, configuration_folder
from otherview.study.errors import StudyError, display_path
from otherview.study.found_files import find_own_files
from otherview.study.model import source_name

T = TypeVar("T")
Config = DictConfig | Mapping[str, Any]
"""A composed config, or its `plain_config`."""
OWN_TEXTS = {"creatures": ("items",), "templates": ("test", "control")}
"""Settings of a group that make it a study's own, so that it takes the study's name without one."""


def study_from(config: Config) -> Study:
    """Return the study that a composed config describes.

    Raises StudyError for unknown names (with the nearest right one), missing and mistyped values,
    and for everything that the dataclasses reject.
    """
    part = study_part(config)
    check_values(part)
    study = checked(OmegaConf.structured(Study), part)
    assert isinstance(study, Study)
    return study


def checked(schema: DictConfig, part: Mapping[str, Any]) -> Any:
    """Return `part` as the objects of the dataclasses in `schema`; raises as study_from does."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, part))
    except ConfigKeyError as error:
        raise unknown_setting(str(error.full_key)) from error
    except MissingMandatoryValue as error:
        raise missing_setting(str(error.full_key)) from error
    except OmegaConfBaseException as error:
        reason = value_reason(str(error.full_key), str(error.msg or error).splitlines()[0])
        raise StudyError(f"{error.full_key}: {reason}", str(error.full_key)) from error


def value_reason(key: str, said: str) -> str:
    """Return what OmegaConf says of the value of `key` in the words of a study."""
    if "is not a ListConfig" in said:
        return "write a list: [a, b]"
    scalar = re.match(r"Cannot convert '(List|Dict)Config' to (\w+): (.*)", said)
    if scalar:
        kind = "a list" if scalar[1] == "List" else "a mapping"
        return f"{scalar[3]} is {kind}: write one value"
    option = re.match(r"Invalid type assigned: \w+ is not a subclass of \w+. value: (.*)", said)
    if option:
        return (
            f"{option[1]} is no group of settings; to choose an option, write it under defaults, "
            f"- override /{key}: {option[1]}, or on the command line, {key}={option[1]}"
        )
    if "is not Optional" in said or "Incompatible value 'None'" in said:
        return "it is empty: write a value"
    return said


def check_values(part: Any, setting: str = "") -> None:
    """Raise StudyError for a value that is missing (`???`), NaN or infinite, and for a text that
    no file can hold, anywhere in a config.

    OmegaConf would take the default of a missing value.
    """
    if isinstance(part, Mapping):
        for name, value in part.items():
            check_values(value, f"{setting}.{name}" if setting else str(name))
    elif isinstance(part, list):
        for place, value in enumerate(part):
            check_values(value, f"{setting}[{place}]")
    elif part == "???":
        raise missing_setting(setting)
    elif isinstance(part, str):
        check_characters(part, setting, setting.partition("[")[0])
    elif isinstance(part, float) and not math.isfinite(part):
        raise StudyError(f"{setting}={part} is not a finite number", setting.partition("[")[0])


def plain_config(config: DictConfig) -> dict[str, Any]:
    """Return a composed config as plain values, without `hydra`.

    Interpolations are resolved, files are found, the table of items is read, and `scene` is null
    where there are `scenes`. Raises StudyError for a table that cannot be read.
    """
    check_options(config)
    names = [str(name) for name in config if name != "hydra"]
    kept = OmegaConf.masked_copy(config, names) if "hydra" in config else config
    plain = OmegaConf.to_container(kept, resolve=True)
    assert isinstance(plain, dict)
    found = {str(name): value for name, value in plain.items()}
    for group in OWN_TEXTS:
        if lacks_name(group, found, config):
            found[group]["name"] = found["name"]
    find_own_files(found, yaml_folders(config))
    return found | {"scene": None} if found.get("scenes") else found


def hydra_runtime(config: DictConfig) -> Any:
    """Return what Hydra knows of a config that it composed: sources and choices; or None."""
    runtime = OmegaConf.select(config, "hydra.runtime")
    if runtime is None and HydraConfig.initialized():
        runtime = HydraConfig.get().runtime
    return None if runtime is None or OmegaConf.is_missing(runtime, "choices") else runtime


def yaml_folders(config: DictConfig) -> list[Path]:
    """Return the folders of the YAML files that a study was composed from, its own first.

    The folder of each file's group, then that above it. Empty where Hydra's part is not known.
    """
    runtime = hydra_runtime(config)
    if runtime is None:
        return []
    roots = [Path(each.path) for each in runtime.config_sources if each.schema == "file"]
    shipped = configuration_folder()
    found: list[Path] = []
    for group, option in runtime.choices.items():
        files = [root / group.partition("@")[0] / f"{option}.yaml" for root in roots]
        own = [file for file in files if file.is_file() and shipped not in file.parents]
        folders = [folder for file in own for folder in (file.parent, file.parent.parent)]
        is_study = group.partition("@")[0] == "experiment"
        found = [*folders, *found] if is_study else [*found, *folders]
    return list(dict.fromkeys(found))


def lacks_name(group: str, plain: Mapping[str, Any], config: DictConfig) -> bool:
    """Return whether a study's own items or wordings have the name of an option with others.

    A part of the option's items or wordings keeps its name.
    """
    runtime, settings = hydra_runtime(config), plain.get(group)
    if runtime is None or not isinstance(settings, dict):
        return False
    options = {name.partition("@")[0]: option for name, option in runtime.choices.items()}
    if settings.get("name") != options.get(group) or plain.get("name") in (None, "???"):
        return False
    roots = [Path(each.path) for each in runtime.config_sources if each.schema == "file"]
    files = [root / group / f"{options[group]}.yaml" for root in roots]
    option = next((yaml_mapping(file) for file in files if file.is_file()), {})
    own = any(
        text in option and any(each not in option[text] for each in settings.get(text) or ())
        for text in OWN_TEXTS[group]
    )
    return own or ("table" in option and settings.get("table") != option["table"])


def check_options(config: DictConfig) -> None:
    """Raise StudyError where several options of a group were chosen, of which one would win.

    Also where several folders have a chosen option, of which the first would win.
    """
    runtime = hydra_runtime(config)
    for group, option in runtime.choices.items() if runtime is not None else ():
        roots = [Path(each.path) for each in runtime.config_sources if each.schema == "file"]
        files = [root / group.partition("@")[0] / f"{option}.yaml" for root in roots]
        first, *others = [file for file in files if file.is_file()] or [None]
        for other in others:
            if first is not None and other.read_bytes() != first.read_bytes():
                raise StudyError(
                    f"{display_path(other)} has the name of {display_path(first)}, which would win "
                    "in silence: rename it"
                )
    for group in GROUPS if runtime is not None else ():
        if group not in runtime.choices and config.get(group) is not None:
            way = (
                "write - /scene@scenes.NAME: NAME for each, or scene=[a,b] on the command line"
                if group == "scene"
                else "choose one"
            )
            raise StudyError(
                f"several options of {group} were chosen, and one of them would win in silence: "
                f"{way}",
                group,
            )


def compose_study(overrides: Sequence[str]) -> Study:
    """Return the study that `overrides`, as on the command line, describe.

    study = compose_study(["+experiment=kitchen", "model=pocket"])

    `--config-dir` names folders of your own, as there: ["--config-dir", "studies", ...].
    """
    register_resolvers()

    def compose(words: list[str]) -> Study:
        options, settings = options_and_settings(words)
        folders = config_folders(options)
        for option in options:
            if option.startswith("-") and option.partition("=")[0] not in ("--config-dir", "-cd"):
                raise StudyError(f"{option} is for the command line: give settings")
        for folder in folders:
            if not folder.is_dir():
                raise StudyError(f"--config-dir {folder} is no folder")
        own = ",".join(quoted(str(folder.resolve())) for folder in folders)
        search = [f"hydra.searchpath=[{own}]"] if own else []
        return study_from(hydra.compose("study", [*search, *settings], return_hydra_config=True))

    with apart_from_other_apps():
        return with_all_settings(compose, overrides)


@contextmanager
def apart_from_other_apps() -> Iterator[None]:
    """Let Hydra compose otherview's configuration, also in a program that is an app of Hydra."""
    theirs = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = theirs


def with_all_settings(compose: Callable[[list[str]], T], overrides: Sequence[str]) -> T:
    """Return what `compose` makes of `overrides`, which may set what the chosen YAML files lack.

    Hydra knows the settings in YAML files; the dataclasses know all.
    """
    words = completed(overrides)
    while True:
        try:
            return compose(words)
        except ConfigCompositionException as error:
            lacking = lacking_setting(error)
            more = words if lacking is None else added(words, lacking)
            if more == words:
                raise
            words = more


def write_composition(folder: Path, config: Config, overrides: Sequence[str]) -> None:
    """Write the composed config and its overrides into `folder`, where Hydra would."""
    (folder / ".hydra").mkdir(exist_ok=True)
    plain = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    for name, content in (("config.yaml", plain), ("overrides.yaml", list(overrides))):
        with replacing(folder / ".hydra" / name) as temporary:
            temporary.write_text(OmegaConf.to_yaml(content), encoding="utf-8")


def identity(config: Config) -> str:
    """Return eight hexadecimal digits that name a composed study: equal settings, equal digits.

    The hash covers every setting, defaults included, so that a changed default is a new run. It
    leaves out where the study runs: RUN_SETTINGS and `model.device`.
    """
    study = study_part(config)
    study["model"] = {k: v for k, v in study["model"].items() if k != "device"}
    return hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:8]


def run_settings(config: Config) -> dict[str, Any]:
    """Return the settings that are not part of the study: `tracking` as a Tracking, `registration`.

    Raises StudyError as study_from does.
    """
    plain = as_plain(config)
    given = {name: plain[name] for name in RUN_SETTINGS if name in plain}
    check_values(given)
    schema = OmegaConf.masked_copy(OmegaConf.structured(RunSettings), list(given))
    return {str(name): value for name, value in checked(schema, given).items()}


def study_part(config: Config) -> dict[str, Any]:
    return {name: value for name, value in as_plain(config).items() if name not in RUN_SETTINGS}


def as_plain(config: Config) -> Mapping[str, Any]:
    return plain_config(config) if isinstance(config, DictConfig) else config


def varied_name(config: Mapping[str, Any]) -> str:
    """Return the start of a directory name: model, templates and seed."""
    model = config["model"]
    name = model["name"] or source_name(model["path"], model["repo"])
    return path_part(f"{name}-{config['templates']['name']}-seed{config['seed']}")


def path_part(name: str) -> str:
    """Return a name in characters that every file system takes in the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "_", name)


def run_name(config: DictConfig) -> str:
    """Return the directory of a run, relative to the output folder."""
    return f"{study_from(config).name}/{point_name(config)}"


def point_name(config: DictConfig) -> str:
    """Return the directory of a point, relative to that of its sweep."""
    study_from(config)
    run_settings(config)
    plain = plain_config(config)
    return f"{varied_name(plain)}-{identity(plain)}"


def sweep_name(config: DictConfig) -> str:
    """Return the directory of a sweep: its study, or `studies` if several studies are swept."""
    if OmegaConf.is_missing(config, "name"):
        return "studies"
    check_name(config.name, "name", "name")
    return str(config.name)


def register_resolvers() -> None:
    """Register `${otherview.run_name:}` and others, which name directories by their content."""
    for name in (run_name, point_name, sweep_name):
        OmegaConf.register_new_resolver(
            f"otherview.{name.__name__}",
            lambda *, _root_, name=name: name(_root_),
            replace=True,
        )
