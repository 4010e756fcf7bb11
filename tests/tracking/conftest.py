"""One small result, and a server that it can be sent to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import SHORT, Once, Program
from tests.damages import reseal
from tests.tracking.loopback import KEY, Loopback, loopback_server

ROWS = 16_320


@pytest.fixture(scope="session")
def result(program: Program, once: Once) -> Path:
    """A run of four creatures with four wordings per role, and as many slices as Klein 4B has."""
    wordings = [f"Render this kitchen in the {noun} of {{creature}}" for noun in "abcdefgh"]

    def make(folder: Path) -> None:
        done = program(
            "run", "+experiment=kitchen", "model=pocket", "tracking=off", "seed=3", SHORT,
            "capture.keep=[energy,mean]", "creatures.items=[a cat,an owl,an ant,a fly]",
            f"hydra.run.dir={folder}", "templates.name=mine",
            "templates.test=" + str(wordings[:4]), "templates.control=" + str(wordings[4:]),
            cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        slices = pl.read_parquet(folder / "slices16.parquet")
        many = slices.sample(ROWS, with_replacement=True, seed=0)
        many.write_parquet(folder / "slices16.parquet")
        reseal(folder / "summary.json")

    return once("tracked", make)


@pytest.fixture(scope="session", autouse=True)
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One place for matplotlib's list of fonts: in a home of a test's own it is made anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("fonts")))
        yield


@pytest.fixture
def folder(result: Path, tmp_path: Path) -> Path:
    """A copy of the result, with few slices."""
    copied = tmp_path / "copied"
    shutil.copytree(result, copied)
    slices = pl.read_parquet(copied / "slices16.parquet")
    slices.head(20).write_parquet(copied / "slices16.parquet")
    reseal(copied / "summary.json")
    return copied


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    """A server, and an environment in which wandb knows it, its key, and no home of a user."""
    with loopback_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        yield server
