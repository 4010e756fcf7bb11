"""What a run leaves alone in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHORT, THREE_CREATURES, Program

SMALL = ("+experiment=kitchen", "model=pocket", SHORT, THREE_CREATURES, "tracking=off")


@pytest.mark.parametrize("folder", [".", "notes"])
def test_a_folder_of_other_files_is_left_alone(
    program: Program, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    file = tmp_path / folder / "summary.json"
    file.write_text("mine")
    done = program("run", *SMALL, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert "holds summary.json and no result: choose a new folder" in done.stderr
    assert file.read_text() == "mine"


def test_the_result_of_another_study_is_not_overwritten(program: Program, tmp_path: Path) -> None:
    words = ("run", *SMALL, "hydra.run.dir=here")

    def files() -> dict[Path, bytes]:
        there = (tmp_path / "here").rglob("*")
        return {path: path.read_bytes() for path in there if path.is_file()}

    assert program(*words, cwd=tmp_path).returncode == 0
    before = files()
    assert tmp_path / "here" / ".hydra" / "overrides.yaml" in before
    other = program(*words, "seed=1", "nulls.alpha=0.1", cwd=tmp_path)
    assert other.stderr == (
        f"error: {tmp_path}/here holds the result of another study (its nulls.alpha, seed differ): "
        "choose a new folder, so that it is not overwritten, or remove it (from the command line: "
        "hydra.run.dir=here)\n"
    )
    assert files() == before
    assert program(*words, cwd=tmp_path).returncode == 0
