"""The points of a sweep: a row for each, whatever its state, and the command that repeats them."""

from __future__ import annotations

import json
import math
import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from otherview.results.state import Kind, ResultState, examine
from otherview.study.command_line import quoted
from otherview.study.compose import study_from
from otherview.study.config_errors import USER_ERRORS
from otherview.study.configuration import RUN_SETTINGS
from otherview.study.differing_settings import flat
from otherview.study.study import settings_of
from otherview.views.making import PAGE
from otherview.views.numbers import count, decimal, known
from otherview.views.vocabulary import DIFFERS, FOLLOWS, LARGEST

Summary = Mapping[str, Any]
Cell = tuple[str, float | str | None]
"""What a cell shows, and its sort key: a number, or "" to sort by the text; None comes last."""
MAX_ROWS = 2_000
"""Points in the list of a page."""
MAX_SETTINGS = 8
"""Columns of settings."""
MAX_VALUE = 60
"""Characters of a setting's value."""
MAX_COMMANDS = 12
FIGURES = ("passing |t|", LARGEST, DIFFERS, FOLLOWS)
"""Headings of `point_figures`."""
SAID_BY_STUDY = ("question", "published")
"""Settings that the name of a study stands for."""


@dataclass(frozen=True)
class PointRow:
    """A point as the list shows it."""

    folder: str
    state: str
    """What the sweep calls its state: done, running, waiting, failed, missing, ..."""
    detail: str = ""
    """Why it is in this state, or who runs it."""
    settings: Summary = field(default_factory=dict)
    """Nested; empty where nothing is known of a point but its name."""
    overrides: Sequence[str] = ()
    figures: Sequence[Cell] = ()
    link: str = ""
    """Address of its page, relative to that of the sweep; empty if it has none."""


@dataclass(frozen=True)
class PointList:
    """The list of points: columns of settings and figures, and a row per point."""

    settings: list[str]
    unshown: list[str]
    """Settings that differ too, without a column."""
    rows: list[tuple[PointRow, list[Cell]]]
    """Each with the cells of its settings and figures."""
    states: list[tuple[str, int]]
    """How many points are in which state."""
    total: int
    """Points, of which `rows` may show fewer."""
    figures: Sequence[str] = FIGURES


def point_figures(summary: Summary) -> list[Cell]:
    """Return units above the lowest threshold, largest |t|, and units that two tests call."""
    result = next(iter(summary["results"].values()))
    reading = result["published_reading"]
    lowest = min(reading["counts"], key=lambda found: float(found["threshold"]))
    largest, differ = reading.get("max_abs_t"), result["sign_flip"]["familywise"]
    follow = result.get("role_test", {}).get("called")
    over = f"{count(lowest['observed'])} of {count(result['units'])}"
    return [
        (over, float(lowest["observed"])),
        (known(largest, decimal), largest),
        (count(differ), float(differ)),
        (known(follow, count), follow),
    ]


def point_list(rows: Sequence[PointRow], total: int | None = None) -> PointList:
    """Return the list of `rows`; of very many, those that are not done and then the first.

    `total` is the number of points if it is more than that of `rows`.
    """
    order = sorted(range(len(rows)), key=lambda place: rows[place].state == "done")
    shown = [rows[place] for place in sorted(order[:MAX_ROWS])]
    settings = [flat(row.settings) for row in shown]
    names = telling_settings([each for each in settings if each])
    columns = names[:MAX_SETTINGS]
    cells = [[setting_cell(each, name) for name in columns] for each in settings]
    missing: list[Cell] = [(known(None, count), None)] * len(FIGURES)
    return PointList(
        [name.removesuffix(".name") for name in columns],
        [name.removesuffix(".name") for name in names[MAX_SETTINGS:]],
        [
            (row, [*own, *(row.figures or missing)])
            for row, own in zip(shown, cells, strict=True)
        ],
        Counter(row.state for row in rows).most_common(),
        total or len(rows),
    )  # fmt: skip


def telling_settings(settings: Sequence[Summary]) -> list[str]:
    """Return the settings that differ between points, flat, without those that a name tells.

    The name of a section (`templates.name`) stands for its other settings where equal names have
    equal settings; that of a study stands for its question and published figures. Only points that
    have a setting are compared: those of another version of the code may lack it.
    """
    values: dict[str, list[tuple[Summary, Any]]] = {}
    for each in settings:
        for name, value in each.items():
            values.setdefault(name, []).append((each, value))
    differing = {name for name, found in values.items() if any(v != found[0][1] for _, v in found)}
    kept = []
    for name in sorted(differing):
        section = name.split(".")[0]
        by = "name" if section in SAID_BY_STUDY else f"{section}.name"
        if name == by or by not in differing or not determines(values[name], by):
            kept.append(name)
    return sorted(kept, key=lambda name: (not name.endswith("name"), name != "seed"))


def determines(found: Sequence[tuple[Summary, Any]], by: str) -> bool:
    """Return whether points with equal settings `by` have equal values; `found` has both."""
    values: dict[str, Any] = {}
    return all(values.setdefault(repr(each.get(by)), value) == value for each, value in found)


def setting_cell(settings: Summary, name: str) -> Cell:
    value = settings.get(name)
    if value is None:
        return (known(None, str), None)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = textwrap.shorten(str(value), MAX_VALUE, placeholder=" …")
    return (text, float(value) if number and math.isfinite(value) else "")


def page_link(folder: Path, name: str = PAGE) -> str:
    """Return the address of a file of a point, relative to the page of its sweep; empty if none."""
    return f"{quote(folder.name, safe='=')}/{name}" if (folder / name).is_file() else ""


def combined_rows(folder: Path, combined: Summary) -> list[PointRow]:
    """Return a row for each point that was combined or left out, by name, as it is now.

    Of more than MAX_ROWS, those that were left out and then the first: files of all would be read.
    """
    used = {row["point"]: row for row in combined["points"]}
    reasons = {row["point"]: row["reason"] for row in combined["left_out"]}
    names = list(dict.fromkeys([*sorted(reasons), *sorted(used)]))[:MAX_ROWS]
    return [
        stored_row(folder / name, used.get(name, {}), reasons.get(name, ""))
        for name in sorted(names)
        if Path(name).name == name and not name.startswith(".")  # no path unchecked
    ]


def stored_row(folder: Path, known_of: Summary, reason: str = "") -> PointRow:
    """Return the row of a point from its own files, read by the one reader.

    `known_of` is what combined.json says of a point that it used, for folders that are not here;
    `reason` is why it left a point out.
    """
    state, summary = examine(folder)
    if known_of and not folder.is_dir():
        settings = {
            "name": known_of["study"],
            "model": {"name": known_of["model"]},
            "templates": {"name": known_of["templates"]},
            "seed": known_of["seed"],
        }
        return PointRow(folder.name, "not here", "its folder was not copied", settings)
    own: Summary = summary.get("settings") or composed_settings(folder)
    overrides = read_yaml(folder / ".hydra" / "overrides.yaml")
    left_out = f"left out: {reason}" if reason else ""
    return PointRow(
        folder.name,
        state.in_sweep(),
        state.changed or left_out if summary else detail_of(state),
        own,
        [str(word) for word in overrides] if isinstance(overrides, list) else [],
        point_figures(summary) if summary else [],
        page_link(folder),
    )


def composed_settings(folder: Path) -> Summary:
    """Return the settings of a point without a result, as its summary.json would have them.

    What no study can be made of is returned as it was composed; empty if nothing can be read.
    """
    config = read_yaml(folder / ".hydra" / "config.yaml")
    if not isinstance(config, Mapping):
        return {}
    with suppress(*USER_ERRORS):
        study = study_from({str(name): value for name, value in config.items()})
        settings: Summary = json.loads(json.dumps(settings_of(study)))
        return settings
    return study_settings(config)


def study_settings(config: Summary) -> Summary:
    """Return the settings of a composed config that decide the result."""
    found = {name: value for name, value in config.items() if name not in RUN_SETTINGS}
    if isinstance(model := found.get("model"), Mapping):
        found["model"] = {name: value for name, value in model.items() if name != "device"}
    return found


def detail_of(state: ResultState) -> str:
    """Return who runs a point, or why it has no result."""
    if state.kind is Kind.RUNNING or state.made_again:
        since = str(state.status.get("since", "")).replace("T", " ").replace("+00:00", " UTC")
        return f"on {state.worker} since {since}"
    said = ": ".join(filter(None, (state.file, state.reason)))
    return f"{said} (machine failure)" if state.machine_failed else said


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; empty if there is none that can be read."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {}


def own_folders(sweep: Path) -> list[str]:
    """Return the words that name the folders of the user's own studies, as a sweep was started.

    They are relative to the folder above `multirun`, where the commands of a page are called.
    """
    for file in sorted((sweep / ".sweep").glob("*T*-??????.json"), reverse=True):
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            launcher = json.loads(file.read_text(encoding="utf-8"))["launcher"]
            above = sweep.resolve().parents[1]
            folders = [os.path.relpath(folder, above) for folder in launcher["config_dirs"]]
            if len(folders) > 1:
                return [f"hydra.searchpath=[{','.join(map(quoted, folders))}]"]
            return [word for folder in folders for word in ("--config-dir", folder)]
    return []


def sweep_commands(
    rows: Sequence[PointRow], options: Sequence[str] = (), settings: Sequence[str] = ()
) -> list[str]:
    """Return the commands that run the points of `rows`, few if they combine few choices.

    Each begins with `options` and ends with `settings`. Empty if the overrides of a point are
    unknown, or if it would take more than MAX_COMMANDS.
    """
    asked = [{word.partition("=")[0]: word for word in row.overrides} for row in rows]
    if not asked or not all(asked):
        return []
    found = products(asked)
    if len(found) > MAX_COMMANDS:
        return []
    return [shlex.join(["otherview", "run", "-m", *options, *words, *settings]) for words in found]


def products(points: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Return lists of overrides with choices (`seed=0,1`) whose combinations are `points`."""
    by_names: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for point in points:
        by_names.setdefault(tuple(sorted(point)), []).append(point)
    if len(by_names) > 1:
        return [words for members in by_names.values() for words in products(members)]
    values = {name: list(dict.fromkeys(point[name] for point in points)) for name in points[0]}
    distinct = {tuple(sorted(point.items())) for point in points}
    varied = [name for name, choices in values.items() if len(choices) > 1]
    if len(distinct) == math.prod(len(choices) for choices in values.values()):
        return [[choice(name, choices) for name, choices in values.items()]]
    split = min(varied, key=lambda name: len(values[name]))
    return [
        words
        for value in values[split]
        for words in products([point for point in points if point[split] == value])
    ]


def choice(name: str, overrides: Sequence[str]) -> str:
    """Return one override with the values of all `overrides`, which set the same name."""
    first, *others = overrides
    return ",".join([first, *(other[len(name) + 1 :] for other in others)])
