"""Which code and libraries a result depends on."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import otherview

DECIDING_ROOMS = ("study", "models", "passes", "stats", "analysis", "causes", "pocket", "results")
"""Packages that decide the numbers of a result. Views and sweeps only show or schedule it."""
LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "numba", "hydra-core")


@functools.cache
def code_version() -> dict[str, Any]:
    """Return what a result depends on besides its settings: this package's code, and libraries.

    `code` is a hash of the modules in DECIDING_ROOMS.
    """
    return {
        "otherview": otherview.__version__,
        "code": code_hash(*DECIDING_ROOMS)[:16],
        "libraries": {library: version(library) for library in LIBRARIES},
    }


@functools.cache
def code_hash(*rooms: str) -> str:
    """Return a hash of every module in the packages `rooms` of otherview."""
    package = Path(otherview.__file__).resolve().parent
    digest = hashlib.sha256()
    for room in rooms:
        for file in sorted((package / room).rglob("*.py")):
            name = file.relative_to(package).as_posix()
            digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def same_version(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two provenances are of the same code and libraries."""
    return all(one.get(name) == other.get(name) for name in ("code", "libraries"))


def commit() -> str | None:
    """Commit of the checkout that the package runs from, `-dirty` with changes; else None."""
    folder = Path(otherview.__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        described = subprocess.run(
            [
                "git",
                "-C",
                str(folder),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
