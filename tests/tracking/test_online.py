"""What arrives at a server when a result is sent."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from otherview.study.configuration import Tracking
from otherview.views.tracking.process import send_result
from otherview.views.tracking.record import identity_of
from tests.tracking.conftest import ROWS
from tests.tracking.loopback import KEY, Loopback, loopback_server

ONLINE = Tracking(mode="online", patience=60)
NAMED = Tracking(mode="online", patience=60, name="four creatures", tags=["reviewed"])


@pytest.fixture(scope="module")
def sent(result: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Loopback]]:
    """The whole result, sent once; its directory and the server."""
    with pytest.MonkeyPatch.context() as patch, loopback_server() as server:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("HOME", str(home))
        folder = tmp_path_factory.mktemp("sweeps") / "kitchen" / "point"
        shutil.copytree(result, folder)
        (folder.parent / ".sweep").mkdir()
        send_result(folder, NAMED)
        assert list(home.rglob("*")) == []  # wandb's files lie in the result's own directory
        yield folder, server


def media(server: Loopback, run: str, key: str) -> bytes:
    return server.files[run][server.rows(run)[-1][key]["path"]]


def has_values(row: dict[str, Any]) -> bool:
    return "heads/units" in row


def test_every_row_of_the_unit_tables_arrives(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    run = identity_of(folder)
    table = json.loads(media(server, run, "slices16/unit_table"))
    units = pl.read_parquet(folder / "slices16.parquet")
    assert len(table["data"]) == ROWS == units.height
    assert [row[0] for row in table["data"]] == units["unit"].to_list()
    (artifact,) = [one for one in server.artifacts if "slices16unit_table" in one.name]
    assert artifact.state == "COMMITTED"
    assert len(json.loads(artifact.files["slices16/unit_table.table.json"])["data"]) == ROWS


def test_every_statistic_of_the_heads_arrives(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    table = json.loads(media(server, identity_of(folder), "heads/unit_table"))
    heads = pl.read_parquet(folder / "heads.parquet")
    assert table["columns"] == heads.columns
    assert table["data"] == [list(row) for row in heads.rows()]


def test_nulls_arrive_as_survival_curves_and_figures(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    run = identity_of(folder)
    *points, row = server.rows(run)
    nulls = pl.read_parquet(folder / "nulls.parquet").filter(unit_set="heads")
    for statistic, null in itertools.product(
        ("count_3", "count_5", "max_abs_t"), ("published", "sign_flip")
    ):
        of_null = nulls.filter(statistic=statistic, null=null)
        curve = [(point[f"heads/{statistic}/at_least"], point[f"heads/{statistic}/null_{null}"])
                 for point in points if f"heads/{statistic}/null_{null}" in point]  # fmt: skip
        assert curve
        for value, share in curve:
            reached = int(of_null.filter(pl.col("value") >= value)["patterns"].sum())
            assert share == pytest.approx(reached / int(of_null["patterns"].sum()))
    assert "heads/max_abs_t/at_least" not in server.summary[run]  # nor in the table of runs
    assert sum(row["heads/t/observed"]["values"]) == 48
    for figure in ("head-map", "nulls", "readings", "slices", "axis", "halves"):
        assert media(server, run, f"figure/{figure}").startswith(b"\x89PNG")
    assert "Left to right: heads over each threshold" in row["figure/nulls"]["caption"]
    reference = media(server, run, "scene/reference")
    assert reference == (folder / "reference.png").read_bytes()


def test_the_files_arrive_as_one_artifact(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    artifact = server.artifact(f"result-{identity_of(folder)}")
    assert artifact.state == "COMMITTED"
    assert artifact.files.keys() >= {"summary.json", "responses.nc", ".hydra/config.yaml"}
    for name, content in artifact.files.items():
        assert content == (folder / name).read_bytes()
    written = {path.name for path in folder.iterdir() if path.is_file()}
    assert written <= artifact.files.keys()


def test_the_run_says_what_it_is(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    run = identity_of(folder)
    ((known, given),) = server.runs.items()
    assert known == run
    assert given["groupName"] == "kitchen"
    assert given["jobType"] == "run"
    assert given["tags"] == ["kitchen", "pocket", "mine", "reviewed"]
    assert given["displayName"] == "four creatures"
    assert given["notes"] == json.loads((folder / "summary.json").read_text())["question"]
    config = json.loads(given["config"])
    assert config["seed"]["value"] == 3
    assert config["model"]["value"]["name"] == "pocket"
    assert "tracking" not in config
    summary = json.loads((folder / "summary.json").read_text())["results"]["heads"]
    assert server.summary[run]["heads/role_test/called"] == summary["role_test"]["called"]
    assert server.finished == {run: 0}


def test_no_file_holds_the_key(sent: tuple[Path, Loopback]) -> None:
    folder, server = sent
    assert any(server.keys)  # it was used
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in folder.rglob("*") if path.is_symlink()] == []  # any tool can copy it
    assert (folder / "wandb" / "send.log") in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_sending_again_makes_no_second_run(folder: Path, loopback: Loopback) -> None:
    send_result(folder, ONLINE)
    artifacts = len(loopback.artifacts)
    send_result(folder, ONLINE)
    assert len(loopback.runs) == 1
    assert len(loopback.artifacts) == artifacts
    values = [[*filter(has_values, loopback.rows(run))] for run in loopback.runs]
    assert [len(rows) for rows in values] == [1]
    assert len([*(folder / "wandb").glob("run-*")]) == 1
