"""Tensors in a file that is whole, checked, and of one key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.atomic import replacing

if TYPE_CHECKING:
    from torch import Tensor


def content_key(**content: Any) -> str:
    """64 hexadecimal digits of `content`, which must be plain JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_tensors(path: Path, key: str, tensors: Mapping[str, Tensor]) -> int:
    """Writes host `tensors` as safetensors with `key` and a checksum; returns the bytes written.

    Raises OSError where it cannot, and then leaves nothing.
    """
    from safetensors.torch import save

    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    header = {"key": key, "sha256": hashlib.sha256(_data(save(whole))[1]).hexdigest()}
    content = save(whole, metadata=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def read_tensors(path: Path, key: str) -> dict[str, Tensor] | None:
    """The tensors of `key` in `path`; None where the file is absent, damaged or of another key.

    The file is read and not mapped: another process may remove it while its tensors are in use,
    which a network file system punishes with a bus error.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        header, data = _data(content)
        if header.get("key") != key or header.get("sha256") != hashlib.sha256(data).hexdigest():
            return None
        return load(content)
    except (OSError, ValueError, AttributeError, SafetensorError):
        return None


def _data(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Metadata and raw tensors of a safetensors file; raises ValueError where it is none."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    return header.get("__metadata__") or {}, memoryview(content)[start:]
