"""Studies on a device of torch that is not the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

from tests.accelerator import DEVICE

in_python = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@pytest.mark.skipif(not in_python, reason="this torch registers no device in Python")
def test_studies_on_an_accelerator_give_the_numbers_of_the_cpu(tmp_path: Path) -> None:
    """In a process of its own, whose torch has another accelerator until it ends."""
    run_cases(tmp_path, {})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_studies_on_a_gpu_give_the_numbers_of_the_cpu_to_float32(tmp_path: Path) -> None:
    run_cases(tmp_path, {DEVICE: "cuda"})


def run_cases(folder: Path, environment: dict[str, str]) -> None:
    cases = Path(__file__).with_name("cases.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(cases), "-p", "no:cacheprovider", "-p", "no:xdist",
         "--basetemp", str(folder / "cases")],
        capture_output=True, text=True, check=False, cwd=cases.parents[2],
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    assert "passed" in done.stdout
