"""Where the settings of a launcher come from: YAML files, the command line, and what YAML makes
of a text.

YAML 1.1 reads `account: 012345` as 5349 (base 8), `time: 4:00:00` as 14400 (base 60) and
`partition: on` as true. What was written is only in the file, so it is looked for there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from otherview.study.command_line import quoted
from otherview.study.configuration import configuration_folder
from otherview.study.errors import StudyError, display_path
from otherview.sweep.launcher_settings import CONFIG_DIRS, KINDS, SMALLEST, SWITCHES, TEXTS

GROUP = "hydra/launcher"
PREFIX = "hydra.launcher."
SWEEPERS = (
    "hydra_plugins.otherview_sweep.PointSweeper",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
"""Sweepers that take every point that is asked for."""
NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")
"""What OmegaConf reads as a number."""


def named_launcher(name: str, folders: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the launcher `name`, shipped or in one of the user's `folders`.

    Raises StudyError for texts that YAML turned into something else, and what Hydra raises where
    there is no such launcher.
    """
    if not re.fullmatch(r"[\w.+-]+", name):
        raise StudyError(f"no launcher is called {name}")
    there = [folder for folder in folders if Path(folder).is_dir()]
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = hydra.compose(
            "run",
            [f"{GROUP}={name}", f"hydra.searchpath=[{', '.join(map(quoted, there))}]"],
            return_hydra_config=True,
        )
    settings = launcher_settings(config.hydra, config.hydra.launcher)
    if "kind" not in settings:
        raise StudyError(
            f"launcher={name} is none of otherview's; there are: {', '.join(KINDS)}, and your own "
            "that begin with one of them"
        )
    return settings


def launcher_settings(composed: DictConfig, launcher: Any) -> dict[str, Any]:
    """Return the settings of a launcher, and the folders that they came from.

    `composed` is the `hydra` section, `launcher` what it says of the launcher. Raises StudyError
    for texts that YAML turned into something else.
    """
    check_sources(composed)
    plain = OmegaConf.to_container(OmegaConf.create(dict(launcher)), resolve=True)
    assert isinstance(plain, dict)
    settings = {str(name): value for name, value in plain.items() if name != "_target_"}
    return settings | {CONFIG_DIRS: config_dirs(composed)}


def config_dirs(composed: DictConfig) -> list[str]:
    """Return the user's folders of configuration, from the composed `hydra` section."""
    folders = [Path(s.path) for s in composed.runtime.config_sources if s.schema == "file"]
    return [str(path.absolute()) for path in folders if path != configuration_folder()]


def written_setting(argument: str) -> tuple[str, Any]:
    """Return name and value of a launcher's setting as `resume` takes it: `time=4:00:00`.

    A text is taken as it is written, anything else as Hydra takes it on the command line.

    Raises StudyError for what is no setting and value.
    """
    name, equals, written = argument.partition("=")
    if not equals:
        raise StudyError(f"{argument}: give a setting of the launcher as name=value")
    name = name.removeprefix("hydra/").removeprefix(PREFIX)
    is_text = name in ("launcher", "time", *TEXTS) and written != "null"
    if is_text and not re.fullmatch(r"""(?s)'.*'|".*"|\d+""", written):
        return name, written
    try:
        (override,) = OverridesParser.create().parse_overrides([f"{PREFIX}{name}={written}"])
    except HydraException as error:
        raise StudyError(
            f"{argument}: this is no value; quote what holds brackets, braces or commas"
        ) from error
    if override.is_sweep_override():
        raise StudyError(f"{argument}: give one value")
    return name, override.value()


def check_sources(composed: DictConfig) -> None:
    """Raise StudyError for the first launcher's text that YAML or Hydra turned into another.

    Looks at the files of the user that the composed `hydra` section chose, and at the command line.
    """
    for file, section in sections(composed):
        for name, scalar in scalars(section):
            if (meant := misread(name, scalar.value)) and scalar.style is None:
                line = scalar.start_mark.line + 1
                key = name.rpartition(".")[2]
                raise StudyError(
                    f"{display_path(file)}, line {line}: {key}: {scalar.value} is read as {meant}; "
                    f"{way_out(name, key, scalar.value, ': ')}"
                )
    for override in OverridesParser.create().parse_overrides(list(composed.overrides.hydra)):
        name, written = override.get_key_element(), str(override.get_value_string())
        value = override.value()
        if name.startswith(PREFIX) and type(value) in (int, float) and str(value) != written:
            raise StudyError(
                f"{name}={written} is read as {value}; "
                f"{way_out(name.removeprefix(PREFIX), name, written, '=')}"
            )


def way_out(name: str, key: str, written: str, equals: str) -> str:
    if name in SMALLEST:
        return "write the number in plain digits"
    quote = f"'{written}'" if equals == ": " else f"\"'{written}'\""
    return f"quote it: {key}{equals}{quote}"


def misread(name: str, written: str) -> str | None:
    """Return what YAML reads instead of a setting's unquoted text; None if it is what it says.

    A number in plain digits is the text that it is. Switches and the parameters of sbatch may be
    true.
    """
    value = yaml.safe_load(written)
    if isinstance(value, bool):
        flag = name.startswith("additional_parameters.") and value is True
        return None if name in SWITCHES or flag else str(value).lower()
    if NUMBER.fullmatch(written) and not isinstance(value, (int, float)):
        value = float(written)  # 1e3 is a number to OmegaConf, not to YAML 1.1
    if isinstance(value, (int, float)) and str(value) != written:
        return str(value)
    return None


def sections(composed: DictConfig) -> Iterator[tuple[Path, yaml.Node]]:
    """Yield the user's YAML files that were chosen, with the part that is about the launcher."""
    for folder in config_dirs(composed):
        for group, option in composed.runtime.choices.items():
            if not isinstance(option, str):
                continue
            file = Path(folder) / str(group) / f"{option}.yaml"
            if group == GROUP:
                yield from launcher_files(file)
            elif file.is_file():
                section = below(below(yaml_of(file), "hydra"), "launcher")
                if section is not None:
                    yield file, section


def launcher_files(file: Path) -> Iterator[tuple[Path, yaml.Node]]:
    """Yield a launcher's file and those of the same folder that its defaults name."""
    node = yaml_of(file) if file.is_file() else None
    if node is None:
        return
    yield file, node
    defaults = below(node, "defaults")
    for entry in defaults.value if isinstance(defaults, yaml.SequenceNode) else ():
        if isinstance(entry, yaml.ScalarNode) and entry.value not in ("_self_", file.stem):
            yield from launcher_files(file.parent / f"{entry.value}.yaml")


def yaml_of(file: Path) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    return node


def below(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                assert isinstance(value, yaml.Node)
                return value
    return None


def scalars(node: yaml.Node, name: str = "") -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Yield every scalar with its dotted name; those of a list have the name of the list."""
    if isinstance(node, yaml.ScalarNode):
        yield name, node
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from scalars(each, name)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if name or key.value != "defaults":
                yield from scalars(value, f"{name}.{key.value}".removeprefix("."))


def check_sweeper(composed: Any) -> None:
    """Raise StudyError for a sweeper that chooses points by a number that each returns.

    `composed` is the `hydra` section.
    """
    if str(composed.sweeper._target_) not in SWEEPERS:
        raise StudyError(
            f"hydra/sweeper={composed.runtime.choices['hydra/sweeper']} optimises one number per "
            "point, and a study has none: settings that were searched for significant heads void "
            "the p-values. Give the values to sweep over, with hydra/sweeper=points"
        )
