"""Studies that `otherview new` writes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import Program


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mine", []),
        ("mine", ["--images"]),
        ("mine", ["--table", "--folder", "my studies"]),
        ("h\u00fcte", []),
        ("null", []),
        ("1e3", []),
    ],
)
def test_a_new_study_can_be_planned_at_once(
    program: Program, tmp_path: Path, name: str, options: list[str]
) -> None:
    made = program("new", name, *options, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    line = next(each for each in made.stdout.splitlines() if each.startswith("plan"))
    _, _, *words = shlex.split(line)
    planned = program(*words, cwd=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert f"\n{name}  pocket" in planned.stdout
    assert "cannot find anything" not in planned.stdout


def test_nothing_is_overwritten_and_names_are_names(program: Program, tmp_path: Path) -> None:
    program("new", "mine", cwd=tmp_path)
    again = program("new", "mine", "--table", cwd=tmp_path)
    assert (
        again.stderr == "error: studies/experiment/mine.yaml exists already: choose another name\n"
    )
    assert "comes with otherview" in program("new", "kitchen", cwd=tmp_path).stderr
    assert "letters, digits, _ and -" in program("new", "../mine", cwd=tmp_path).stderr
    assert [path.name for path in tmp_path.rglob("*.*")] == ["mine.yaml"]
