"""Tensors in a file that is complete, checked, and belongs to one key."""

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
    """Return 64 hexadecimal digits of `content`, which must be plain JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_tensors(path: Path, key: str, tensors: Mapping[str, Tensor]) -> int:
    """Write `tensors` as safetensors with `key` and a checksum; return the bytes written.

    Raises OSError, and then leaves no file.
    """
    from safetensors.torch import save

    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {"key": key, "sha256": hashlib.sha256(header_and_data(save(whole))[1]).hexdigest()}
    content = save(whole, metadata=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def read_tensors(path: Path, key: str) -> dict[str, Tensor] | None:
    """Return the tensors of `key` in `path`; None if it is absent, damaged or of another key.

    The file is read and not mapped: if another process removed a mapped file on a network file
    system, using its tensors would end in a bus error.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        header, data = header_and_data(content)
        if header.get("key") != key or header.get("sha256") != hashlib.sha256(data).hexdigest():
            return None
        return load(content)
    except (OSError, ValueError, AttributeError, SafetensorError):
        return None


def header_and_data(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return metadata and raw tensors of a safetensors file. Raises ValueError for other files."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    return header.get("__metadata__") or {}, memoryview(content)[start:]
