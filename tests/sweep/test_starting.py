"""Starting and viewing a sweep: what holds on to the shell, what is killed, what cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from otherview.cli import main
from otherview.disk.progress import silent
from otherview.sweep import worker
from otherview.sweep.following import look
from otherview.sweep.tasks import processes_of
from otherview.sweep.viewing import make_pages
from tests.conftest import SHORT, THREE_CREATURES, Program
from tests.slurm.cluster import until

TRACKED = (
    "+experiment=kitchen",
    "model=pocket",
    "capture=heads",
    SHORT,
    THREE_CREATURES,
    "nulls.splits=1",
)
HELD = """import os, sys, time
while "submitit.local._local" in sys.orig_argv and not os.path.exists({go!r}):
    time.sleep(0.05)
"""
OPTIMISER = """from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

class Optimiser(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
    def sweep(self, arguments):
        (job,) = self.launcher.launch([arguments], initial_job_idx=0)
        return float(job.return_value)

ConfigStore.instance().store(
    group="hydra/sweeper", name="optimiser", node={"_target_": "hydra_plugins.optimiser.Optimiser"}
)
"""


def kill_itself(*_: object, **_settings: object) -> list[str]:
    """What the system does to a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_processes_of_their_own_do_not_hold_the_pipe_of_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit")
    go = tmp_path / "go"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HELD.format(go=str(go)))
    path = f"{tmp_path / 'site'}:{os.environ['PYTHONPATH']}"
    local = ("seed=0", "hydra/launcher=local", "hydra.launcher.workers=1")
    started = subprocess.run(  # returns when nobody holds its pipes any more
        [
            sys.executable,
            "-m",
            "otherview",
            "run",
            "-m",
            *TRACKED,
            *local,
            "hydra.sweep.dir=my sweep",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    directory = tmp_path / "my sweep"
    assert look(directory).of("done") == []
    assert f"otherview sweep status '{directory}'" in started.stdout
    go.touch()
    until(lambda: look(directory).of("done"), "the point", 300)
    (submission,) = look(directory).submissions
    until(lambda: not processes_of(submission), "the end of all that writes", 300)
    assert len(list(directory.glob("pocket-*/wandb/offline-run-*"))) == 1
    with read_only(directory):
        assert main(["sweep", "collect", str(directory)]) == 1
    assert capsys.readouterr().err == f"error: Read-only file system: {directory}/combined.json\n"


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A disk that takes no writes."""
    path = str(directory)
    bound = subprocess.run(["mount", "--bind", path, path], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip(f"nothing can be mounted here: {bound.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.parametrize("launcher", ["sequential", "basic"])
def test_a_sweeper_that_optimises_is_told_that_there_is_nothing_to(
    process: Program, tmp_path: Path, launcher: str
) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "optimiser.py").write_text(OPTIMISER)
    chosen = ("hydra/sweeper=optimiser", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    done = process("run", "-m", *TRACKED, *chosen, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: hydra/sweeper=optimiser optimises one number per point")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "sweep").glob("pocket-*/summary.json"))


def test_a_killed_maker_of_pages_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otherview.sweep.viewing.attempt_views", kill_itself)
    assert make_pages([tmp_path / "one", tmp_path / "two"], silent) == [
        "a process that made pages was killed, perhaps for its memory"
    ]


def test_a_node_that_slurm_could_not_be_told_to_avoid_is_no_other_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm may end a task between its requeue and the change of its nodes."""
    asked: list[str] = []

    def scontrol(*words: str) -> Any:
        asked.append(words[-1])
        return SimpleNamespace(returncode=int(len(asked) == 1), stderr="")

    submission = SimpleNamespace(launcher={"kind": "slurm"}, logs=tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(worker, "scontrol", scontrol)
    for without_slurm in ("requeue", "await_the_end"):
        monkeypatch.setattr(worker, without_slurm, lambda _: None)
    for node in ("n1", "n1", "n2", "n3"):
        monkeypatch.setenv("SLURMD_NODENAME", node)
        worker.start_elsewhere(cast(Any, submission), 0, "no GPU")
    excluded = [words.removeprefix("ExcNodeList=") for words in asked]
    assert excluded == ["n1", "n1", "n1,n2"]
