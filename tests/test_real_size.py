"""The benchmark of real size on pocket's architecture: seeds, resuming, what is absent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FILE = "diffusion_pytorch_model.safetensors"
CHECKOUT = Path(__file__).resolve().parent.parent


def real_size(out: Path, *arguments: str) -> list[dict[str, Any]]:
    """Finished studies after a run of the benchmark with outputs in `out`."""
    program = [sys.executable, str(CHECKOUT / "benchmarks" / "real_size.py"), "--small"]
    tiny = ["--size", "64", "--text-length", "32", "--creatures", "4"]
    file = out.with_suffix(".json")
    done = subprocess.run(
        [*program, *tiny, "--out", str(out), "--json", str(file), *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(file.read_text())["random_weights"]
    return rows


def test_it_goes_on_where_it_was_and_a_seed_decides_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "runs" / "weights"
    one, other = (weights / f"random_pocket_seed{seed}" for seed in (0, 1))
    nouns = ["--studies", "nouns"]

    (first,) = real_size(tmp_path / "runs", "--seeds", "0", *nouns, "--keep")
    assert (first["seed"], first["study"], first["items"], first["wordings"]) == (0, "nouns", 4, 16)
    summary = next((tmp_path / "runs").glob("random_pocket_seed0/nouns-*/summary.json"))
    assert first["results"] == json.loads(summary.read_text())["results"]

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
