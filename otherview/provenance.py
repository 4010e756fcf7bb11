"""With which code, libraries and machine a result was made."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import otherview

VIEWS_OF_A_RESULT = (
    "combine",
    "console.py",
    "dashboard.py",
    "figure.py",
    "figures",
    "plan.py",
    "report",
    "sweep",
    "track.py",
    "tracking",
    "views.py",
)
"""Parts of the package that change no number of a result."""
LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "numba", "hydra-core")


def provenance(device: str, model_revision: str) -> dict[str, Any]:
    """Code version, library versions, model revision and machine of this process."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        **code_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "model_revision": model_revision,
        "device": device,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def code_version() -> dict[str, Any]:
    """What a result depends on beside its settings: this package's code, and the libraries.

    `code` is a hash of the package's modules, views apart.
    """
    package = Path(otherview.__file__).resolve().parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] not in VIEWS_OF_A_RESULT:
            digest.update(f"{name.as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return {
        "otherview": otherview.__version__,
        "code": digest.hexdigest()[:16],
        "libraries": {library: version(library) for library in LIBRARIES},
    }


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
