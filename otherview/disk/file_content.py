"""What a file holds, as a hash that is quick also for gigabytes of weights."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

MAX_READ = 64 << 20
"""Bytes up to which a file is read whole. Of a larger one, size and both ends are compared."""
WINDOW = 1 << 20
"""Bytes of each end of a larger file."""


def content_of(path: Path, *, times: bool = False) -> str:
    """Return a hash of a file's content, computed again only where the file was touched.

    With `times` that of a file too large to read includes its modification time, which tells files
    apart that differ only in the middle.
    """
    try:
        found = path.stat()
        return hash_of(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, times)
    except OSError as error:
        return f"unreadable: {error.strerror}"


@lru_cache(maxsize=4096)
def hash_of(path: Path, size: int, modified: int, _changed: int, times: bool) -> str:
    if size <= MAX_READ:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256(f"{size} {modified if times else ''}\n".encode())
    with path.open("rb") as stream:
        digest.update(stream.read(WINDOW))
        stream.seek(size - WINDOW)
        digest.update(stream.read(WINDOW))
    return digest.hexdigest()
