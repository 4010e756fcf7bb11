"""A real Slurm on this machine: two virtual nodes with two fake GPUs each, on loopback.

Needs Debian's slurmctld, slurmd, slurm-client and munge; no root, systemd, cgroups or accounting.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from otherview.results.status import process_runs

HERE = Path(__file__).resolve().parent
PROGRAMS = ("slurmctld", "slurmd", "munged", "srun", "sbatch")
SEARCH_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
NODES = ("n1", "n2")
QUEUE_INTERVAL = 0.3
"""Seconds between two looks at jobs or nodes, which take many seconds."""
MAX_CLUSTERS = 16
"""Clusters that look for ports at the same time."""


def missing_programs() -> list[str]:
    """What must be installed before a cluster can be started."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]


def until(
    condition: Callable[[], object], what: str, seconds: float = 120.0, every: float = 0.1
) -> None:
    """Looks again and again until `condition` holds; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds:.0f} s still not: {what}"
        time.sleep(every)  # most conditions start a program of Slurm


class Cluster:
    """A running cluster; `stop` ends it."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="slurm-"))  # socket paths take 108 bytes
        for name in ("munge", "run", "state", "spool", "log", "etc", "dev"):
            (self.root / name).mkdir()
        self.root.chmod(0o755)
        (self.root / "munge").chmod(0o755)
        self.environment = {"SLURM_CONF": str(self.root / "etc" / "slurm.conf")}
        self._write_configuration()
        self._start_munge()
        self._daemon("slurmctld")
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def command(self, *words: str, check: bool = True) -> str:
        """What a Slurm command prints."""
        done = subprocess.run(
            words, env=self._environment(), capture_output=True, text=True, check=check, timeout=60
        )
        return done.stdout

    def start_node(self, node: str) -> None:
        """Starts the daemon of a node."""
        self._daemon("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """What a power failure does: the node's daemon and all its jobs are gone at once."""
        victims = [psutil.Process(self._daemon_of(node))]
        own = {"SLURMD_NODENAME": node, "SLURM_CONF": f"{self.root}/etc/slurm.conf"}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if own.items() <= process.environ().items():
                    parent = process.parent()
                    is_step = parent is not None and "slurmstepd" in "".join(parent.cmdline())
                    victims += [parent, process] if is_step else [process]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def revive_nodes(self) -> None:
        """Starts the nodes whose daemon is gone, and makes all of them take jobs again."""
        for node in NODES:
            if not process_runs(self._daemon_of(node)):
                self.start_node(node)
            self.command("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self.wait_for_nodes()

    def hold(self) -> None:
        """Lets jobs wait: the nodes take none."""
        for node in NODES:
            self.command("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")

    def release(self) -> None:
        """Ends `hold`."""
        for node in NODES:
            self.command("scontrol", "update", f"nodename={node}", "state=resume")

    def wait_for_nodes(self) -> None:
        """Until all nodes take jobs."""
        states = ["sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%t"]
        until(
            lambda: self.command(*states, check=False).split().count("idle") == len(NODES),
            "all nodes idle",
            every=QUEUE_INTERVAL,
        )

    def wait_for_jobs(self, seconds: float = 180.0) -> None:
        """Until the queue is empty."""
        until(
            lambda: not self.command("squeue", "--noheader").strip(),
            "an empty queue",
            seconds,
            QUEUE_INTERVAL,
        )

    def cancel_all(self) -> None:
        """Empties the queue."""
        self.command("scancel", "--user", getpass.getuser(), check=False)
        self.wait_for_jobs(60)

    def stop(self) -> None:
        """Ends all daemons and removes the folder."""
        self.command("scancel", "--user", getpass.getuser(), check=False)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            file = self.root / "run" / f"{name}.pid"
            if file.is_file():
                end(int(file.read_text()))
        shutil.rmtree(self.root, ignore_errors=True)

    def _daemon_of(self, node: str) -> int:
        """The process of a node's daemon."""
        return int((self.root / "run" / f"slurmd-{node}.pid").read_text())

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment, "PATH": SEARCH_PATH}

    def _write_configuration(self) -> None:
        base = free_ports()
        for number in range(2):  # GPUs must be devices; a link to one passes
            (self.root / "dev" / f"nvidia{number}").symlink_to("/dev/null")
        text = (HERE / "slurm.conf.in").read_text()
        for name, value in (
            ("ROOT", str(self.root)),
            ("HOST", socket.gethostname().split(".")[0]),
            ("USER", getpass.getuser()),
            ("P", str(base)),
        ):
            text = text.replace(f"@{name}@", value)
        (self.root / "etc" / "slurm.conf").write_text(text)
        (self.root / "etc" / "gres.conf").write_text(
            f"NodeName=n1,n2 Name=gpu File={self.root}/dev/nvidia[0-1]\n"
        )

    def _start_munge(self) -> None:
        folder = self.root / "munge"
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self._daemon(
            "munged",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            f"--pid-file={self.root}/run/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )

    def _daemon(self, *words: str) -> None:
        with (self.root / "log" / f"{words[0]}.err").open("a") as log:
            subprocess.run(
                words,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=60,
            )


def free_ports() -> int:
    """First digits of ports that are free with the endings that the configuration uses.

    Each worker of pytest-xdist has candidates of its own: two would find the same ones free.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MAX_CLUSTERS
    for base in range(168 + worker, 300, MAX_CLUSTERS):
        try:
            for ending in ("17", "21", "22"):
                with socket.socket() as attempt:
                    attempt.bind(("127.0.0.1", int(f"{base}{ending}")))
        except OSError:
            continue
        return base
    raise RuntimeError("no range of ports is free")


def end(process: int) -> None:
    """End a process, by force after ten seconds."""
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(process)
        found.terminate()
        try:
            until(lambda: not process_runs(process), "the end of a daemon", 10)
        except AssertionError:
            found.kill()
