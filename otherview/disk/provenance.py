"""With which code, libraries and machine a result was made."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from otherview.disk.fingerprint import code_version, commit


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
