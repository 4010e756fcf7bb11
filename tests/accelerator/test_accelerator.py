"""Studies on a device of torch that is not the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

in_python = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@pytest.mark.skipif(not in_python, reason="this torch registers no device in Python")
def test_studies_on_an_accelerator_give_the_numbers_of_the_cpu(tmp_path: Path) -> None:
    """In a process of its own, whose torch has another accelerator until it ends."""
    cases = Path(__file__).with_name("cases.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(cases), "-p", "no:cacheprovider", "-p", "no:xdist",
         "--basetemp", str(tmp_path / "cases")],
        capture_output=True, text=True, check=False, cwd=cases.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    assert "passed" in done.stdout
