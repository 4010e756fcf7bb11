"""Errors in a configuration, in one line: what is wrong, where, and what to write instead."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from traceback import walk_tb
from typing import Any, get_type_hints

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from otherview.study import Study
from otherview.study.command_line import GROUPS, config_folders, studies, undecodable
from otherview.study.configuration import RunSettings, configuration_folder
from otherview.study.errors import StudyError, UserError, causes, display_path, near_name, no_space

LAUNCHER = "hydra.launcher."
USER_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    UserError,
    OSError,
    UnicodeDecodeError,
    yaml.YAMLError,
)


def one_line(error: BaseException) -> str | None:
    """Return a message for the user, or None if the error is a defect of the program."""
    known = isinstance(error, USER_ERRORS) or no_space(error)  # which libraries say in their ways
    if not known and not refused_by_hydra(error):
        return None
    for cause in causes(error):
        if isinstance(cause, StudyError):
            return f"{cause}{origin(cause.setting)}"
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, ConfigKeyError) and cause.full_key:
            return str(unknown_setting(str(cause.full_key)))
        if isinstance(cause, MissingConfigException) and cause.options:
            group, _, option = str(cause.missing_cfg_file).rpartition("/")
            return unknown_option(group, option, list(cause.options))
        if "Sweeping over Hydra's configuration" in str(cause):
            given = str(cause).partition(" : ")[2].strip("'")
            return f"{given}: give one value, and quote it if it has commas: \"'a,b'\""
        listed = re.match(r"In '([^']+)'.*Cannot merge DictConfig with ListConfig", plain(cause))
        if listed:
            return (
                f"{listed[1]}.yaml has a list where a group of settings belongs, or a group where "
                "a list belongs: creatures.items and templates.test are lists; a study has one "
                "scene, one list of creatures, ...; several scenes go into scenes: {NAME: {...}}"
            )
        twice = re.match(r"(\S+) appears more than once in the final defaults list", str(cause))
        if twice:
            return (
                f"{twice[1]} is chosen twice: in the defaults of a study write "
                f"- override /{twice[1]}: NAME"
            )
        if refused := refused_setting(cause):
            return str(unknown_setting(refused))
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, MissingConfigException):  # in a defaults list; it is an OSError, too
        return str(error).partition("\n")[0]
    if isinstance(error, RecursionError):
        return "the defaults of a file name the file itself: take that line out"
    if no_space(error):
        return f"the disk is full: {plain(error)}"
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename and error.strerror else None
    if isinstance(error, UnicodeDecodeError):
        folders = config_folders(sys.argv[1:])
        for file, encoding in undecodable(folders, error.object):
            return f"{file} is not UTF-8 but probably {encoding}: save it as UTF-8"
    line = plain(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{line}. Quote values that hold braces, brackets, commas or letters beyond ASCII: "
            "a.b='\"x {y}\"'"
        )
    return line


def refused_by_hydra(error: BaseException) -> bool:
    """Return whether Hydra refused words or a defaults list by an error that is not its own."""
    files = [Path(frame.f_code.co_filename) for frame, _ in walk_tb(error.__traceback__)]
    by = files if isinstance(error, RecursionError) else files[-1:]
    known = isinstance(error, ValueError | RecursionError)
    return known and any(Path(hydra.__file__).parent in file.parents for file in by)


def refused_setting(error: BaseException) -> str | None:
    """Return the setting that Hydra refused to override, since the composed YAML files lack it."""
    refused = re.match(r"Could not override '([^']+)'", str(error))
    return refused[1] if refused and isinstance(error, ConfigCompositionException) else None


def lacking_setting(error: BaseException) -> str | None:
    """Return the setting of a study that Hydra refused, since the chosen YAML files lack it."""
    name = refused_setting(error)
    known = study_settings()
    parts = (name or "").split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return name if any(each in known for each in above if each not in GROUPS) else None


def plain(error: BaseException) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())


def origin(setting: str | None) -> str:
    """Return where a setting was given: in an override on the command line or in a YAML file."""
    if setting is None:
        return ""
    group = setting.split(".")[0]
    given = (setting, "creatures.table") if setting == "creatures.items" else (setting,)
    for argument in reversed(sys.argv[1:]):  # of two, the last one counts
        name = argument.lstrip("+~").split("=")[0]
        if setting in GROUPS and "=" in argument:
            continue  # chooses the file that gives the value
        if name.startswith(f"{group}.") and setting.startswith(name):
            return f" (from the command line: {argument})"
        if name in given:
            return f" (from the command line: {argument})"
    if not HydraConfig.initialized():
        return ""
    runtime = HydraConfig.get().runtime
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    choices = {name.partition("@")[0]: option for name, option in runtime.choices.items()}
    for chosen in ("experiment", group):
        name = f"{choices.get(chosen)}.yaml"
        for file in (folder / chosen / name for folder in folders):
            if file.is_file() and (chosen == group or any(sets(file, each) for each in given)):
                return f" (from {display_path(file)})"
    return ""


def yaml_mapping(file: Path) -> dict[str, Any]:
    """Return the content of a YAML file; empty if that is no mapping."""
    content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    return content if isinstance(content, dict) else {}


def sets(file: Path, setting: str) -> bool:
    """Return whether a YAML file of the global package gives `setting` a value."""
    content: Any = yaml_mapping(file)
    for key in setting.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def unknown_option(group: str, option: str, known: list[str]) -> str:
    """Return a line that names the nearest option of a group that exists, then all of them."""
    near = difflib.get_close_matches(option, known, n=1)
    guess = f" did you mean {near[0]}? There are:" if near else " there are:"
    return f"no {group} is called {option};{guess} {', '.join(known)}"


def unknown_setting(name: str) -> StudyError:
    """Return an error that names the nearest setting that exists, or all of them."""
    known = launcher_settings() if name.startswith(LAUNCHER) else study_settings()
    return StudyError(f"no setting is called {name}; {near_name(name, known, 0.5)}")


def study_settings() -> list[str]:
    """Return the dotted names of all settings of a study, and of where it runs and is shown."""
    return [*settings(Study), *settings(RunSettings)]


def launcher_settings() -> list[str]:
    """Return the dotted names of all settings of the shipped launchers."""
    files = sorted((configuration_folder() / "hydra" / "launcher").glob("*.yaml"))
    names = (name for file in files for name in yaml.safe_load(file.read_text(encoding="utf-8")))
    return [f"{LAUNCHER}{name}" for name in dict.fromkeys(names) if name != "_target_"]


def missing_setting(name: str) -> StudyError:
    """Return an error that says how to set a setting without a default."""
    if name != "name":
        return StudyError(f"{name} is missing: give it in the YAML or as {name}=...", name)
    for word in sys.argv[1:]:
        if chosen := re.match(r"\+*experiment(@_global_)?=(.+)", word):
            return StudyError(f"{chosen[2]} has no name: write name: NAME at the top of its YAML")
    known = studies(config_folders(sys.argv[1:]))
    return StudyError(
        f"no study was chosen: add +experiment=NAME (there are: {', '.join(known)}), "
        "or give your own a name=..."
    )


def settings(schema: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the name of every setting of a dataclass, nested ones with their dots."""
    types = get_type_hints(schema)
    for field in fields(schema):
        if is_dataclass(types[field.name]):
            yield f"{prefix}{field.name}"
            yield from settings(types[field.name], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
