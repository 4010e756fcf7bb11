"""The cache of compiled kernels: it is used, and its files may be damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
from otherview.stats.saddlepoint import chernoff_exponent, contour_tail, saddlepoint
weights = np.arange(1.0, 4.0)
theta = saddlepoint(weights, 2.0)
print(chernoff_exponent(weights, 2.0, theta) < 0, round(contour_tail(weights, 2.0, theta), 2))
"""
"""Three kernels that are compiled in a second: one damaged in each way."""
SAID = "True 0.31\n"  # 2 of 8 sums are larger than 2, and one is equal
WHOLE = f"""{PROGRAM}
from otherview.stats import sign_flip_test
print(sign_flip_test(np.random.default_rng(0).normal(size=(9, 4)), flips=64).critical_t)
"""


def run(cache: Path, program: str = PROGRAM) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache that one process filled with all kernels, and what that printed."""
    folder = tmp_path_factory.mktemp("compiled")
    return folder, run(folder, WHOLE)


def test_a_second_process_compiles_nothing(compiled: tuple[Path, str]) -> None:
    cache, printed = compiled
    files = {file: file.read_bytes() for file in cache.rglob("*.nb?")}
    assert any("tally" in file.name for file in files)
    assert run(cache, WHOLE) == printed
    assert {file: file.read_bytes() for file in cache.rglob("*.nb?")} == files


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
def test_a_damaged_file_is_compiled_again_and_replaced(
    compiled: tuple[Path, str], tmp_path: Path, suffix: str
) -> None:
    cache = shutil.copytree(compiled[0], tmp_path / "cache")
    files = sorted(cache.rglob(f"*{suffix}"))
    assert len(files) > 3
    for place, file in enumerate(files):
        content = file.read_bytes()
        file.write_bytes([b"", content[: len(content) // 2], b"no kernel"][place % 3])
    damaged = {file: file.read_bytes() for file in files}
    assert run(cache) == SAID
    assert any(file.exists() and file.read_bytes() != damaged[file] for file in files)
    assert run(cache) == SAID


def test_a_cache_that_cannot_be_written_any_more_costs_time_alone(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    lost = f"""
import pathlib, shutil
shutil.rmtree({str(cache)!r})
pathlib.Path({str(cache)!r}).write_text("no folder")
print("""
    assert run(cache, PROGRAM.replace("\nprint(", lost)) == SAID
    assert cache.is_file()
