"""What is promised of a sweep without Slurm: every point gets done, and what is said is true."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import otherview
from otherview.disk.interruption import interruptible
from otherview.models.input_files import changed_input
from otherview.results import run_study
from otherview.results.state import account, fruitless
from otherview.results.status import process_runs, read_status, write_status
from otherview.study import Study
from otherview.study.errors import StudyError
from otherview.sweep.machine_failures import asked_gpus, ends_task, is_machine_failure
from otherview.sweep.shares import deal
from otherview.sweep.submissions import freeze
from otherview.sweep.tasks import last_words, processes_of
from tests.damages import overwrite
from tests.slurm.cluster import until
from tests.slurm.conftest import SMALL, SMALLEST_NULLS, Sweep
from tests.sweep.conftest import Compose

KITCHEN = ["+experiment=kitchen", "model=pocket"]
SHIPPED = Path(run_study.__file__).parents[1] / "pocket"


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Sweep:
    monkeypatch.setenv("COLUMNS", "200")
    return Sweep(tmp_path / "sweep", capsys)


def keep_batch(folder: Path, name: str) -> None:
    """Keep a batch after every file that is there."""
    (folder / "unfinished").mkdir(exist_ok=True)
    newest = max((f.stat().st_mtime_ns for f in (folder / "unfinished").iterdir()), default=0)
    (folder / "unfinished" / name).write_text("")
    os.utime(folder / "unfinished" / name, ns=(newest + 1, newest + 1))


@pytest.mark.parametrize(
    ("end", "count"),
    [
        ({"state": "running"}, 2),
        ({"state": "interrupted", "signal": "SIGUSR2"}, 2),
        ({"state": "interrupted", "signal": "SIGTERM"}, 1),
        ({"state": "interrupted", "signal": "SIGINT"}, 1),
        ({"state": "failed", "cause": "machine"}, 1),
        ({"state": "failed"}, 0),
        ({"state": "finished"}, 0),
    ],
)
def test_only_starts_that_ended_by_themselves_and_kept_nothing_count(
    tmp_path: Path, end: dict[str, Any], count: int
) -> None:
    keep_batch(tmp_path, "0")
    more: dict[str, Any] = {**end, **account(tmp_path, attempt=2)}
    write_status(tmp_path, **more)
    assert fruitless(tmp_path, read_status(tmp_path)[0]) == count
    keep_batch(tmp_path, "1")
    assert fruitless(tmp_path, read_status(tmp_path)[0]) == 0


def test_points_that_died_are_dealt_last_and_to_different_tasks(compose: Compose) -> None:
    points = compose([[*KITCHEN, f"seed={seed}"] for seed in range(6)])
    todo = range(6)
    assert deal(points, todo, 2, {0, 3}) == [[1, 2, 3], [4, 5, 0]]
    assert deal(points, todo, 1, {0}) == [[1, 2, 3, 4, 5, 0]]
    assert deal(points, todo, 6, {0, 1}) == [[2], [3], [4], [5], [1], [0]]
    assert deal(points, [0, 3], 4, {0, 3}) == [[3], [0]]


def interrupt_first(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the next measurement interrupted; return what ends that."""
    measure_study = run_study.measure_study

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_study, "measure_study", interrupted)
    return lambda: monkeypatch.setattr(run_study, "measure_study", measure_study)


def test_rerun_all_is_remembered_until_every_point_was_made_again(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.start(seeds=3, kind="sequential")
    before = sweep.times()
    go_on = interrupt_first(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        sweep.start(seeds=3, kind="sequential", rerun="all")
    go_on()
    told = sweep.call("status")[1]
    assert "0 done, 0 running, 0 failed, 3 missing" in told
    assert "missing  3: to be made again: rerun=all" in told
    sweep.call("resume", "launcher=sequential")
    after = sweep.times()
    assert before.keys() == after.keys()
    assert all(before[name] < after[name] for name in before)
    assert "nothing to start: 3 of 3" in sweep.call("resume", "launcher=sequential")[1]
    sweep.call("resume", "rerun=all")
    assert all(after[name] < written for name, written in sweep.times().items())


def test_a_signal_that_a_library_loses_ends_the_sweep_after_the_point(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_study = run_study.measure_study

    def measured(*given: Any) -> Any:
        with suppress(KeyboardInterrupt):  # as Python does in a finaliser
            os.kill(os.getpid(), signal.SIGTERM)
        return measure_study(*given)

    monkeypatch.setattr(run_study, "measure_study", measured)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interruptible():
        sweep.start(seeds=2, kind="sequential")
    standing = sweep.look()
    assert [standing.name(point.identity) for point in standing.points] == ["done", "missing"]


def test_a_point_that_is_being_made_again_runs(sweep: Sweep) -> None:
    sweep.start(seeds=2, kind="sequential")
    point = sweep.look().points[0]
    write_status(sweep.directory / point.folder, "running")
    assert sweep.look().of("running") == [point]
    assert "1 done, 1 running" in sweep.call("status")[1]


def test_a_result_of_another_picture_is_outdated_and_made_again(
    sweep: Sweep, tmp_path: Path
) -> None:
    picture = tmp_path / "kitchen.png"
    shutil.copy(SHIPPED / "kitchen.png", picture)
    sweep.start(f"scene.image={picture}", seeds=2, kind="sequential")
    picture.touch()
    assert len(sweep.look().of("done")) == 2
    with Image.open(picture) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture)
    told = sweep.call("status")[1]
    assert "0 done, 0 running, 0 failed, 0 missing, 2 outdated" in told
    assert f"scene.image={picture} was changed after the result was made" in told
    sweep.resume()
    picture.unlink()  # as on another machine
    assert len(sweep.look().of("done")) == 2


def test_a_result_of_other_weights_in_the_same_folder_is_outdated(
    sweep: Sweep, tmp_path: Path
) -> None:
    weights = shutil.copytree(SHIPPED / "checkpoints" / "pocket", tmp_path / "weights")
    sweep.start(f"model.path={weights}", seeds=1, kind="sequential")
    (weights / "README.md").write_text("no part of the pipeline")
    (point,) = sweep.look().of("done")
    (file,) = (weights / "transformer").glob("*.safetensors")
    overwrite(file, 4)
    assert sweep.look().of("outdated") == [point]
    sweep.resume()


def test_inputs_are_compared_by_content_and_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert changed_input({}) == ""
    assert changed_input({"scene.image": {"path": str(tmp_path / "no"), "content": "x"}}) == ""
    assert "was changed" in changed_input({"model.path": {"path": str(tmp_path), "content": "x"}})


def test_a_damaged_file_of_the_sweep_costs_one_warning_that_names_it(sweep: Sweep) -> None:
    sweep.start(seeds=1, kind="sequential")
    whole = {file: file.read_bytes() for file in sweep.directory.glob(".sweep/*T*.json")}
    damaged = sweep.directory / ".sweep" / "20200101T000000-abcdef.json"
    for content in (b"", b"{", b"null", b'{"points": 3}'):
        for file in whole:
            file.write_bytes(whole[file])
        damaged.write_bytes(content)
        for command in ("status", "resume", "cancel", "pages"):
            code, told = sweep.call(command)
            assert (code, told.count(str(damaged))) == (0, 1), told
        for file in whole:
            file.write_bytes(content)
        code, told = sweep.call("status")
        assert code == 1
        assert "is not the directory of a sweep" in told
        assert "1 of 1 point is done already" in sweep.start(seeds=1, kind="sequential")


def test_a_worker_whose_controller_was_killed_is_found_and_cancelled(sweep: Sweep) -> None:
    pytest.importorskip("submitit")
    words = ("-m", *SMALL, *SMALLEST_NULLS, "hydra/launcher=local", "seed=range(0,6)")
    subprocess.run(
        [sys.executable, "-m", "otherview.run", *words, f"hydra.sweep.dir={sweep.directory}"],
        cwd=sweep.directory.parent,
        stdout=subprocess.DEVNULL,  # a pipe would be open until the last worker ends
        check=True,
    )
    _, worker = sweep.stopped()
    (submission,) = sweep.look().submissions
    ((controller, processes),) = processes_of(submission).items()
    assert {process.pid for process in processes} == {int(controller), worker}
    os.kill(int(controller), signal.SIGKILL)
    until(lambda: not process_runs(int(controller)), "the controller's end")
    assert "left to submission" in sweep.call("resume", "launcher=sequential")[1]
    code, told = sweep.call("cancel")
    os.kill(worker, signal.SIGCONT)
    assert code == 0
    assert "told 1 process to stop after the current batch" in told
    until(lambda: not process_runs(worker), "the worker's end")
    assert "no job of this sweep runs" in sweep.call("cancel")[1]
    assert sweep.look().of("missing")
    sweep.resume()


@pytest.mark.parametrize(
    ("message", "machine", "ends"),
    [
        ("No CUDA GPUs are available", True, True),
        ("CUDA error: uncorrectable ECC error encountered", True, True),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", True, True),
        ("Found no NVIDIA driver on your system", True, True),
        ("CUDA error: unspecified launch failure", True, True),
        ("CUDA error: device-side assert triggered", False, True),
        ("CUDA error: an illegal memory access was encountered", False, True),
        ("[Errno 28] No space left on device", True, False),
        ("prompt of 22 tokens does not fit model.text_length=20", False, False),
    ],
)
def test_failures_of_the_machine_are_told_by_their_messages(
    message: str, machine: bool, ends: bool
) -> None:
    wrapped = StudyError("the point failed")
    wrapped.__cause__ = RuntimeError(message)
    assert (is_machine_failure(wrapped), ends_task(wrapped)) == (machine, ends)


def test_a_point_whose_device_is_missing_fails_by_the_machine_and_ends_the_task() -> None:
    study = otherview.compose_study(["+experiment=kitchen", "model=pocket", "model.device=cuda:99"])
    with pytest.raises(StudyError, match=r"device=cuda:99 does not exist") as missing:
        otherview.measure(study)
    assert is_machine_failure(missing.value)
    assert ends_task(missing.value)


def test_a_lost_gpu_ends_the_task_before_it_fails_the_other_points(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_study, tried = run_study.measure_study, []

    def lose_gpu(study: Study, *given: Any) -> Any:
        tried.append(study.seed)
        if study.seed == 0:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        return measure_study(study, *given)

    monkeypatch.setattr(run_study, "measure_study", lose_gpu)
    with pytest.raises(SystemExit):
        sweep.start(seeds=3, kind="sequential")
    assert tried == [0]
    assert "no more points are run here: CUDA error: uncorrectable ECC" in sweep.printed()
    assert "(machine failure)" in sweep.call("status")[1]
    with pytest.raises(SystemExit):  # a failure of the machine needs no --failed
        sweep.call("resume", "launcher=sequential")
    assert tried == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("launcher", "asked"),
    [
        ({"kind": "slurm", "gpus_per_node": 1}, "gpus_per_node=1"),
        ({"kind": "slurm", "gpus_per_node": "a100:2"}, "gpus_per_node=a100:2"),
        ({"kind": "slurm", "gpus_per_node": None, "gres": "gpu:1"}, "gres=gpu:1"),
        ({"kind": "slurm", "additional_parameters": {"gpus": 1}}, "gpus=1"),
        ({"kind": "slurm", "gpus_per_node": 0, "gres": "shard:1"}, ""),
        ({"kind": "local"}, "CUDA_VISIBLE_DEVICES=0"),
        ({"kind": "sequential"}, ""),
    ],
)
def test_who_asked_for_a_gpu_is_known(launcher: dict[str, Any], asked: str) -> None:
    assert asked_gpus(launcher, "0") == asked


def test_a_later_submission_sorts_later_by_any_clock(tmp_path: Path) -> None:
    (tmp_path / ".sweep").mkdir()
    (tmp_path / ".sweep" / "20991231T235959-abcdef.json").write_text("")
    assert freeze(tmp_path, [], [], {"kind": "local"}).name.startswith("21000101T000000-")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("a\nslurmstepd: error: oom-kill event\nsrun: error: n1: task 0: Killed\n", "oom-kill"),
        ("SystemExit: why\nsubmitit ERROR (x) - Submitted job triggered an exception\n", "why"),
    ],
)
def test_the_last_words_of_a_task_are_those_that_say_why(
    tmp_path: Path, log: str, words: str
) -> None:
    (tmp_path / "log").write_text(log)
    assert words in last_words(tmp_path / "log")


def test_a_task_that_ended_well_or_left_no_log_has_no_last_words(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("submitit INFO (x) - Exiting after successful completion\n")
    assert last_words(tmp_path / "log") == last_words(tmp_path / "none") == ""
