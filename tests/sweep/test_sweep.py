"""Sweeps on this machine, from outside: in one process, and in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from otherview.sweep.following import look
from otherview.sweep.watching import SweepWatch
from tests.conftest import SHORT, THREE_CREATURES, Program
from tests.damages import overwrite, reseal
from tests.slurm.cluster import until

TRACKED = (
    "+experiment=kitchen",
    "model=pocket",
    "capture=heads",
    SHORT,
    THREE_CREATURES,
    "nulls.splits=1",
)
SMALL = (*TRACKED, "tracking=off")
HERE = "hydra.sweep.dir=sweep"


def test_a_failing_point_does_not_stop_the_others(program: Program, tmp_path: Path) -> None:
    no_pads = ("model.text_length=23", "capture.tokens=pad,all", "seed=0,1")
    done = program("run", "-m", *SMALL, *no_pads, cwd=tmp_path)
    assert done.returncode == 1
    directory = tmp_path / "multirun" / "kitchen"
    assert "2 of 4 points failed" in done.stdout
    assert "Traceback" not in done.stderr  # of what is refused in one line
    assert f"otherview sweep collect {directory}" in done.stdout
    standing = look(directory)
    assert len(standing.of("done")) == 2
    for point in standing.of("failed"):
        assert "has no such tokens" in (directory / point.folder / "traceback.txt").read_text()
        assert re.fullmatch(r"pocket-viewpoint-seed[01]-tokens=pad-[0-9a-f]{8}", point.folder)
    told = program("sweep", "status", str(directory), cwd=tmp_path)
    assert told.returncode == 0
    assert "4 points: 2 done, 0 running, 2 failed, 0 missing" in told.stdout
    assert "has no such tokens" in told.stdout
    check_watched(directory, [point.folder for point in standing.of("done")])


def check_watched(directory: Path, done: list[str]) -> None:
    """Its page shows finished and failed points to this machine alone, and writes nothing."""
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*/*")}
    with SweepWatch(directory) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(server.address) as answer:
            html = answer.read().decode()
        own = f"/{server.secret}/"
        assert html.count('<span class="state done">') == html.count('class="state failed">') == 2
        assert f'<a href="{done[0]}/report.html">' in html
        assert "seed=0,1" in html
        assert "data-reload" not in html  # nothing runs any more
        assert "</html>" in server.answer(f"{own}{done[0]}/report.html")[2]
        (failed,) = re.findall(r'href="([^"]*seed0[^"]*/traceback.txt)"', html)
        assert "has no such tokens" in server.answer(own + failed)[2]
        for path in ("/", f"/x{own}", f"{own}run.log", f"{own}..%2f..%2freport.html",
                     f"{own}{done[0]}/summary.json"):  # fmt: skip
            assert server.answer(path)[0] == 404, path
        server.shutdown()
    assert {path: path.stat().st_mtime_ns for path in directory.glob("*/*")} == before


def test_the_same_command_again_runs_only_what_is_missing(program: Program, tmp_path: Path) -> None:
    first = program("run", "-m", *TRACKED, "seed=0", HERE, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / "sweep").glob("pocket-*")
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    written = (folder / "summary.json").stat().st_mtime_ns
    again = program("run", "-m", *SMALL, "seed=0,1", HERE, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 of 2 points is done already" in again.stdout
    assert (folder / "summary.json").stat().st_mtime_ns == written
    assert len(list((tmp_path / "sweep").glob("pocket-*"))) == 2


def test_points_get_their_pages_when_asked(program: Program, tmp_path: Path) -> None:
    ran = program("run", "-m", *SMALL, "seed=0,1", HERE, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    directory = tmp_path / "sweep"
    assert f"pages:   otherview sweep pages {directory}" in ran.stdout
    assert not list(directory.glob("*/report.html"))
    (whole, damaged) = sorted(directory.glob("pocket-*"))
    (damaged / "nulls.parquet").write_bytes(b"x" * (damaged / "nulls.parquet").stat().st_size)
    made = program("sweep", "pages", str(directory), cwd=tmp_path)
    assert made.returncode == 1
    assert made.stderr == "error: 1 of 2 pages could not be made\n"
    assert f"no report: {damaged / 'nulls.parquet'} is damaged" in made.stdout
    assert "pages made: 1; finished points: 2" in made.stdout
    assert "</html>" in (whole / "report.html").read_text()
    drawn = (whole / "report.html").stat().st_mtime_ns
    again = ("seed=0,1,2", "hydra.launcher.pages=true", HERE)
    assert program("run", "-m", *SMALL, *again, cwd=tmp_path).returncode == 0
    drawn_again = list(directory.glob("*/report.html"))
    assert len(drawn_again) == 3  # of the new point too, and of the one that was made again
    assert (whole / "report.html").stat().st_mtime_ns == drawn


def test_a_file_overwritten_in_place_is_refused_everywhere_and_made_again(
    program: Program, tmp_path: Path
) -> None:
    directory = tmp_path / "sweep"

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return program(words[0], *words[1:], cwd=tmp_path)

    assert call("run", "-m", *SMALL, "seed=0,1", HERE).returncode == 0
    damaged, whole = sorted(directory.glob("pocket-*"))
    overwrite(damaged / "responses.nc", 400)
    said = "responses.nc is damaged: it was changed after it was written"
    for words in (
        ("figure", str(damaged), "head-map", "--out", "map.png"),
        ("report", str(damaged)),
        ("track", str(damaged), "--offline"),
    ):
        refused = call(*words)
        assert refused.returncode == 1
        assert refused.stderr == f"error: {damaged}/{said}\n"
    assert not (tmp_path / "map.png").exists()
    status = call("sweep", "status", str(directory)).stdout
    assert "2 points: 1 done, 0 running, 0 failed, 0 missing, 1 damaged" in status
    assert f"damaged  {damaged.name}: responses.nc: it was changed after it was written" in status
    assert call("sweep", "collect", str(directory)).returncode == 0
    combined = json.loads((directory / "combined.json").read_text())
    assert [row["point"] for row in combined["points"]] == [whole.name]
    assert [row["point"] for row in combined["left_out"]] == [damaged.name]
    overwrite(directory / "combined_heads.parquet", 4)
    refused = call("report", str(directory))
    assert refused.stderr.startswith(f"error: {directory}/combined_heads.parquet is damaged")
    assert (
        "combined result damaged: combined_heads.parquet"
        in call("sweep", "status", str(directory)).stdout
    )
    before = (whole / "summary.json").stat().st_mtime_ns
    assert "done   " + damaged.name in call("sweep", "resume", str(directory)).stdout
    assert (whole / "summary.json").stat().st_mtime_ns == before
    assert "2 points: 2 done" in call("sweep", "status", str(directory)).stdout
    assert call("figure", str(damaged), "head-map", "--out", "map.png").returncode == 0


def test_results_of_another_version_are_said_and_made_anew_when_asked(
    program: Program, tmp_path: Path
) -> None:
    program("run", "-m", *SMALL, "seed=0", HERE, cwd=tmp_path)
    (file,) = (tmp_path / "sweep").glob("pocket-*/summary.json")
    summary = json.loads(file.read_text())
    summary["provenance"]["libraries"]["torch"] = "2.0"
    file.write_text(json.dumps(summary))
    reseal(file)
    kept = program("run", "-m", *SMALL, "seed=0", HERE, cwd=tmp_path)
    assert "made by another version" in kept.stdout
    assert "nothing to start" in kept.stdout
    outdated = "hydra.launcher.rerun=outdated"
    anew = program("run", "-m", *SMALL, "seed=0", HERE, outdated, cwd=tmp_path)
    assert anew.returncode == 0, anew.stdout + anew.stderr
    assert json.loads(file.read_text())["provenance"]["libraries"]["torch"] != "2.0"


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        (["seed=0,x"], "seed: Value 'x'"),
        (["sed=0,1"], "no setting is called sed; did you mean seed?"),
        (["templates=viewpoint,none"], "no templates is called none"),
        (["scene.image=no.png,otherview:pocket/kitchen.png"], "scene.image=no.png does not exist"),
        (["hydra/launcher=slrum"], "no hydra/launcher is called slrum; did you mean slurm?"),
        (["hydra/launcher=slurm", "hydra.launcher.workers=0"], "hydra.launcher.workers=0"),
        (["hydra.launcher.rerun=maybe"], "hydra.launcher.rerun=maybe: choose one of missing"),
    ],
)
def test_what_is_wrong_with_any_point_is_one_line_before_anything_starts(
    program: Program, tmp_path: Path, overrides: list[str], answer: str
) -> None:
    done = program("run", "-m", *SMALL, *overrides, HERE, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {answer}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


def test_processes_of_their_own_share_the_points(process: Program, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    local = ("hydra/launcher=local", "hydra.launcher.workers=2")
    started = process("run", "-m", *SMALL, "seed=0,1", *local, HERE, cwd=tmp_path)
    assert started.returncode == 0, started.stderr
    assert "2 points in 2 tasks" in started.stdout
    directory = tmp_path / "sweep"
    until(lambda: len(look(directory).of("done")) == 2, "both points")
    states = [look(directory).states[point.identity] for point in look(directory).points]
    assert len({state.status["process"] for state in states}) == 2


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["status", "nowhere"], "nowhere is not the directory of a sweep"),
        (["resume", "nowhere"], "nowhere is not the directory of a sweep"),
    ],
)
def test_a_folder_that_is_no_sweep_is_said_in_one_line(
    program: Program, tmp_path: Path, arguments: list[str], answer: str
) -> None:
    done = program("sweep", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert answer in done.stderr
    assert done.stderr.count("\n") == 1
