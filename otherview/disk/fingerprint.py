"""Which code, libraries and machine made a result."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import otherview

DECIDING_ROOMS = ("study", "models", "passes", "stats", "analysis", "causes", "pocket", "results")
"""Packages that decide the numbers of a result. Views and sweeps only show or schedule it."""
LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "numba", "hydra-core")
OPTIONAL_LIBRARIES = ("torchvision",)
"""Where it is installed, transformers has it resize the pictures that a text encoder reads."""


@functools.cache
def code_version() -> dict[str, Any]:
    """Return what a result depends on besides its settings: this package's code, and libraries.

    `code` is a hash of the modules in DECIDING_ROOMS.
    """
    found = {library: version(library) for library in LIBRARIES}
    for library in OPTIONAL_LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    return {
        "otherview": otherview.__version__,
        "code": code_hash(*DECIDING_ROOMS)[:16],
        "libraries": found,
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
    """Return whether two provenances have the same code and libraries."""
    return all(one.get(name) == other.get(name) for name in ("code", "libraries"))


def version_changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in which versions `other` differs from `one`: torch 2.8.0 instead of 2.9.0."""
    before, now = one.get("libraries", {}), other.get("libraries", {})
    changes = [
        f"{name} {now.get(name)} instead of {before.get(name)}"
        for name in {**before, **now}
        if now.get(name) != before.get(name)
    ]
    return ", ".join(changes + ["other code of otherview"] * (one.get("code") != other.get("code")))


def commit() -> str | None:
    """Return the commit of the checkout that the package runs from; None outside a checkout.

    It ends in `-dirty` if there are uncommitted changes.
    """
    folder = Path(otherview.__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        described = subprocess.run(
            [*git, "--exclude=*"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def device_name(device: str) -> str:
    """Return the name of an accelerator's model, or the machine's architecture."""
    import torch

    named = getattr(torch.get_device_module(device), "get_device_name", None)
    return platform.machine() if named is None else str(named(device))


def provenance(device: str, model_revision: str) -> dict[str, Any]:
    """Return code version, library versions, model revision, machine and time of this process."""
    import torch

    return {
        **code_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "model_revision": model_revision,
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
