"""The GPU's benchmark on a CPU with a small config: it measures, keeps and continues."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
Gpu = Callable[..., dict[str, Any]]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gpu:
    """Run some steps of the small config in this process; return what is in the file then."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("OTHERVIEW_CACHE", "off")
    benchmark, file = importlib.import_module("gpu"), tmp_path / "figures.json"

    def run(*words: str) -> dict[str, Any]:
        arguments = ["gpu.py", "--small", "--json", str(file), *words]
        monkeypatch.setattr(sys, "argv", arguments)
        try:
            benchmark.main()
        except SystemExit as ended:
            return {**json.loads(file.read_text()), "said": str(ended)}
        return {**json.loads(file.read_text()), "said": ""}

    return run


def test_it_continues_where_it_stopped_and_starts_nothing_that_would_not_end(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = importlib.import_module("gpu_steps")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "batch_seconds", interrupted)
        stopped = gpu("--only", "capture,hooks,batches,peak", "--minutes", "9")
    assert "interrupted; the same command continues" in stopped["said"]
    assert list(stopped["steps"]) == ["capture", "hooks"]
    (error,) = stopped["steps"]["capture"]["figures"]
    assert error["reached"] is True
    assert 0 < float(error["measured"]) < 1e-4
    ratios = [float(figure["measured"]) for figure in stopped["steps"]["hooks"]["figures"]]
    assert all(ratio > 0.5 for ratio in ratios)

    late = gpu("--only", "capture,batches", "--minutes", "0")
    assert "not run: batches; the same command continues" in late["said"]
    assert late["steps"] == stopped["steps"]

    with monkeypatch.context() as patch:
        patch.setattr(steps, "hook_figures", interrupted)  # not measured again
        whole = gpu("--only", "capture,hooks,peak", "--minutes", "9")
    assert whole["said"] == ""
    assert list(whole["steps"]) == ["capture", "hooks", "peak"]
    shares = {each["name"]: each["measured"] for each in whole["steps"]["peak"]["figures"][1:]}
    assert all(0 < float(share.rstrip("%")) < 100 for share in shares.values())
    assert "small at 64: share of peak, native attention, eager, batch 2" in shares

    def full(*_: object) -> None:
        raise SystemExit("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "batch_seconds", full)
        failed = gpu("--only", "batches", "--minutes", "9")
    assert failed["failed"] == {"batches": "failed: SystemExit: no space left"}
    assert "not run: batches; the same command continues" in failed["said"]

    file = tmp_path / "figures.json"
    for step in failed["steps"].values():
        step["seconds"] = 1e6  # what is left would never end in time
    file.write_text(json.dumps(failed))
    first = gpu("--only", "batches,cotangent", "--minutes", "0.5")
    assert "not run: cotangent; the same command continues" in first["said"]
    assert list(first["steps"]) == ["capture", "hooks", "peak", "batches"]
    assert first["failed"] == {}


def test_processes_of_a_benchmark_find_the_libraries_of_their_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", "/unpacked")
    paths = importlib.import_module("figures").environment()["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(BENCHMARKS.parent), "/unpacked"]
