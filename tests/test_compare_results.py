"""dev/compare_results.py says what differs between two results, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray

SCRIPT = Path(__file__).resolve().parent.parent / "dev" / "compare_results.py"
T = [1.0, -20.0, 3e-9]


def compare(one: Path, other: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(one), str(other), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def write(folder: Path, dimension: str, prompts: list[str], values: list[float]) -> None:
    """Write `responses.nc` of one item: with steps where conditions are called so."""
    folder.mkdir(parents=True, exist_ok=True)
    stepped = dimension == "condition"
    dims = ("item", dimension, *(["step"] if stepped else []), "head")
    energy = np.array(values, np.float32).reshape((1, -1, *([1] if stepped else []), 1))
    variables = {"head_rms": (dims, energy), "prompt": (dims[:2], [prompts])}
    names = [f"{dimension} {place}" for place in range(len(prompts))]
    roles = ["test" if prompt.startswith("as") else "control" for prompt in prompts]
    coordinates = {"item": ["a cat"], dimension: names, "role": (dimension, roles)}
    xarray.Dataset(variables, coordinates).to_netcdf(folder / "responses.nc", engine="h5netcdf")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A result, and the same from a later version: other names, order, hashes and rounding."""
    one, other = tmp_path / "one" / "p-seed0-0123abcd", tmp_path / "other" / "p-seed0-89abcdef"
    write(one, "wording", ["with a cat", "as a cat"], [1.0, 2.0])
    write(one / "controls" / "pair", "wording", ["with a cat", "by a cat"], [1.0, 7.0])
    write(other, "condition", ["with a cat", "as a cat", "by a cat"], [1.0, 2.00001, 7.0])
    for folder, share, hashed in ((one, 0.0, "0123abcd"), (other, 1e-6, "89abcdef")):
        results = [{"t": 2 + share, "called": 3}]
        summary = {"point": folder.name, "results": results, "provenance": {"at": hashed}}
        (folder / "summary.json").write_text(json.dumps(summary))
        t = [T[0] * (1 + share), T[1], T[2] * (1 + 1e6 * share)]
        pl.DataFrame({"unit": ["a", "b", "c"], "t": t}).write_parquet(folder / "heads.parquet")
    with_more = json.loads((other / "summary.json").read_text()) | {"new": 1}
    (other / "summary.json").write_text(json.dumps(with_more))
    return tmp_path / "one", tmp_path / "other"


def test_rounding_other_names_and_additions_are_no_difference(folders: tuple[Path, Path]) -> None:
    code, text = compare(*folders)
    assert code == 0, text
    assert "+ new" in text
    assert "controls/pair/responses.nc: 5 values, 0 differ" in text
    assert compare(*folders, "--relative", "1e-9")[0] == 1


def test_what_changed_or_is_missing_is_named(folders: tuple[Path, Path]) -> None:
    (result,) = folders[1].iterdir()
    summary = json.loads((result / "summary.json").read_text())
    del summary["results"][0]["called"]
    (result / "summary.json").write_text(json.dumps(summary))
    pl.DataFrame({"unit": ["a", "b", "c"], "t": [1.0, 20.0, None]}).write_parquet(
        result / "heads.parquet"
    )
    write(result, "condition", ["with a cat", "as a cat"], [1.0, 2.1])
    code, text = compare(*folders)
    assert code == 1
    for line in (
        "! results.0.called: missing in B",
        "! t: -20.0 and 20.0 (2 of 3)",
        "! head_rms: 2.0 and 2.0999999",
        "! 'by a cat': missing in B",
    ):
        assert line in text
    (result / "heads.parquet").unlink()
    assert "heads.parquet: 0 values, 1 differ" in compare(*folders)[1]
