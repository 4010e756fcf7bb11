"""The list of a sweep's points, and the commands that repeat them."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from otherview.results.status import write_status
from otherview.views.sweep_points import (
    PointRow,
    own_folders,
    point_list,
    stored_row,
    sweep_commands,
)

KITCHEN = "+experiment=kitchen"


def expanded(command: str) -> set[tuple[str, ...]]:
    """What Hydra makes of a command: the overrides of every point."""
    words = shlex.split(command)
    assert words[:3] == ["otherview", "run", "-m"]
    choices = []
    for override in OverridesParser.create().parse_overrides(words[3:]):
        name, _, value = str(override.input_line).partition("=")
        values = override.sweep_string_iterator() if override.is_sweep_override() else [value]
        choices.append([f"{name}={each}" for each in values])
    return {tuple(sorted(point)) for point in itertools.product(*choices)}


@pytest.mark.parametrize(
    ("points", "commands"),
    [
        ([[f"templates={t}", f"seed={s}"] for t in "ab" for s in (0, 1)], 1),
        ([[f"templates={t}", f"seed={s}"] for t, s in [("a", 0), ("a", 1), ("b", 0)]], 2),
        ([[r"creatures.items=[a\ cat,an\ owl]"], [r"creatures.items=[an\ ant,a\ fly]"]], 1),
        ([["seed=0"], ["seed=0", "model.text_length=23"]], 2),
    ],
)
def test_the_commands_repeat_exactly_the_points(points: list[list[str]], commands: int) -> None:
    rows = [PointRow(str(place), "done", overrides=[KITCHEN, *own])
            for place, own in enumerate(points)]  # fmt: skip
    found = sweep_commands(rows)
    assert len(found) == commands
    repeated = set().union(*map(expanded, found))
    assert repeated == {tuple(sorted(row.overrides)) for row in rows}


def test_a_sweep_of_own_studies_is_repeated_with_their_folder(tmp_path: Path) -> None:
    sweep = tmp_path / "multirun" / "mine"
    (sweep / ".sweep").mkdir(parents=True)
    assert own_folders(sweep) == []
    words = []
    for name, own in (("a", ["my studies"]), ("b", ["x", "y"])):  # of two starts, the last counts
        frozen = {"launcher": {"config_dirs": [str(tmp_path / folder) for folder in own]}}
        (sweep / ".sweep" / f"2026T{name}-123456.json").write_text(json.dumps(frozen))
        words.append(own_folders(sweep))
    assert words == [["--config-dir", "my studies"], ["hydra.searchpath=['x','y']"]]
    rows = [PointRow("p", "done", overrides=["+experiment=a"])]
    command = "otherview run -m --config-dir 'my studies' +experiment=a"
    assert sweep_commands(rows, words[0]) == [command]


def test_a_point_without_overrides_cannot_be_repeated() -> None:
    assert (
        sweep_commands([PointRow("a", "done", overrides=["seed=0"]), PointRow("b", "done")]) == []
    )


def test_a_point_says_what_became_of_it(tmp_path: Path) -> None:
    known = {"study": "kitchen", "model": "pocket", "templates": "viewpoint", "seed": 3}
    for name in ("failed", "damaged", "stopped", "empty"):
        (tmp_path / name).mkdir()
    write_status(tmp_path / "failed", "failed", "out of <b>memory</b>")
    write_status(tmp_path / "stopped", "interrupted")
    (tmp_path / "damaged" / "summary.json").write_text("{")
    (tmp_path / "failed" / ".hydra").mkdir()
    (tmp_path / "failed" / ".hydra" / "config.yaml").write_text("{seed: 4, tracking: {mode: off}}")
    rows = {name: stored_row(tmp_path / name, {})
            for name in ("failed", "damaged", "stopped", "empty", "never")}  # fmt: skip
    rows["copied"] = stored_row(tmp_path / "copied", known)
    assert {name: row.state for name, row in rows.items()} == {
        "failed": "failed", "damaged": "damaged", "stopped": "missing", "empty": "missing",
        "never": "missing", "copied": "not here",
    }  # fmt: skip
    assert rows["failed"].detail == "out of <b>memory</b>"
    assert rows["damaged"].detail.startswith("summary.json: ")
    listed = point_list(list(rows.values()))
    assert listed.settings == ["seed"]  # the others are known of one point only
    cells = {row.folder: cells[0] for row, cells in listed.rows}
    assert [cells[name] for name in ("failed", "copied")] == [("4", 4.0), ("3", 3.0)]
    assert cells["empty"][1] is None


def test_the_name_of_an_option_stands_for_its_settings_while_it_decides_them() -> None:
    def listed(*wordings: str) -> list[str]:
        rows = []
        for study, option, text in zip("xyz", "aab", wordings, strict=True):
            templates = {"name": option, "test": [text]}
            settings = {"name": study, "question": f"{study}?", "templates": templates}
            rows.append(PointRow(study, "done", settings=settings))
        return point_list(rows).settings

    assert listed("one", "one", "two") == ["name", "templates"]
    assert listed("one", "other", "two") == ["name", "templates", "templates.test"]
