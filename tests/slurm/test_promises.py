"""What is promised of a sweep on a real Slurm: every point gets done, and what is said is true."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from otherview.results.status import write_status
from otherview.sweep.tasks import slurm_states
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import SMALL, SMALLEST_NULLS, Faulty, Sweep

DIES = """
import os, signal
from otherview.results import run_study
measure_study = run_study.measure_study
def die_at_seed_0(study, *more):
    if study.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure_study(study, *more)
run_study.measure_study = die_at_seed_0
"""
HOLDS = """
import os, signal
from otherview.results import run_study
measure_study = run_study.measure_study
def held(*given):
    os.kill(os.getpid(), signal.SIGSTOP)
    return measure_study(*given)
run_study.measure_study = held
"""
STOPS = """
import os, signal
from otherview.passes.unfinished import Unfinished
from otherview.results import run_study
measure_study, put = run_study.measure_study, Unfinished.put
def measured(study, *more):
    def stop_after(self, start, energy):
        if study.seed == 0:
            put(self, start, energy)
        if study.seed != 0 or start < 3:
            os.kill(os.getpid(), signal.SIGUSR2)
    Unfinished.put = stop_after
    return measure_study(study, *more)
run_study.measure_study = measured
"""
"""Seed 0 stops three times, and keeps a batch each time; other seeds keep none."""


def test_a_point_that_kills_its_process_does_not_keep_the_others_from_being_done(
    sweep: Sweep, cluster: Cluster, faulty: Faulty
) -> None:
    sweep.start(seeds=3, python=faulty(DIES))
    cluster.wait_for_jobs()
    assert len(sweep.look().of("missing")) == 3
    for start in (2, 3):
        code, _ = sweep.call("resume")
        assert code == 0
        cluster.wait_for_jobs()
        assert [point.study.seed for point in sweep.look().of("done")] == [1, 2], start
    (point,) = sweep.look().of("failed")
    assert point.study.seed == 0
    told = sweep.call("status")[1]
    assert "2 done, 0 running, 1 failed, 0 missing" in told
    assert "given up: 3 starts in a row ended before they kept anything; its worker is" in told
    assert "1 failed point is left as it is" in sweep.call("resume")[1]
    assert cluster.command("squeue", "--noheader") == ""
    sweep.resume("--failed")


def test_a_point_is_started_as_often_as_it_gets_further_and_fails_in_the_end_if_it_does_not(
    sweep: Sweep, cluster: Cluster, faulty: Faulty
) -> None:
    sweep.start("model.batch_size=1", seeds=2, python=faulty(STOPS))
    until(lambda: sweep.look().of("failed"), "the failure", 600)
    assert [point.study.seed for point in sweep.look().of("done")] == [0]
    assert sweep.logs().count("SIGUSR2: stops after the current batch") == 3 + 3
    assert "given up: 3 starts in a row" in sweep.call("status")[1]
    cluster.wait_for_jobs()
    sweep.resume("--failed")


def test_a_cluster_that_starts_nothing_again_is_one_line_at_the_time_limit(
    sweep: Sweep, cluster: Cluster
) -> None:
    sweep.start(seeds=2, additional_parameters={"no-requeue": True})
    job = sweep.status(sweep.running())["job"]
    cluster.command("scancel", "--signal=USR2", job)
    cluster.wait_for_jobs()
    assert "Traceback" not in sweep.logs()
    told = sweep.call("status")[1]
    assert f"Slurm does not start job {job} again" in told
    assert "waits for: otherview sweep resume" in told
    sweep.resume()


def test_a_task_without_the_gpu_that_it_asked_for_tries_other_nodes_and_runs_nothing(
    sweep: Sweep, cluster: Cluster
) -> None:
    sweep.start(seeds=2, gpus_per_node=1)
    until(lambda: {line.split(":")[0] for file in sweep.directory.glob(".sweep/*/lost-0.txt")
                   for line in file.read_text().splitlines()} == {"n1", "n2"},
          "a try on either node", 300)  # fmt: skip
    assert "asked for a GPU (gpus_per_node=1) and torch sees none" in sweep.logs()
    cluster.cancel_all()
    assert len(sweep.look().of("missing")) == 2
    assert "asked for a GPU (gpus_per_node=1)" in sweep.call("status")[1]
    assert list(sweep.directory.glob("pocket-*")) == []
    sweep.resume()


def test_no_answer_from_slurm_is_no_answer(
    sweep: Sweep, cluster: Cluster, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.start(seeds=2, python=faulty(HOLDS))
    sweep.running()
    (job,) = sweep.look().jobs.values()
    (jobs_file,) = sweep.directory.glob(".sweep/*.jobs.json")
    with monkeypatch.context() as unanswered:
        unanswered.setenv("SLURM_CONF", "/nowhere/slurm.conf")
        assert sweep.look().of("running")
        code, told = sweep.call("cancel")
        assert code == 1
        assert "not cancelled: Slurm gives no answer about submission" in told
        assert "nothing to start" in sweep.call("resume", "launcher=sequential")[1]
        jobs_file.unlink()
        assert sweep.call("cancel")[0] == 1
    jobs_file.write_text("")
    code, told = sweep.call("cancel")
    assert code == 0
    assert f"{jobs_file} is damaged" in told
    assert f"cancelled job {job.ids[0]}" in told
    cluster.wait_for_jobs()
    code, told = sweep.call("cancel")
    assert (code, "no job of this sweep runs or waits" in told) == (0, True)
    sweep.resume()


def test_a_job_that_slurm_does_not_know_is_told_by_its_signs_of_life(
    sweep: Sweep,
) -> None:
    assert slurm_states(["999999"]) == {}
    sweep.start(seeds=1, kind="sequential")
    (point,) = sweep.look().points
    folder = sweep.directory / point.folder
    (folder / "summary.json").unlink()
    write_status(folder, "running", job="999999", host="elsewhere")
    assert sweep.look().of("running") == [point]
    assert "nothing to start" in sweep.call("resume")[1]
    for age in (-200, 3600):  # seconds behind, and ahead of the clock of the file system
        stamp = (folder / "status.json").stat().st_ctime + age
        os.utime(folder / "status.json", (stamp, stamp))
        assert sweep.look().of("missing") == [point]
    sweep.resume()


def test_clocks_that_differ_hide_no_worker_and_force_starts_what_seems_to_run(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.start(seeds=1, kind="sequential")
    (point,) = sweep.look().points
    folder = sweep.directory / point.folder
    (folder / "summary.json").unlink()
    now = time.time()
    for late in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda late=late: now + late)
        write_status(folder, "running", host="elsewhere")
        assert sweep.look().of("running") == [point]
    assert "nothing to start" in sweep.call("resume", "launcher=sequential")[1]
    code, _ = sweep.call("resume", "launcher=sequential", "--force")
    assert (code, sweep.look().of("done")) == (0, [point])


@pytest.mark.parametrize("kind", ["sequential", "local"])
def test_points_that_run_inside_a_job_of_the_user_s_own_are_seen_to_run(
    sweep: Sweep, cluster: Cluster, kind: str
) -> None:
    checkout = Path(__file__).parents[2]
    given = (*SMALL, *SMALLEST_NULLS, "seed=0,1", f"hydra/launcher={kind}")
    more = ("hydra.launcher.wait=true",) if kind == "local" else ()
    words = (sys.executable, "-m", "otherview.run", "-m", *given, *more)
    command = " ".join(f"'{word}'" for word in (*words, f"hydra.sweep.dir={sweep.directory}"))
    script = f"cd {checkout} && PYTHONPATH={os.environ['PYTHONPATH']} {command}"
    cluster.command("sbatch", "--output=/dev/null", "--array=0-1%1", "--wrap", script)
    until(lambda: list(sweep.directory.glob("*/status.json")), "a point")
    point = sweep.running()
    assert "job" not in sweep.status(point)
    assert "missing  " not in sweep.call("status")[1]
    assert "nothing to start" in sweep.call("resume", "launcher=sequential")[1]
    process = sweep.status(point)["process"]
    os.kill(process, signal.SIGSTOP)
    code, told = sweep.call("cancel")
    os.kill(process, signal.SIGCONT)
    assert code == 0
    assert "to stop after the current batch" in told
    cluster.cancel_all()
    until(lambda: not sweep.look().busy, "the end of the worker")
    sweep.resume()


def test_a_sweep_that_is_cancelled_while_it_is_waited_for_says_what_is_left(
    sweep: Sweep, cluster: Cluster, faulty: Faulty
) -> None:
    def cancel() -> None:
        until(lambda: list(sweep.directory.glob("*/status.json")), "a point that runs")
        cluster.command("scancel", sweep.look().jobs.popitem()[1].ids[0])

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(SystemExit) as ended:
        sweep.start(seeds=2, wait=True, python=faulty(HOLDS))
    thread.join()
    assert ended.value.code == 1
    told = sweep.printed()
    assert "2 of 2 points were not done: otherview sweep resume" in told
    assert "traceback" not in told
    cluster.wait_for_jobs()
    sweep.resume()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"python": "/nowhere/python"}, "/nowhere/python: No such file or directory"),
        ({"setup": ["source /nowhere/env.sh || exit 3"]}, "/nowhere/env.sh: No such file"),
        ({"python": f"{sys.executable} -c 'import torcj'"}, "No module named 'torcj'"),
    ],
)
def test_a_task_that_cannot_start_says_why(
    sweep: Sweep, cluster: Cluster, setting: dict[str, Any], reason: str
) -> None:
    sweep.start(seeds=1, **setting)
    cluster.wait_for_jobs()
    told = sweep.call("status")[1]
    assert "0 done, 0 running, 0 failed, 1 missing" in told
    (ended,) = [line for line in told.splitlines() if line.startswith("ended ")]
    assert reason in ended, told
    sweep.resume()
