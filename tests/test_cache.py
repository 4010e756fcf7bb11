"""What is kept on disk: it changes no bit, and neither damage nor company hurts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from otherview.models import denoiser_loading, weights
from otherview.models.cache import Cache, cache_folder, open_cache
from otherview.passes.measure import measure
from otherview.passes.session import Session
from otherview.study import Study
from otherview.study.errors import StudyError

KIBIBYTE = 1 << 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tensors"


def test_a_second_run_encodes_nothing_and_gives_the_same_bits(
    small_study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", "off")
    without = measure(small_study).responses
    assert not folder.exists()
    monkeypatch.setenv("OTHERVIEW_CACHE", str(folder.parent))
    cold = measure(small_study).responses
    entries = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(entries) == 3  # a batch a wording, and the reference latents
    monkeypatch.setattr(denoiser_loading, "load_text_encoder", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(
        "otherview.passes.session.encode_references", lambda *_: pytest.fail("encoded")
    )
    warm = measure(small_study).responses
    for responses in (cold, warm):
        np.testing.assert_array_equal(responses.energy, without.energy)
        np.testing.assert_array_equal(responses.text_distance, without.text_distance)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda _: b"", lambda _: b"\xff" * 64])
def test_a_damaged_entry_is_made_again(
    small_study: Study, folder: Path, damage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Session(small_study.model).encodings(small_study)
    for path in folder.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    again = Session(small_study.model).encodings(small_study)
    monkeypatch.setattr(
        denoiser_loading, "load_text_encoder", lambda *_: pytest.fail("not written again")
    )
    found = Session(small_study.model).encodings(small_study)
    for encodings in (again, found):
        assert all(map(torch.equal, whole.embeddings, encodings.embeddings))


def test_other_weights_and_batches_are_other_entries(
    small_study: Study, folder: Path, tmp_path: Path
) -> None:
    assert small_study.model.path is not None
    for name in ("copied", "changed"):
        shutil.copytree(weights.shipped_or_own(small_study.model.path), tmp_path / name)
    encoder = tmp_path / "changed" / "text_encoder" / "model.safetensors"
    middle = encoder.stat().st_size // 2
    content = encoder.read_bytes()
    encoder.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    models = [
        small_study.model,
        replace(small_study.model, path=str(tmp_path / "copied")),
        replace(small_study.model, path=str(tmp_path / "changed")),
        replace(small_study.model, text_length=256),
        replace(small_study.model, batch_size=2),
        replace(small_study.model, dtype="bfloat16"),
    ]
    entries = []
    for model in models:
        Session(model).encodings(replace(small_study, model=model))
        entries.append(len(list(folder.iterdir())))
    assert entries == [2, 2, 4, 6, 10, 12]


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "tensors", 10 * KIBIBYTE)
    ticks = ticking(tmp_path / "tensors")
    for number in range(4):
        cache.put({"values": torch.full((2 * KIBIBYTE,), number, dtype=torch.uint8)}, n=number)
        next(ticks)
    assert cache.get(n=0) is not None
    next(ticks)
    cache.put({"values": torch.zeros(2 * KIBIBYTE, dtype=torch.uint8)}, n=4)
    assert [n for n in range(5) if cache.get(n=n) is None] == [1]
    assert sum(path.stat().st_size for path in (tmp_path / "tensors").iterdir()) < 10 * KIBIBYTE
    cache.put({"values": torch.zeros(20 * KIBIBYTE, dtype=torch.uint8)}, n=5)
    assert cache.get(n=5) is None  # larger than all that may be kept


def ticking(folder: Path) -> Iterator[None]:
    """Ages every file by a second, since the clock of a file system can be coarse."""
    while True:
        for path in folder.iterdir():
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
        yield


WORKER = """
import sys, torch
from pathlib import Path
from otherview.models.cache import Cache
cache, found = Cache(Path(sys.argv[1]), 40 << 10), 0
for step in range(300):
    number = step * 7 % 20
    kept = cache.get(number=number)
    if kept is None:
        cache.put({"values": torch.full((4096,), number, dtype=torch.uint8)}, number=number)
    else:
        found += 1
        assert kept["values"].eq(number).all()
print(found)
"""


def test_processes_share_a_folder_while_entries_come_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "tensors"
    command = [sys.executable, "-c", WORKER, str(folder)]
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        printed, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
        assert errors == ""
        assert 0 <= int(printed) < 300
    left = list(folder.iterdir())
    assert 0 < sum(path.stat().st_size for path in left) <= 48 << 10
    assert all(path.suffix == ".safetensors" and path.name[0] != "." for path in left)


def test_a_folder_that_cannot_be_written_costs_a_warning_only(
    small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path / "file"))
    session = Session(small_study.model)
    with pytest.warns(UserWarning, match="nothing is cached for later studies") as warned:
        session.encodings(small_study)
    assert len(warned) == 1


def test_the_environment_says_where_and_how_much(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", "off")
    assert open_cache().folder is None
    monkeypatch.delenv("OTHERVIEW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "otherview"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "otherview"
    monkeypatch.setenv("OTHERVIEW_CACHE_GIB", "plenty")
    with pytest.raises(StudyError, match="OTHERVIEW_CACHE_GIB=plenty is not a size in GiB"):
        open_cache()
