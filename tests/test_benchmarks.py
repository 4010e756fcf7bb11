"""The benchmarks that are programs of their own: of a GPU, on a CPU; of all families, on one."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


def test_a_family_is_compared_with_itself_and_a_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    families = importlib.import_module("families")
    alone, refused = families.run_family("sd3", ["measured", "levels"], ["alone"], device="cpu")
    assert 0 < alone.change < 1e-5
    assert not alone.is_wrong
    assert refused.said.startswith("refused: ")
    assert (refused.is_wrong, refused.change) == (False, None)
    wrong = {"one": np.array([1.0, np.nan]), "other": np.array([10.0, 0.0])}
    assert families.largest_change(wrong, {**wrong, "other": np.array([9.0, 0.5])}) == 0.1
    assert families.Outcome("measured", "group", 0.1).is_wrong
    assert not families.Outcome("measured", "bfloat16", 0.1).is_wrong
    assert families.largest_change(wrong, {**wrong, "one": np.array([1.0, 1.0])}) == np.inf

    monkeypatch.setattr(families, "make_result", lambda *_: [][1])
    (failed,) = families.run_family("sd3", ["measured"], ["alone"], device="cpu")
    assert (failed.is_wrong, failed.change) == (True, None)
    assert failed.said == "failed: IndexError: list index out of range"
