"""The command line of `run` and `plan`: from what people write to what Hydra takes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from otherview.study import Study
from otherview.study.configuration import RUN_SETTINGS, configuration_folder
from otherview.study.errors import StudyError

GROUPS = (
    "model", "scene", "creatures", "templates", "capture", "nulls", "attribution", "intervention",
)  # fmt: skip
"""Config groups of which a study has one option each."""
WITH_VALUE = (
    "--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c",
    "--package", "-p", "--experimental-rerun",
)  # fmt: skip
"""Options of Hydra whose value is the next word."""
INFO = ("--info", "-i")
"""The option of Hydra that may have a value; without one, it means `all`."""
EXCLUSIVE = {
    "-m": "--multirun", "-r": "--run", "-c": "--cfg", "-i": "--info", "-sc": "--shell-completion",
}  # fmt: skip
"""Options that say what Hydra does, of which it does one, by their short names."""
SPECIAL = r"[][{}(),'\"\\$]"
"""Signs that mean something in Hydra's grammar."""
NO_TEXT = r"(?i)null|true|false|[-+]?(inf|nan|\d.*)"
"""What Hydra reads as a value other than a text, and more that quotes do not change."""
HEADER = re.compile(r"^\s*#\s*@package\s", re.MULTILINE)
NOTHING = re.compile(r"^[^\S\n]*(#.*|---\s*)?$", re.MULTILINE)
"""A line of YAML without content."""


def completed(words: Sequence[str]) -> list[str]:
    """Return the words of a command line as Hydra takes them, with what it does not know.

    Options come before settings. `model=any` where settings name weights and no option of `model`:
    the default model describes an architecture, which is not that of other weights. `scene=[a,b]`
    is several scenes, and not the last of them. `experiment=x` is `+experiment=x`, whether or not
    its file has the line `# @package _global_`. Raises StudyError for what is no setting, options
    of another group in brackets, and an empty study.
    """
    options, settings = options_and_settings(words)
    folders = config_folders(options)
    settings = [each for word in settings for each in understood(word, folders)]
    names = [re.split("[=@]", each.lstrip("+~"))[0] for each in settings]
    named = [place for place, name in enumerate(names) if name in ("model.path", "model.repo")]
    if named and "model" not in names:
        settings.insert(named[0], "model=any")
    return [*options, *settings]


def options_and_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options of Hydra with their values, and the settings, each in their order.

    Raises StudyError for options that exclude each other, and for settings with dashes.
    """
    options: list[str] = []
    settings: list[str] = []
    names = {"experiment", *RUN_SETTINGS, *(each.name for each in fields(Study))}
    left = deque(words)
    while left:
        word = left.popleft()
        if word.startswith("--") and re.split(r"[=.@]", word[2:])[0] in names:
            raise StudyError(f"{word} is no option: write settings without dashes, NAME=VALUE")
        (options if word.startswith("-") else settings).append(word)
        if word in INFO:  # else Hydra reads the first setting as its value
            has_value = bool(left) and re.fullmatch("[a-z][a-z-]*", left[0]) is not None
            options.append(left.popleft() if has_value else "all")
        elif word in WITH_VALUE and left:
            options.append(left.popleft())
    long = (EXCLUSIVE.get(option, option).partition("=")[0] for option in options)
    asked = [option for option in dict.fromkeys(long) if option in EXCLUSIVE.values()]
    if len(asked) > 1:
        raise StudyError(f"{asked[0]} and {asked[1]} exclude each other: give one of them")
    return options, settings


def config_folders(words: Sequence[str]) -> list[Path]:
    """Return the folders that `--config-dir` names."""
    found: list[Path] = []
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in ("--config-dir", "-cd"):
            found += [Path(value)] if equals else map(Path, words[place + 1 : place + 2])
    return found


def understood(word: str, folders: Sequence[Path]) -> list[str]:
    """Return the overrides that a word stands for. Raises StudyError for what is none."""
    name, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        if word in studies(folders):
            raise StudyError(f"{word} is not a setting: choose a study with +experiment={word}")
        raise StudyError(f"{word} is not a setting: write NAME=VALUE")
    if name.lstrip("+") == "experiment":
        return [chosen_study(value, folders)]
    if re.fullmatch(r"~/[^'\"\s]*", value):  # shells leave it as it is, and Hydra cannot read it
        return [f"{name}={Path(value).expanduser()}"]
    listed = re.fullmatch(r"\[(.*)\]", value)
    if listed is None or name not in GROUPS:
        return [word if re.search(SPECIAL, value) else f"{name}{equals}{readable(name, value)}"]
    options = [each.strip() for each in listed[1].split(",")]
    if name != "scene":
        raise StudyError(
            f"{word}: a study has one option of {name}; a sweep takes {name}={','.join(options)} "
            "with -m",
            name,
        )
    return [f"+scene@scenes.{each}={each}" for each in options]


def studies(folders: Sequence[Path]) -> list[str]:
    """Return the names of all studies: the shipped ones and those of `folders`."""
    files = [
        file
        for folder in (configuration_folder(), *folders)
        for file in (folder / "experiment").glob("*.yaml")
    ]
    return sorted({file.stem for file in files})


def chosen_study(value: str, folders: Sequence[Path]) -> str:
    """Return the override that chooses a study, or the studies of a sweep.

    Hydra puts the settings of a file without a package line below `experiment`; so the package is
    named here. Raises StudyError for a file without settings, and for several in brackets.
    """
    package = ""
    if value.startswith("["):
        raise StudyError(
            f"experiment={value}: a run has one study; a sweep takes "
            f"+experiment={value.strip('[]')} with -m"
        )
    options = [option.removesuffix(".yaml") for option in value.split(",")]
    for option in options:
        for file in (folder / "experiment" / f"{option}.yaml" for folder in folders):
            if file.is_file() and lacks_package(file):
                package = "@_global_"
    return f"+experiment{package}={','.join(readable('experiment', option) for option in options)}"


def lacks_package(file: Path) -> bool:
    """Return whether a study's file has no package line that Hydra sees, as after a BOM.

    Raises StudyError if the file holds no setting.
    """
    raw = file.read_bytes()
    text = raw.decode("utf-8-sig", errors="replace")
    if not NOTHING.sub("", text).strip():
        raise StudyError(
            f"{file} holds no settings: a study has a name, creatures and templates "
            "(docs/studies.md)"
        )
    return HEADER.search(text) is None or raw.startswith(b"\xef\xbb\xbf")


def undecodable(folders: Sequence[Path], piece: bytes) -> Iterator[tuple[Path, str]]:
    """Yield the YAML files below `folders` that hold `piece`, with their likely encoding."""
    for file in (file for folder in folders for file in sorted(folder.rglob("*.yaml"))):
        if piece in (raw := file.read_bytes()):
            yield file, "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1"


def added(words: Sequence[str], setting: str) -> list[str]:
    """Return `words` so that `setting`, which the chosen YAML files lack, is added to them."""
    return [
        f"++{word}" if word.partition("=")[0] == setting and "=" in word else word for word in words
    ]


def readable(name: str, value: str) -> str:
    """Return a value quoted where Hydra would refuse it: letters beyond ASCII, an option `12`."""
    option = name in (*GROUPS, "experiment") and re.fullmatch(NO_TEXT, value)
    return quoted(value) if option or not value.isascii() else value


def quoted(value: str) -> str:
    """Return a text as Hydra's grammar takes it literally."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return f"'{escaped}'"
