"""Hashes of the files of a result, and whether the files still match them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from otherview.disk.atomic import write_json

Stamps = dict[str, list[int]]
"""Size in bytes, modification time and change time (nanoseconds) of files, by name."""


class DamageError(ValueError):
    """A file that is missing or was changed after it was written."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = file, reason


def sealed(content: Mapping[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return `content` with hashes of the files `names` in `folder`, and with its own.

    `files` holds the size in bytes and the SHA-256 of each file, `sha256` that of the rest of
    `content` as compact JSON. Raises OSError if a file cannot be read.
    """
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_hash(folder / name)}
        for name in names
    }
    whole = {**content, "files": files}
    return {**whole, "sha256": json_hash(whole)}


def read_sealed(path: Path, trusted: Stamps) -> tuple[dict[str, Any], Stamps]:
    """Return the JSON object in `path`, and the stamps of `path` and of the files that it names.

    A file whose stamp is the one in `trusted` counts as unchanged; the others are hashed. Raises
    DamageError for the first file that is missing or was changed.
    """
    try:
        stamps = {path.name: stamp(path)}
        content = json.loads(path.read_bytes())
        seal, files = content.pop("sha256"), content["files"]
        if stamps[path.name] != trusted.get(path.name) and seal != json_hash(content):
            raise ValueError("it was changed after it was written")
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"it names {name}, which is outside its folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(path.name, reason_of(error)) from error
    for name, written in files.items():
        try:
            stamps[name] = stamp(path.parent / name)
            if stamps[name] != trusted.get(name):
                check_hash(path.parent / name, written)
        except (OSError, ValueError) as error:
            raise DamageError(name, reason_of(error)) from error
    return content, stamps


def check_hash(path: Path, written: Mapping[str, Any]) -> None:
    """Raise ValueError if a file has another size or SHA-256 than it was written with."""
    size = path.stat().st_size
    if size != written["bytes"]:
        raise ValueError(f"it has {size:,} bytes and was written with {written['bytes']:,}")
    if file_hash(path) != written["sha256"]:
        raise ValueError("it was changed after it was written")


def reason_of(error: Exception) -> str:
    """Return what is wrong with a file, in words that fit after its name."""
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split())[:160] or type(error).__name__


def stamp(path: Path) -> list[int]:
    """Return size and times of a file; every change of it sets the change time."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def settled(stamps: Stamps, written: int) -> Stamps:
    """Return the stamps that were taken before the time `written` of the file that holds them.

    A change in the same tick of the file system's clock would leave a stamp as it is.
    """
    return {name: each for name, each in stamps.items() if each[2] < written}


class VerifiedStamps:
    """Stamps of hashed results, in one file for many results.

    A copied result does not have the stamps that its run wrote; with these it is hashed only once.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._changed = path, False
        self._stamps: dict[str, Stamps] = {}
        self.contents: dict[str, str] = {}
        """What the inputs of results contain, by path: each is looked at once."""
        with suppress(OSError, ValueError, AttributeError, TypeError, LookupError):
            content, written = json.loads(path.read_bytes()), path.stat().st_mtime_ns
            self._stamps = {name: settled(each, written) for name, each in content.items()}

    def of(self, name: str) -> Stamps:
        """Return the stamps of a result by its name, none where it was not hashed before."""
        return self._stamps.get(name, {})

    def put(self, name: str, stamps: Stamps) -> None:
        """Keep the stamps of a result that was hashed and found whole."""
        self._stamps[name], self._changed = stamps, True

    def save(self) -> None:
        """Write the file where anything was put and the place can be written to."""
        if self._changed:
            with suppress(OSError):
                write_json(self._path, self._stamps)
