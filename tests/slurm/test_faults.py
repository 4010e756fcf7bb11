"""What a sweep on a real Slurm must survive: no result lost, none half taken for whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otherview.results.state import examine
from otherview.study.errors import StudyError
from tests.conftest import Program
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import SMALL, SMALLEST_NULLS, Sweep

Codes = Callable[[], list[str]]


def test_a_point_that_raises_leaves_its_traceback_and_the_others_are_done_as_frozen(
    sweep: Sweep, cluster: Cluster, exit_codes: Codes, tmp_path: Path
) -> None:
    image = tmp_path / "kitchen.png"
    shipped = Path(__file__).parents[2] / "otherview" / "pocket" / "kitchen.png"
    image.write_bytes(shipped.read_bytes())
    own = tmp_path / "own" / "templates"
    own.mkdir(parents=True)
    wordings = "name: own\ntest: ['As {creature} {VERB} it']\ncontrol: ['With {creature}']\n"
    (own / "own.yaml").write_text(wordings.replace("{VERB}", "sees"))
    cluster.hold()
    points = (f"scene.image={image}", "templates=own")
    sweep.start(f"hydra.searchpath=[{own.parent}]", points=points)
    image.unlink()  # after the check, before the task
    (own / "own.yaml").write_text(wordings.replace("{VERB}", "paints"))
    cluster.release()
    cluster.wait_for_jobs()
    assert exit_codes()[0] == "FAILED 1:0"
    standing = sweep.look()
    (failed,), (done,) = standing.of("failed"), standing.of("done")
    _, summary = examine(sweep.directory / done.folder)
    assert summary["contrast"]["test"] == ["As {creature} sees it"]
    folder = sweep.directory / failed.folder
    assert "StudyError" in (folder / "traceback.txt").read_text()
    assert "kitchen.png does not exist" in sweep.logs()
    code, told = sweep.call("status")
    assert code == 0
    assert "1 done, 0 running, 1 failed, 0 missing" in told
    assert "kitchen.png does not exist" in told
    assert str(folder / "traceback.txt") in told
    _, told = sweep.call("resume", "launcher=sequential")
    assert "1 failed point is left as it is" in told
    image.write_bytes(shipped.read_bytes())
    sweep.resume("--failed")
    assert not (folder / "traceback.txt").exists()


def test_a_killed_worker_loses_the_point_in_hand_only(
    sweep: Sweep, cluster: Cluster, exit_codes: Codes
) -> None:
    sweep.start(seeds=2)
    point, process = sweep.stopped()
    done = len(sweep.look().of("done"))  # none, unless the first was done before the signal
    os.kill(process, signal.SIGKILL)
    cluster.wait_for_jobs()
    assert "COMPLETED" not in exit_codes()[0]
    _, told = sweep.call("status")
    assert point in sweep.look().of("missing")
    assert f"{done} done, 0 running, 0 failed, {2 - done} missing" in told
    assert "its worker is gone" in told
    sweep.resume()


def test_a_dead_node_has_its_task_started_again_elsewhere(sweep: Sweep, cluster: Cluster) -> None:
    sweep.start(seeds=2, nodelist=None)
    point, _ = sweep.stopped()  # still at work when the node dies
    node = cluster.command("squeue", "--noheader", "--format=%N").strip()
    cluster.kill_node(node)
    until(lambda: "0 running" in sweep.call("status")[1], "the loss to be seen")
    cluster.wait_for_jobs()
    assert len(sweep.look().of("done")) == 2
    assert sweep.status(point)["attempt"] == 2
    sweep.resume()


def test_a_preempted_task_goes_on_where_it_stopped(sweep: Sweep, cluster: Cluster) -> None:
    sweep.start(seeds=3, partition="gpu")
    until(lambda: len(sweep.look().of("done")) == 1, "the first point")
    sweep.stopped()  # at work when preempted
    before = sweep.times()
    urgent = ("sbatch", "--partition=urgent", "--exclusive", "--nodes=2", "--output=/dev/null")
    cluster.command(*urgent, "--wrap", "true")
    cluster.wait_for_jobs()
    assert len(sweep.look().of("done")) == 3
    assert before.items() <= sweep.times().items()
    assert "SIGTERM: stops after the current batch" in sweep.logs()


def test_before_the_time_limit_a_task_stops_after_its_batch_and_is_requeued(
    sweep: Sweep,
) -> None:
    sweep.start(seeds=2, time=1, signal_delay_s=15)
    sweep.stopped()  # a batch that takes long; Slurm's signal ends it
    until(lambda: "SIGUSR2: stops after the current batch" in sweep.logs(), "Slurm's signal")
    until(lambda: len(sweep.look().of("done")) == 2, "the requeued task's points")
    sweep.resume()


def test_ctrl_c_after_the_submission_leaves_the_jobs_to_cancel(
    sweep: Sweep, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.hold()
    told = tmp_path / "told.txt"
    launcher = ("hydra/launcher=slurm", "hydra.launcher.workers=1", "hydra.launcher.wait=true")
    small = (
        "hydra.launcher.gpus_per_node=null",
        "hydra.launcher.mem=1GB",
        "hydra.launcher.cpus_per_task=1",
        "seed=0,1",
    )
    command = [sys.executable, "-m", "otherview.run", "-m", *SMALL, *SMALLEST_NULLS]
    with told.open("w") as out:
        started = subprocess.Popen(
            [*command, *launcher, *small, f"hydra.sweep.dir={sweep.directory}"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    until(lambda: "2 points in 1 task" in told.read_text(), "the submission to be told")
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert cluster.command("squeue", "--noheader", "--format=%t").split() == ["PD"]
    assert "2 of them wait for their turn" in sweep.call("status")[1]
    code, said = sweep.call("cancel")
    assert code == 0
    assert "cancelled job" in said
    cluster.wait_for_jobs()
    assert "no job of this sweep" in sweep.call("cancel")[1]


def test_the_same_sweep_twice_at_once_is_harmless_and_said(sweep: Sweep, cluster: Cluster) -> None:
    cluster.hold()
    sweep.start(seeds=2)
    told = sweep.start(seeds=3)
    assert "2 points are left to submission" in told
    assert "1 point in 1 task" in told
    cluster.release()
    cluster.wait_for_jobs()
    assert len(sweep.look().of("done")) == 3
    sweep.resume()


def test_a_task_with_other_code_than_was_frozen_refuses(
    sweep: Sweep, cluster: Cluster, exit_codes: Codes
) -> None:
    cluster.hold()
    sweep.start(seeds=1)
    (frozen,) = sweep.directory.glob(".sweep/*T*-??????.json")
    code = sweep.look().submissions[0].code["code"]
    frozen.write_text(frozen.read_text().replace(code, "0" * len(code)))
    cluster.release()
    cluster.wait_for_jobs()
    assert exit_codes()[0] == "FAILED 1:0"
    assert "another version of otherview" in sweep.logs()
    sweep.resume()


def test_status_works_without_any_answer_from_slurm(
    sweep: Sweep, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.start(seeds=1, kind="sequential")
    cluster.hold()
    sweep.start(seeds=2)
    monkeypatch.setenv("SLURM_CONF", "/nowhere/slurm.conf")
    code, told = sweep.call("status")
    assert code == 0
    assert "2 points: 1 done" in told
    assert "Slurm gives no answer" in told
    cluster.cancel_all()


def test_a_disk_full_in_the_middle_of_a_result_costs_that_point_only(
    sweep: Sweep, cluster: Cluster, exit_codes: Codes
) -> None:
    sweep.directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(sweep.directory)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        sweep.start(seeds=2)
        sweep.running()
        filler = sweep.directory / "filler"
        room = os.statvfs(sweep.directory)
        filler.write_bytes(bytes(room.f_bavail * room.f_bsize - 64 * 1024))
        cluster.wait_for_jobs()
        assert exit_codes()[0] == "FAILED 1:0"
        assert sweep.look().of("done") == []
        filler.unlink()
        sweep.resume()  # the machine's failure: no --failed is needed
    finally:
        subprocess.run(["umount", "--lazy", str(sweep.directory)], check=True)


def test_a_result_cut_short_by_hand_is_made_anew(sweep: Sweep) -> None:
    sweep.start(seeds=2, kind="sequential")
    point = sweep.look().points[0]
    for name in ("summary.json", "responses.nc", "heads.parquet"):
        file = sweep.directory / point.folder / name
        os.truncate(file, file.stat().st_size // 2)
        assert sweep.look().of("damaged") == [point]
        assert f"damaged  {point.folder}: {name}: " in sweep.call("status")[1]
        sweep.resume()


def test_an_impossible_request_is_answered_in_one_line_and_plans_nothing(
    sweep: Sweep, cluster: Cluster
) -> None:
    with pytest.raises(StudyError, match=r"Slurm refused: .* is not available.*launcher.mem=900GB"):
        sweep.start(seeds=1, mem="900GB")
    assert list(sweep.directory.glob(".sweep/*T*.json")) == []
    assert cluster.command("squeue", "--noheader") == ""


def test_a_request_that_slurm_takes_and_can_never_meet_shows_its_reason(
    sweep: Sweep, cluster: Cluster
) -> None:
    sweep.start(seeds=1, cpus_per_task=64)
    until(lambda: "PENDING (PartitionConfig)" in sweep.call("status")[1], "Slurm's reason")
    sweep.call("cancel")
    cluster.wait_for_jobs()
    sweep.resume()


def test_more_points_than_an_array_may_have_run_in_fewer_tasks(
    sweep: Sweep, cluster: Cluster
) -> None:
    assert "MaxArraySize            = 4" in cluster.command("scontrol", "show", "config")
    told = sweep.start(seeds=5, workers=2)
    assert "5 points in 2 tasks" in told
    cluster.wait_for_jobs()
    assert len(sweep.look().of("done")) == 5
    (submission,) = sweep.look().submissions
    assert sorted(len(share) for share in submission.shares) == [2, 3]
    assert sweep.logs().count("points, task") == 2


def test_hydra_s_own_launcher_still_works_and_its_points_are_taken_over(
    sweep: Sweep, process: Program, tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    point = (*SMALL, *SMALLEST_NULLS, "seed=0")
    stock = ("hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=1", "hydra.sweep.dir=sweep")
    done = process("run", "-m", *point, *stock, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = sweep.directory.glob("pocket-*")
    assert "1 of 1 point is done already" in sweep.start(seeds=1)
    assert [p.name for p in sweep.directory.glob("pocket-*")] == [folder.name]
