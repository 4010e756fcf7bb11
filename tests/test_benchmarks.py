"""The GPU's benchmark, tried on the CPU with a small config: it runs, and measures what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_gpu_benchmark_runs_on_a_cpu_with_a_small_config(tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parent.parent
    file = tmp_path / "figures.json"
    arguments = ["--small", "--rounds", "1", "--items", "2", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, str(checkout / "benchmarks" / "gpu.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure["measured"] for figure in json.loads(file.read_text())}
    for side in (64, 128):
        assert float(figures[f"small at {side}: forward with capture / without"]) > 0.5
        assert float(figures[f"small at {side}: whole study / limit"]) > 0.1
        assert float(figures[f"small at {side}: plain script / whole study"]) > 0.1
        share = figures[f"small at {side}: share of peak, native attention, eager, batch 4"]
        assert 0 < float(share.rstrip("%")) < 100
    assert "heads cross |t| = 3" in figures["small at 64: change of t, bfloat16 against float32"]
