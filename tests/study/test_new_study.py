"""Studies that `otherview new` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Program


@pytest.mark.parametrize("options", [[], ["--images"], ["--table"]])
def test_a_new_study_can_be_planned_at_once(
    program: Program, tmp_path: Path, options: list[str]
) -> None:
    made = program("new", "mine", *options, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    line = next(each for each in made.stdout.splitlines() if each.startswith("plan"))
    _, _, *words = line.split()
    planned = program(*words, cwd=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "mine  pocket" in planned.stdout
    assert "cannot find anything" not in planned.stdout


def test_nothing_is_overwritten_and_names_are_names(program: Program, tmp_path: Path) -> None:
    program("new", "mine", cwd=tmp_path)
    again = program("new", "mine", "--table", cwd=tmp_path)
    assert (
        again.stderr == "error: studies/experiment/mine.yaml exists already: choose another name\n"
    )
    assert "letters, digits, _ and -" in program("new", "../mine", cwd=tmp_path).stderr
    assert [path.name for path in tmp_path.rglob("*.*")] == ["mine.yaml"]
