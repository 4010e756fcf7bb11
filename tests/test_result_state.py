"""One function says what a result folder is; hand-made results are enough to try it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import otherview
from otherview.disk.atomic import write_json
from otherview.disk.fingerprint import DECIDING_ROOMS, code_hash, code_version
from otherview.results import integrity
from otherview.results.integrity import VerifiedStamps, read_sealed, sealed
from otherview.results.reader import ResultError, read_result
from otherview.results.state import Kind, state_of
from otherview.results.status import write_status
from tests.damages import cut, overwrite

FILES = ("responses.nc", "controls/placebo/heads.parquet")


def finish(folder: Path, **provenance: Any) -> None:
    """Write what a finished run leaves, as far as its state goes."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(2000))
    summary = {"t": 0.1 + 0.2, "provenance": {**code_version(), **provenance}}
    write_json(folder / "summary.json", sealed(summary, folder, FILES))
    _, stamps = read_sealed(folder / "summary.json", {})
    write_status(folder, "finished", stamps=stamps)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    finish(tmp_path / "run")
    return tmp_path / "run"


def keep_times(folder: Path) -> None:
    """Overwrite a file and set its modification time back, as rsync and tar do."""
    file = folder / "responses.nc"
    before = file.stat()
    overwrite(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(folder: Path) -> None:
    file = folder / "summary.json"
    file.write_text(file.read_text().replace("0.3000", "0.4000"))


def name_outside(folder: Path) -> None:
    (folder.parent / "other").write_text("")
    write_json(folder / "summary.json", sealed({}, folder, ["../other"]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: overwrite(folder / FILES[0]), f"{FILES[0]}: it was changed after it was"),
        (lambda folder: overwrite(folder / FILES[1]), f"{FILES[1]}: it was changed after it was"),
        (lambda folder: cut(folder / FILES[0]), f"{FILES[0]}: it has 1,000 bytes and was written"),
        (lambda folder: (folder / FILES[1]).unlink(), f"{FILES[1]}: it is missing"),
        (keep_times, f"{FILES[0]}: it was changed after it was written"),
        (edit, "summary.json: it was changed after it was written"),
        (lambda folder: cut(folder / "summary.json"), "summary.json: "),
        (lambda folder: (folder / "summary.json").unlink(), "summary.json: it is missing"),
        (lambda folder: (folder / "summary.json").write_text("[]"), "summary.json: "),
        (name_outside, "summary.json: it names ../other, which is outside its folder"),
    ],
)  # fmt: skip
def test_what_changed_after_it_was_written_is_damage(
    folder: Path, damage: Callable[[Path], object], said: str
) -> None:
    assert state_of(folder).kind is Kind.WHOLE
    damage(folder)
    assert str(state_of(folder)).startswith(f"damaged: {said}")
    with pytest.raises(ResultError) as raised:
        read_result(folder)
    assert "\n" not in str(raised.value)


def test_untouched_files_are_not_read_and_copies_are_read_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def counting(path: Path, original: Callable[[Path], str] = integrity.file_hash) -> str:
        hashed.append(path)
        return original(path)

    monkeypatch.setattr(integrity, "file_hash", counting)
    assert state_of(folder).kind is Kind.WHOLE
    assert hashed == []
    copy = shutil.copytree(folder, tmp_path / "copy")
    for _ in range(2):
        verified = VerifiedStamps(tmp_path / "verified.json")
        assert state_of(copy, verified=verified).kind is Kind.WHOLE
        verified.save()
    assert hashed == [copy / name for name in FILES]
    overwrite(copy / FILES[0])
    verified = VerifiedStamps(tmp_path / "verified.json")
    assert state_of(copy, verified=verified).kind is Kind.DAMAGED


def test_a_damaged_or_foreign_list_of_stamps_costs_time_only(folder: Path, tmp_path: Path) -> None:
    for content in ("", "[1]", '{"run": 3}', '{"run": {"responses.nc": []}}'):
        (tmp_path / "verified.json").write_text(content)
        verified = VerifiedStamps(tmp_path / "verified.json")
        assert state_of(folder, verified=verified).kind is Kind.WHOLE
    (folder / "status.json").write_text("{")
    assert state_of(folder).kind is Kind.WHOLE


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (None, "missing: there is no summary.json and no combined.json in it"),
        ({"state": "running"}, "running"),
        ({"state": "running", "process": 2**22 + 1}, "interrupted: its worker is gone"),
        ({"state": "running", "job": "7_1", "host": "node"}, "interrupted: its worker is gone (n"),
        ({"state": "interrupted", "host": "node"}, "interrupted: stopped on node"),
        ({"state": "failed", "error": "first\nno memory"}, "failed: no memory"),
        ({"state": "finished"}, "damaged: summary.json: it is missing"),
    ],
)
def test_a_run_without_a_result_is_what_its_status_says(
    tmp_path: Path, status: dict[str, Any] | None, said: str
) -> None:
    if status is not None:
        write_status(tmp_path, **status)
    assert str(state_of(tmp_path, {"7_1": False})).startswith(said)


def test_no_folder_and_another_version_are_said(folder: Path, tmp_path: Path) -> None:
    assert str(state_of(tmp_path / "nowhere")) == "missing: there is no such folder"
    assert not state_of(folder).outdated
    finish(folder, code="another")
    assert state_of(folder).outdated


def test_a_print_in_a_view_or_a_sweep_makes_nothing_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "otherview"
    shutil.copytree(Path(otherview.__file__).parent, package)
    monkeypatch.setattr(otherview, "__file__", str(package / "__init__.py"))

    def hash_after_editing(name: str) -> str:
        file = package / name
        file.write_text(file.read_text() + "\nprint('edited')\n")
        return code_hash.__wrapped__(*DECIDING_ROOMS)

    before = code_hash.__wrapped__(*DECIDING_ROOMS)
    for name in ("views/console.py", "sweep/launch.py", "sweep/combine/groups.py", "cli.py"):
        assert hash_after_editing(name) == before
    for name in ("stats/paired.py", "passes/probe.py", "study/study.py"):
        after = hash_after_editing(name)
        assert after != before
        before = after


def test_a_combined_result_is_held_against_its_hashes_too(tmp_path: Path) -> None:
    (tmp_path / "sweep.parquet").write_bytes(os.urandom(2000))
    combined = sealed({"groups": []}, tmp_path, ["sweep.parquet"])
    write_json(tmp_path / "combined.json", combined)
    assert state_of(tmp_path).kind is Kind.WHOLE
    overwrite(tmp_path / "sweep.parquet")
    assert str(state_of(tmp_path)) == "damaged: sweep.parquet: it was changed after it was written"
    (tmp_path / "combined.json").write_text(json.dumps({**combined, "groups": [1]}))
    with pytest.raises(ResultError, match=r"combined\.json is damaged: it was changed"):
        read_result(tmp_path)
