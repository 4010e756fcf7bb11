"""What can happen to the files of a finished point, and what is then said of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from otherview.results.writing import write_status


def cut(path: Path, size: int | None = None) -> None:
    path.write_bytes(path.read_bytes()[: size or path.stat().st_size // 2])


def take_another_s_responses(folder: Path) -> None:
    other = next(folder.parent.glob("pocket-placebo-seed0-*"))
    shutil.copy(other / "responses.nc", folder / "responses.nc")


def fail(folder: Path) -> None:
    (folder / "summary.json").unlink()
    write_status(folder, "failed", "out of memory")


def reseed(folder: Path) -> None:
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("\nseed: 0\n", "\nseed: 7\n"))


def end_earlier(folder: Path) -> None:
    """Cut the config so that it still is one: its line on splits is gone, which have a default."""
    path = folder / ".hydra" / "config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "splits: 2" not in line))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "responses": (lambda folder: cut(folder / "responses.nc"), "damaged: responses.nc: "),
    "table": (lambda folder: cut(folder / "heads.parquet"), "damaged: heads.parquet: "),
    "summary": (lambda folder: cut(folder / "summary.json"), "damaged: summary.json: "),
    "config": (
        lambda folder: cut(folder / ".hydra/config.yaml", 200),
        "damaged: .hydra/config.yaml: ",
    ),
    "no-config": (
        lambda folder: (folder / ".hydra/config.yaml").unlink(),
        "damaged: .hydra/config.yaml: No such file",
    ),
    "other": (take_another_s_responses, "damaged: responses.nc: the mean difference of "),
    "seed": (reseed, "damaged: summary.json is not of .hydra/config.yaml: seed is 0 and not 7"),
    "shorter": (end_earlier, "damaged: summary.json is not of .hydra/config.yaml: nulls.splits"),
    "failed": (fail, "unfinished: failed: out of memory"),
    "whole": (lambda _: None, "repeats pocket-viewpoint-seed0-00000000"),
}
