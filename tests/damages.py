"""What can happen to the files of a finished point, and what is then said of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from otherview.results.integrity import sealed
from otherview.results.status import write_status


def cut(path: Path, size: int | None = None) -> None:
    path.write_bytes(path.read_bytes()[: size or path.stat().st_size // 2])


def overwrite(path: Path, size: int = 400) -> None:
    """Overwrite `size` bytes in the middle of a file: it keeps its size."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + size):
        content[place] ^= 0xFF
    with path.open("r+b") as stream:
        stream.write(content)


def reseal(path: Path) -> None:
    """Hash again what summary.json or combined.json was edited to on purpose."""
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    path.write_text(json.dumps(sealed(content, path.parent, list(content["files"]))))


def take_responses_of_another(folder: Path) -> None:
    other = next(folder.parent.glob("pocket-placebo-seed0-*"))
    shutil.copy(other / "responses.nc", folder / "responses.nc")


def fail(folder: Path) -> None:
    (folder / "summary.json").unlink()
    write_status(folder, "failed", "out of memory")


def edit_summary(folder: Path) -> None:
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))


def reseed(folder: Path) -> None:
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("\nseed: 0\n", "\nseed: 7\n"))


WHOLE = "repeats pocket-viewpoint-seed0-00000000"
"""Said of a copy that is as good as the point that it repeats."""

DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "responses": (lambda folder: cut(folder / "responses.nc"), "damaged: responses.nc: "),
    "table": (lambda folder: cut(folder / "heads.parquet"), "damaged: heads.parquet: "),
    "summary": (lambda folder: cut(folder / "summary.json"), "damaged: summary.json: "),
    "same-size": (
        lambda folder: overwrite(folder / "responses.nc"),
        "damaged: responses.nc: it was changed after it was written",
    ),
    "same-size-table": (
        lambda folder: overwrite(folder / "nulls.parquet"),
        "damaged: nulls.parquet: it was changed after it was written",
    ),
    "edited": (edit_summary, "damaged: summary.json: it was changed after it was written"),
    "gone": (lambda folder: (folder / "reference.png").unlink(), "damaged: reference.png: it is m"),
    "other": (take_responses_of_another, "damaged: responses.nc: it was changed after"),
    "failed": (fail, "unfinished: failed: out of memory"),
    # Settings are those of summary.json: what becomes of Hydra's copy changes nothing.
    "config": (lambda folder: cut(folder / ".hydra/config.yaml", 200), WHOLE),
    "no-config": (lambda folder: (folder / ".hydra/config.yaml").unlink(), WHOLE),
    "seed": (reseed, WHOLE),
    "whole": (lambda _: None, WHOLE),
}
