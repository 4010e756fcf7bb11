"""With which code, libraries and machine a result was made."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import otherview

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "numba", "hydra-core")


def provenance(device: str, model_revision: str) -> dict[str, Any]:
    """Code version, library versions, model revision and machine of this process."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "otherview": otherview.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in LIBRARIES},
        "model_revision": model_revision,
        "device": device,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


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
