"""A cache on disk of text encodings, reference latents and drawn reference images.

The key of an entry is a hash of everything that decides its bits, so a result is the same whether
it comes from here or is computed again. docs/performance.md describes its folder and its
size (`OTHERVIEW_CACHE`, `OTHERVIEW_CACHE_GIB`).
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.atomic import remove_partial
from otherview.disk.fingerprint import code_hash, code_version, device_name
from otherview.disk.tensor_files import content_key, read_tensors, write_tensors
from otherview.study.errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_GIB = 20.0
"""Maximal total size of the entries."""
KEPT_AFTER_EVICTION = 0.9
"""Share of that size to which entries are reduced once it is exceeded."""
ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished file counts as that of a killed writer."""
CODE = ("models", "passes", "study")
"""Packages whose code decides the bits of an entry."""


class Cache:
    """Entries on disk by key; several processes may use one folder at once.

    A damaged entry counts as absent. Beyond `max_bytes`, the least recently used ones are removed.
    """

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        """`folder` is created by the first write; None keeps nothing."""
        self.folder = folder
        self._max_bytes = max_bytes
        self._bytes: int | None = None

    def get(self, **content: Any) -> dict[str, Tensor] | None:
        """Return the tensors of `content`, or None."""
        if self.folder is None:
            return None
        key = content_key(**content)
        path = self._path(key)
        tensors = read_tensors(path, key)
        if tensors is not None:
            with suppress(OSError):  # removed meanwhile, or in a folder of another user
                os.utime(path)
        return tensors

    def put(self, tensors: Mapping[str, Tensor], **content: Any) -> None:
        """Keep `tensors` under `content`; warn once where the folder cannot be written to."""
        if self.folder is None or sum(t.nbytes for t in tensors.values()) > self._max_bytes:
            return
        key = content_key(**content)
        try:
            written = write_tensors(self._path(key), key, tensors)
            self._bytes = None if self._bytes is None else self._bytes + written
            if self._bytes is None or self._bytes > self._max_bytes:
                self._evict()
        except OSError as error:
            warnings.warn(
                f"nothing is cached for later studies: {self.folder} is not writable "
                f"({error.strerror}); set OTHERVIEW_CACHE to another folder or to off",
                stacklevel=2,
            )
            self.folder = None

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.safetensors"

    def _evict(self) -> None:
        """Count the entries, and remove the least recently used ones if there are too many."""
        assert self.folder is not None
        remove_partial(self.folder, time.time() - ABANDONED)
        entries = []
        for path in self.folder.glob("*.safetensors"):
            if path.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        if total > self._max_bytes:
            for _, size, path in sorted(entries):
                if total <= KEPT_AFTER_EVICTION * self._max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size
        self._bytes = total


def open_cache() -> Cache:
    """Return the cache that the environment names. Raises StudyError for an invalid size."""
    folder = cache_folder()
    asked = os.environ.get("OTHERVIEW_CACHE_GIB", str(DEFAULT_GIB))
    try:
        gibibytes = float(asked)
        if not 0 <= gibibytes < float("inf"):
            raise ValueError
    except ValueError:
        raise StudyError(
            f"OTHERVIEW_CACHE_GIB={asked} is not a size in GiB: give a number such as 20"
        ) from None
    return Cache(folder and folder / "tensors", int(gibibytes * 2**30))


def cache_folder() -> Path | None:
    """Return `OTHERVIEW_CACHE`, or the user's cache folder; None if it is `off` or nowhere."""
    asked = os.environ.get("OTHERVIEW_CACHE")
    if asked == "off":
        return None
    if asked:
        return Path(asked).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "otherview"
    try:
        return Path.home() / ".cache" / "otherview"
    except RuntimeError:  # a user without a home, as in some containers
        return None


def arithmetic(device: str) -> list[Any]:
    """Return what decides the last digits apart from weights and inputs, as plain JSON."""
    import torch

    machine = (
        [platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
        if device.startswith("cpu")
        else [device_name(device), torch.version.cuda]
    )
    return [
        device.split(":")[0],
        *machine,
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        code_version()["libraries"],
        code_hash(*CODE),
    ]
