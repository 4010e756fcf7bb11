"""The user's own files that decide a result, and whether they are as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from otherview.models.weights import PARTS, shipped_or_own

MAX_READ = 64 << 20
"""Bytes up to which a file is read whole. Of a larger one its ends and its time are compared."""
WINDOW = 1 << 20
"""Bytes of each end of a larger file."""

Input = dict[str, str]
"""`path` of a file or folder, the same from any directory, and a hash of its `content`."""


def as_input(path: str | None) -> Input | None:
    """Return a file or folder that a setting names, as it is now; None if the setting is None."""
    if path is None:
        return None
    named = path if path.startswith("otherview:") else str(Path(path).absolute())
    return {"path": named, "content": content_of(shipped_or_own(path))}


def changed_input(
    inputs: Mapping[str, Mapping[str, Any]], contents: dict[str, str] | None = None
) -> str:
    """Return which of `inputs`, by setting, has other content now; empty if none is known to.

    A path that is not there says nothing: the result may have been copied to another machine.
    `contents` holds what paths were found to contain, and gets those that are looked at.
    """
    contents = {} if contents is None else contents
    for setting, written in inputs.items():
        name = str(written["path"])
        if name not in contents:
            path = shipped_or_own(name)
            contents[name] = content_of(path) if path.exists() else ""
        if contents[name] not in ("", written["content"]):
            return f"{setting}={name} was changed after the result was made"
    return ""


def content_of(path: Path) -> str:
    """Return a hash of the content of a file, or of a pipeline's folder."""
    if not path.is_dir():
        return f"sha256:{file_content(path)}"
    parts = [path / "model_index.json", *(f for part in PARTS for f in (path / part).rglob("*"))]
    digest = hashlib.sha256()
    for file in sorted(part for part in parts if part.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file_content(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def file_content(path: Path) -> str:
    """Return a hash of a file, computed again only where the file was touched."""
    try:
        found = path.stat()
        return hash_of(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except OSError as error:
        return f"unreadable: {error.strerror}"


@lru_cache(maxsize=4096)
def hash_of(path: Path, size: int, modified: int, _changed: int) -> str:
    if size <= MAX_READ:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256(f"{size} {modified}\n".encode())
    with path.open("rb") as stream:
        digest.update(stream.read(WINDOW))
        stream.seek(size - WINDOW)
        digest.update(stream.read(WINDOW))
    return digest.hexdigest()
