"""Hydra's side of the entry points: where the configuration lies, and one-line errors.

Hydra accepts `+sed=3`, a typo with a plus, even beside a schema. So the composed config is merged
back into the dataclasses of `otherview.study`, which know every name and type.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
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
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from otherview.study import Study
from otherview.study.errors import StudyError
from otherview.study.tracking import Tracking

USER_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    StudyError,
    OSError,
    UnicodeDecodeError,
    yaml.YAMLError,
)

Config = DictConfig | Mapping[str, Any]
"""A composed config, or what `plain_config` makes of it."""

RUN_SETTINGS = ("hydra", "tracking")
"""Names in a composed config that are no part of the study: where it runs, writes and is shown."""

SCHEMAS = {"tracking": Tracking}


def configuration_folder() -> Path:
    """`otherview/conf` in a wheel, `conf` beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parent / "conf"


def study_from(config: Config) -> Study:
    """The study that a composed config describes.

    Raises StudyError for unknown names (with the nearest right one), missing and mistyped values,
    and for everything that the dataclasses refuse.
    """
    study = checked(OmegaConf.structured(Study), study_part(config))
    assert isinstance(study, Study)
    return study


def checked(schema: DictConfig, part: Mapping[str, Any]) -> Any:
    """`part` as the objects of the dataclasses in `schema`; raises as study_from does."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, part))
    except ConfigKeyError as error:
        raise unknown_setting(str(error.full_key)) from error
    except MissingMandatoryValue as error:
        raise missing_setting(str(error.full_key)) from error
    except OmegaConfBaseException as error:
        reason = str(error.msg or error).splitlines()[0]
        raise StudyError(f"{error.full_key}: {reason}", str(error.full_key)) from error


def plain_config(config: DictConfig) -> dict[str, Any]:
    """A composed config as plain values, interpolations resolved, without Hydra's part."""
    names = [str(name) for name in config if name != "hydra"]
    kept = OmegaConf.masked_copy(config, names) if "hydra" in config else config
    plain = OmegaConf.to_container(kept, resolve=True)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def compose_study(overrides: Sequence[str]) -> Study:
    """The study that `overrides`, as on the command line, compose: for notebooks and scripts.

    study = compose_study(["+experiment=kitchen", "model=pocket"])
    """
    register_resolvers()
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        return study_from(hydra.compose("study", overrides=list(overrides)))


def identity(config: Config) -> str:
    """Eight hexadecimal digits that name a composed study: equal settings, equal digits.

    The hash covers every setting, defaults included, so that a changed default is a new run. It
    leaves out where the study runs: RUN_SETTINGS and `model.device`.
    """
    study = study_part(config)
    study["model"] = {k: v for k, v in study["model"].items() if k != "device"}
    return hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:8]


def run_settings(config: Config) -> dict[str, Any]:
    """What a composed config says beside the study, `hydra` apart: `tracking` as a Tracking.

    Raises StudyError as study_from does.
    """
    plain = _plain(config)
    given = {name: plain[name] for name in RUN_SETTINGS if name in plain}
    schema = OmegaConf.create({name: OmegaConf.structured(SCHEMAS[name]) for name in given})
    return {str(name): value for name, value in checked(schema, given).items()}


def check_run_settings(config: Config) -> None:
    """Raises StudyError where run_settings does, and where one asks for what is not installed."""
    tracking = run_settings(config).get("tracking")
    if tracking is not None:
        tracking.check_installed()


def study_part(config: Config) -> dict[str, Any]:
    return {name: value for name, value in _plain(config).items() if name not in RUN_SETTINGS}


def _plain(config: Config) -> Mapping[str, Any]:
    return plain_config(config) if isinstance(config, DictConfig) else config


def varied_name(config: Mapping[str, Any]) -> str:
    """What is varied most of a study, for the name of its directory."""
    return f"{config['model']['name']}-{config['templates']['name']}-seed{config['seed']}"


def run_name(config: DictConfig) -> str:
    """Directory of a run below the output folder: study, what is varied most, identity."""
    return f"{study_from(config).name}/{point_name(config)}"


def point_name(config: DictConfig) -> str:
    """Directory of a point below that of its sweep: what is varied most, identity."""
    study_from(config)
    check_run_settings(config)
    plain = plain_config(config)
    return f"{varied_name(plain)}-{identity(plain)}"


def sweep_name(config: DictConfig) -> str:
    """Directory of a sweep below the output folder: its study, or `studies` where that is swept."""
    return "studies" if OmegaConf.is_missing(config, "name") else str(config.name)


def entry_point(task: Callable[[DictConfig], None], config_name: str) -> Callable[[], None]:
    """A command-line program around `task(config)`, which Hydra calls with the composed config.

    `config_name` is the file in `conf/` that is composed: run or plan.

    What the user did wrong ends in one line on stderr and exit code 1; Ctrl-C in exit code 130.
    `HYDRA_FULL_ERROR=1` shows tracebacks instead.
    """

    wants_tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except (StudyError, OSError) as error:
            line = one_line(error)
            in_sweep = (
                HydraConfig.get().mode == RunMode.MULTIRUN
            )  # the other points run all the same
            if line is None or in_sweep or wants_tracebacks:
                raise
            raise SystemExit(f"error: {line}") from error  # else Hydra adds lines of its own

    program = hydra.main(
        config_path=str(configuration_folder()), config_name=config_name, version_base="1.3"
    )(guarded)

    def main() -> None:
        register_resolvers()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra prints and exits by itself
        try:
            program()
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            sys.exit(130)
        except USER_ERRORS as error:
            if wants_tracebacks:
                raise
            line = one_line(error)
            if line is None:
                raise
            sys.stderr.write(f"error: {line}\n")
            sys.exit(1)

    return main


def register_resolvers() -> None:
    """Lets configs name directories by what they hold: otherview.run_name and its like."""
    for name in (run_name, point_name, sweep_name):
        OmegaConf.register_new_resolver(
            f"otherview.{name.__name__}",
            lambda *, _root_, name=name: name(_root_),
            replace=True,
        )


def one_line(error: BaseException) -> str | None:
    """What to tell the user, or None where the error is a defect of the program."""
    for cause in causes(error):
        if isinstance(cause, StudyError):
            return f"{cause}{origin(cause.setting)}"
        if isinstance(cause, ConfigKeyError) and cause.full_key:
            return str(unknown_setting(str(cause.full_key)))
        if isinstance(cause, MissingConfigException) and cause.options:
            group, _, option = str(cause.missing_cfg_file).rpartition("/")
            return f"no {group} is called {option}; there are: {', '.join(cause.options)}"
        refused = re.match(r"Could not override '([^']+)'", str(cause))
        if refused and isinstance(cause, ConfigCompositionException):
            return str(unknown_setting(refused[1]))
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename and error.strerror else None
    line = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return f"{line}. Quote values that hold braces, brackets or commas: a.b='\"x {{y}}\"'"
    return line


def causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def origin(setting: str | None) -> str:
    """Where a setting was given: an override of the command line, or a YAML file."""
    if setting is None:
        return ""
    group = setting.split(".")[0]
    for argument in sys.argv[1:]:
        name = argument.lstrip("+~").split("=")[0]
        if name.startswith(f"{group}.") and setting.startswith(name):
            return f" (from the command line: {argument})"
        if name == setting:
            return f" (from the command line: {argument})"
    if not HydraConfig.initialized():
        return ""
    runtime = HydraConfig.get().runtime
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    for chosen in ("experiment", group):
        name = f"{runtime.choices.get(chosen)}.yaml"
        for file in (folder / chosen / name for folder in folders):
            if file.is_file() and (chosen == group or sets(file, setting)):
                return f" (from {shortest(file)})"
    return ""


def sets(file: Path, setting: str) -> bool:
    """Whether a YAML file of the global package gives `setting` a value."""
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key in setting.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def shortest(file: Path) -> str:
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def unknown_setting(name: str) -> StudyError:
    known = list(settings(Study))
    for group, schema in SCHEMAS.items():
        known += settings(schema, f"{group}.")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
    return StudyError(f"no setting is called {name}{hint}")


def missing_setting(name: str) -> StudyError:
    if name != "name":
        return StudyError(f"{name} is missing: give it in the YAML or as {name}=...", name)
    studies = sorted(file.stem for file in (configuration_folder() / "experiment").glob("*.yaml"))
    return StudyError(
        f"no study was chosen: add +experiment=NAME (there are: {', '.join(studies)}), "
        "or give your own a name=..."
    )


def settings(schema: type[Any], prefix: str = "") -> Iterator[str]:
    types = get_type_hints(schema)
    for field in fields(schema):
        if is_dataclass(types[field.name]):
            yield f"{prefix}{field.name}"
            yield from settings(types[field.name], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
