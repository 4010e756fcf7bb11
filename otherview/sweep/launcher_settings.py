"""What the settings of a launcher may be; docs/cluster.md describes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from otherview.study.configuration import configuration_folder
from otherview.study.errors import StudyError, near_name

KINDS = ("sequential", "local", "slurm")
RERUN = ("missing", "outdated", "all")
CONFIG_DIRS = "config_dirs"
"""Frozen with the settings: folders of `--config-dir`, in which `resume` finds launchers too."""
TEXTS = (
    "job_name", "partition", "account", "qos", "gres", "gpus_per_node", "mem", "constraint",
    "exclude", "nodelist", "dependency", "comment", "python",
)  # fmt: skip
"""Settings that are handed on as text; null takes the cluster's default."""
SMALLEST = {"cpus_per_task": 1, "array_parallelism": 1, "signal_delay_s": 0, "workers": 1}
"""Settings that are whole numbers."""
REQUIRED = ("signal_delay_s", "workers")
"""Those of them that are never null."""
SWITCHES = ("pages", "wait")
CHOICES: dict[str, tuple[str | bool, ...]] = {
    "kind": KINDS,
    "rerun": RERUN,
    **dict.fromkeys(SWITCHES, (False, True)),
}
Check = Callable[[str, Any], Any]
"""Returns the value of a setting, given its name and what was written. Raises StudyError."""
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
UNLIMITED = ("UNLIMITED", "INFINITE")
TIME_FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]"


def default_settings(kind: str) -> dict[str, Any]:
    """Return the settings of conf/hydra/launcher/`kind`.yaml."""
    file = configuration_folder() / "hydra" / "launcher" / f"{kind}.yaml"
    settings: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    del settings["_target_"]
    return settings


def checked_settings(launcher: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a launcher as what they mean: `setup` as a list of lines, and so on.

    Raises StudyError for a name that its kind does not have, and for a value that means nothing.
    """
    known = default_settings(choice("kind", launcher.get("kind")))
    checked = {}
    for name, value in launcher.items():
        if name != CONFIG_DIRS and name not in known:
            raise unknown_setting(name, known)
        check: Check = CHECKS.get(name, literal)
        checked[name] = value if name == CONFIG_DIRS else check(name, value)
    check_signal(checked)
    return checked


def unknown_setting(name: str, known: Mapping[str, Any]) -> StudyError:
    return StudyError(f"no setting of the launcher is called {name}; {near_name(name, known)}")


def refuse(name: str, value: Any, way_out: str) -> StudyError:
    return StudyError(f"hydra.launcher.{name}={written(value)}: {way_out}")


def written(value: Any) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def choice(name: str, value: Any) -> Any:
    allowed = CHOICES[name]
    if value not in allowed or type(value) is not type(allowed[0]):
        raise refuse(name, value, f"choose one of {', '.join(map(written, allowed))}")
    return value


def number(name: str, value: Any) -> Any:
    if (value is None and name not in REQUIRED) or (value == "auto" and name == "workers"):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < SMALLEST[name]:
        what = "number of tasks" if name == "workers" else "whole number"
        raise refuse(name, value, f"give a {what}, at least {SMALLEST[name]}")
    return value


def literal(name: str, value: Any) -> str | int | None:
    """Return a text, or a number that is one: what else YAML makes of a text is refused."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str):
        raise refuse(name, value, f"this is {kind_of(value)} and no text; quote it")
    if not value.strip():
        raise refuse(name, value, "it is empty; null takes the default")
    if "\n" in value:
        raise refuse(name, " ".join(value.split()), "it holds a line break")
    return value


def kind_of(value: Any) -> str:
    kinds = {bool: "true or false", float: "a number", list: "a list", dict: "a mapping"}
    return next((said for kind, said in kinds.items() if isinstance(value, kind)), "a number")


def time_limit(name: str, value: Any) -> str | int | None:
    if value is None:
        return None
    written = str(value)
    if isinstance(value, bool) or not (TIME.fullmatch(written) or written.upper() in UNLIMITED):
        raise refuse(name, value, f"give a limit as Slurm writes it: {TIME_FORMS}")
    return value if isinstance(value, int) else written


def limit_seconds(limit: str | int) -> float:
    """Return the seconds of a time limit; infinite for none."""
    found = TIME.fullmatch(str(limit))
    if found is None:
        return float("inf")
    days, *rest = found.groups()
    given = [int(part) for part in rest if part is not None]
    if days is not None or len(given) == 3:  # [days-]hours[:minutes[:seconds]]
        hours, minutes, seconds = [*given, 0, 0][:3]
    else:  # minutes[:seconds]
        hours, (minutes, seconds) = 0, [*given, 0][:2]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return total or float("inf")  # Slurm: a limit of zero is none


def check_signal(launcher: Mapping[str, Any]) -> None:
    """Raise StudyError where a task would be asked to stop as soon as it starts."""
    limit, delay = launcher.get("time"), launcher.get("signal_delay_s")
    if limit is not None and delay is not None and delay >= limit_seconds(limit):
        raise refuse(
            "signal_delay_s", delay, f"a task stops so many seconds before its limit, time={limit}"
        )


def shell_lines(name: str, value: Any) -> list[str]:
    """Return lines of shell; a text is one line."""
    lines = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(lines, list):
        raise refuse(name, value, "give shell lines: [module load cuda, ...]")
    for line in lines:
        if not isinstance(line, str):
            raise refuse(name, line, f"this is {kind_of(line)} and no line of shell; quote it")
    return lines


def parameters(name: str, value: Any) -> dict[str, str | int]:
    """Return more parameters of sbatch: name and text; true stands for one without a value."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(name, value, "give parameters of sbatch by name: {reservation: mine}")
    checked = {}
    for key, given in value.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(key)):
            raise refuse(name, key, "this is no name of a parameter of sbatch")
        if given is None or given is False:
            raise refuse(f"{name}.{key}", given, "leave the parameter out, or quote its value")
        checked[str(key)] = given if given is True else literal(f"{name}.{key}", given)
    return {key: given for key, given in checked.items() if given is not None}


CHECKS: dict[str, Check] = {
    **dict.fromkeys(CHOICES, choice),
    **dict.fromkeys(SMALLEST, number),
    "time": time_limit,
    "setup": shell_lines,
    "additional_parameters": parameters,
}
"""By setting; others are `literal`."""
