"""The benchmark of real size on pocket's architecture: seeds, resuming, what is absent."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Program

FILE = "diffusion_pytorch_model.safetensors"
CHECKOUT = Path(__file__).resolve().parent.parent
RealSize = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECKOUT / "benchmarks"))
    return importlib.import_module("real_size")


@pytest.fixture
def real_size(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSize]:
    """Run the benchmark with outputs in a folder, in this process; return the finished studies."""
    terminated = signal.getsignal(signal.SIGTERM)

    def run(out: Path, *arguments: str) -> list[dict[str, Any]]:
        tiny = ["--small", "--size", "64", "--text-length", "32", "--creatures", "4"]
        file = out.with_suffix(".json")
        words = ["real_size.py", *tiny, "--out", str(out), "--json", str(file), *arguments]
        monkeypatch.setattr(sys, "argv", words)
        benchmark.main()
        rows: list[dict[str, Any]] = json.loads(file.read_text())["random_weights"]
        return rows

    yield run
    signal.signal(signal.SIGTERM, terminated)


@pytest.mark.usefixtures("unseen_page")
def test_it_goes_on_where_it_was_and_a_seed_decides_the_weights(
    real_size: RealSize, benchmark: ModuleType, program: Program, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def run_here(command: list[str], env: dict[str, str], **_: bool) -> Any:
        """Run a study in this process, which has loaded the libraries."""
        monkeypatch.setenv("OTHERVIEW_CACHE", env["OTHERVIEW_CACHE"])
        return program("run", *command[3:], cwd=tmp_path)

    weights = tmp_path / "runs" / "weights"
    one, other = (weights / f"random_pocket_seed{seed}" for seed in (0, 1))
    nouns = ["--studies", "nouns"]

    (first,) = real_size(tmp_path / "runs", "--seeds", "0", *nouns, "--keep")
    assert (first["seed"], first["study"], first["items"], first["wordings"]) == (0, "nouns", 4, 16)
    summary = next((tmp_path / "runs").glob("random_pocket_seed0/nouns-*/summary.json"))
    assert first["results"] == json.loads(summary.read_text())["results"]

    monkeypatch.setattr(benchmark, "subprocess", SimpleNamespace(run=run_here))
    shutil.copytree(one, other)
    (other / "model_index.json").unlink()
    (other / "vae").rename(other / "vae.unfinished")  # as if killed while this part was written
    found = real_size(tmp_path / "runs", "--seeds", "1", *nouns, "--keep")
    assert [row["seed"] for row in found] == [0, 1]
    assert (other / "transformer" / FILE).read_bytes() == (one / "transformer" / FILE).read_bytes()
    assert (other / "vae" / FILE).read_bytes() != (one / "vae" / FILE).read_bytes()
    assert not (other / "vae.unfinished").exists()

    again = real_size(tmp_path / "runs", "--seeds", "0", "1", *nouns)
    assert [row["finished"] for row in again] == [row["finished"] for row in found]
    assert not list(weights.iterdir())
