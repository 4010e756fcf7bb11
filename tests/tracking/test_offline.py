"""Offline runs: read back as wandb reads them, moved, and sent by wandb's own command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from otherview.study.configuration import Tracking
from otherview.views.tracking.process import send_result
from otherview.views.tracking.record import identity_of, run_record
from tests.conftest import SHORT, THREE_CREATURES, Program
from tests.tracking.conftest import ROWS
from tests.tracking.loopback import Loopback

OFFLINE = Tracking(mode="offline", patience=60)


def run_wandb(*arguments: str, cwd: Path) -> str:
    """What wandb's own command prints; fails where it does."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def inspected(folder: Path) -> list[dict[str, Any]]:
    """The records of the only offline run in a result's directory."""
    (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    lines = run_wandb("leet", "inspect", "--json", str(file), cwd=folder).splitlines()
    return [json.loads(line) for line in lines]


def of_kind(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def logged(folder: Path, path: str) -> bytes:
    (file,) = (folder / "wandb").glob(f"offline-run-*/files/{path}")
    return file.read_bytes()


def test_an_offline_run_holds_everything_and_asks_no_server(
    result: Path, tmp_path: Path, loopback: Loopback
) -> None:
    folder = tmp_path / "result"
    shutil.copytree(result, folder)
    send_result(folder, OFFLINE)
    assert loopback.requests == []
    assert not (tmp_path / "home").exists()
    assert [path for path in folder.rglob("*") if path.is_symlink()] == []
    records = inspected(folder)
    (run,) = of_kind(records, "run")
    assert run["tags"] == ["kitchen", "pocket", "mine"]
    assert run["config"]["update"]["seed"] == 3
    *_, history = of_kind(records, "history")
    item = history["item"]
    record = run_record(folder)
    assert {name: item[name] for name in record.values} == record.values
    for name, (weights, _) in record.histograms.items():
        assert item[f"{name}.values"] == weights.tolist()
    assert item["slices16/unit_table.nrows"] == ROWS
    table = json.loads(logged(folder, item["slices16/unit_table.path"]))
    assert len(table["data"]) == ROWS
    assert logged(folder, item["figure/nulls.path"]).startswith(b"\x89PNG")


def test_a_moved_run_is_synced_whole(folder: Path, loopback: Loopback) -> None:
    send_result(folder, OFFLINE)
    run = identity_of(folder)
    moved = folder.rename(folder.with_name("moved"))
    (offline,) = (moved / "wandb").glob("offline-run-*")
    run_wandb("sync", str(offline.relative_to(moved)), cwd=moved)
    assert list(loopback.runs) == [run]
    assert {artifact.state for artifact in loopback.artifacts} == {"COMMITTED"}
    files = loopback.artifact(f"result-{run}").files
    assert files["summary.json"] == (moved / "summary.json").read_bytes()
    (units,) = [one for one in loopback.artifacts if "headsunit_table" in one.name]
    assert len(json.loads(units.files["heads/unit_table.table.json"])["data"]) == 48


def test_two_runs_of_one_process_do_not_mix(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = OmegaConf.load(other / ".hydra" / "config.yaml")
    config.seed = 4
    OmegaConf.save(config, other / ".hydra" / "config.yaml")
    identities = []
    for each, seed in ((folder, 3), (other, 4), (folder, 3)):
        send_result(each, OFFLINE)
        (run,) = of_kind(inspected(each), "run")
        assert run["run_id"] == identity_of(each)
        assert run["config"]["update"]["seed"] == seed
        identities.append(run["run_id"])
    assert identities[0] == identities[2] != identities[1]


@pytest.mark.usefixtures("unseen_page")
def test_a_run_tracks_itself_and_its_identity_is_unchanged(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    study = ("+experiment=kitchen", "model=pocket", "capture=heads", SHORT, THREE_CREATURES)
    done = program("run", *study, "tracking.project=mine", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (tmp_path / "outputs" / "kitchen").iterdir()
    assert folder.name.endswith(identity_of(folder))
    assert "warning" not in done.stdout
    (run,) = of_kind(inspected(folder), "run")
    assert run["project"] == "mine"


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (
            "tracking=onlin",
            "error: no tracking is called onlin; did you mean online? "
            "There are: off, offline, online",
        ),
        ("tracking.mode=on", "error: tracking.mode=on: choose one of offline, online, off"),
        ("+tracking.projct=x", "error: no setting is called tracking.projct; did you mean"),
    ],
)
def test_a_bad_setting_is_one_line_and_leaves_nothing(
    program: Program, tmp_path: Path, argument: str, line: str
) -> None:
    done = program("run", "+experiment=kitchen", "model=pocket", argument, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
