"""A running Slurm, and sweeps on it that are small enough to fail often."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from otherview.cli import main
from otherview.study.compose import register_resolvers
from otherview.study.configuration import configuration_folder
from otherview.sweep.following import Standing, look
from otherview.sweep.launch import launch
from otherview.sweep.launcher_settings import default_settings
from otherview.sweep.points import Point
from tests.conftest import SHORT, THREE_CREATURES
from tests.slurm.cluster import SEARCH_PATH, Cluster, missing_programs, until

SMALL = (
    "+experiment=kitchen", "model=pocket", "capture=heads", SHORT, THREE_CREATURES, "tracking=off",
)  # fmt: skip
SMALLEST_NULLS = ("nulls.flips=1", "nulls.splits=1")


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    missing = missing_programs()
    if missing:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)}")
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, all nodes up and the queue empty before and after."""
    for name, value in running_cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", SEARCH_PATH)
    yield running_cluster
    running_cluster.revive_nodes()
    running_cluster.cancel_all()


@dataclass
class Sweep:
    """A sweep of the test's own, and what a user would do with it."""

    directory: Path
    capture: pytest.CaptureFixture[str]

    def start(
        self,
        *overrides: str,
        seeds: int = 3,
        kind: str = "slurm",
        points: Sequence[str] = (),
        **settings: Any,
    ) -> str:
        """Launch one point per seed, or per override in `points`; return what was printed."""
        register_resolvers()
        chosen = default_settings(kind) | ({} if kind == "sequential" else {"workers": 1})
        if kind == "slurm":
            small = {"gpus_per_node": None, "cpus_per_task": 1, "mem": "1GB"}
            chosen |= {**small, "time": 30, "signal_delay_s": 60}
        chosen |= settings
        given = [*SMALL, *SMALLEST_NULLS, *overrides]
        with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            master = loader.load_configuration(
                "run", [*given, f"hydra.sweep.dir={self.directory}"], run_mode=RunMode.MULTIRUN
            )
            own = [override for override in given if not override.startswith("hydra.")]
            varied = points or [f"seed={seed}" for seed in range(seeds)]
            launch(loader, master, [[*own, each] for each in varied], chosen)
        return self.printed()

    def call(self, command: str, *words: str) -> tuple[int, str]:
        """`otherview sweep`: exit code and what was printed."""
        self.printed()
        code = main(["sweep", command, str(self.directory), *words])
        return code, self.printed()

    def resume(self, *words: str) -> str:
        """Resumes in this process, and checks that all is done afterwards and stays so."""
        before = self.times()
        code, printed = self.call("resume", "launcher=sequential", *words)
        assert code == 0, printed
        standing = self.look()
        assert len(standing.of("done")) == len(standing.points)
        assert before.items() <= self.times().items()  # nothing that was finished was touched
        code, again = self.call("resume", "launcher=sequential")
        assert code == 0
        assert "nothing to start" in again
        return printed

    def look(self) -> Standing:
        """The standing, from the files and the queue."""
        return look(self.directory)

    def times(self) -> dict[str, int]:
        """When every whole result was written."""
        points = self.look().of("done")
        return {
            point.folder: (self.directory / point.folder / "summary.json").stat().st_mtime_ns
            for point in points
        }

    def status(self, point: Point) -> dict[str, Any]:
        """A point's status.json."""
        content: dict[str, Any] = json.loads(
            (self.directory / point.folder / "status.json").read_text()
        )
        return content

    def running(self) -> Point:
        """The point that runs, as soon as one does."""
        until(lambda: self.look().of("running"), "a running point")
        return self.look().of("running")[0]

    def stopped(self) -> tuple[Point, int]:
        """A point in the midst of its work, and its process, which is stopped."""
        while True:
            point = self.running()
            process = self.status(point)["process"]
            os.kill(process, signal.SIGSTOP)
            if self.status(point)["state"] == "running":
                return point, process
            os.kill(process, signal.SIGCONT)  # the point was done before the signal came

    def logs(self) -> str:
        """What all tasks printed."""
        files = sorted(self.directory.glob(".sweep/*/*/*_log.out"))
        return "\n".join(file.read_text() for file in files)

    def printed(self) -> str:
        """What was printed since the last call."""
        captured = self.capture.readouterr()
        return captured.out + captured.err


@pytest.fixture
def sweep(
    tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> Sweep:
    monkeypatch.setenv("COLUMNS", "200")
    del cluster  # it runs
    return Sweep(tmp_path / "sweep", capsys)


Faulty = Callable[[str], str]


@pytest.fixture
def faulty(tmp_path: Path) -> Faulty:
    """Return a `python=` for tasks in which some code runs before everything else."""

    def write(code: str) -> str:
        script = tmp_path / "faulty.py"
        start = "import runpy, sys; del sys.argv[:4]; sys.argv.insert(0, 'submitit')"
        run = "runpy.run_module('submitit.core._submit', run_name='__main__')"
        script.write_text(f"{code}\n{start}\n{run}\n")
        return f"{sys.executable} {script}"

    return write


@pytest.fixture
def exit_codes(cluster: Cluster) -> Callable[[], list[str]]:
    """State and exit code of every job that the cluster knows, newest first."""

    def read() -> list[str]:
        listed = cluster.command(
            "squeue", "--noheader", "--array", "--states=all", "--sort=-i", "--format=%i"
        )
        shown = [cluster.command("scontrol", "show", "job", job, "-o") for job in listed.split()]
        return [
            " ".join(
                word.partition("=")[2]
                for word in line.split()
                if word.startswith(("JobState=", "ExitCode="))
            )
            for line in shown
        ]

    return read
