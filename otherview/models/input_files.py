"""The user's own files that decide a result, and whether they are as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otherview.disk.file_content import content_of
from otherview.models.weights import shipped_or_own, weights_identity

Input = dict[str, str]
"""`path` of a file or folder, the same from any directory, and a hash of its `content`."""


def as_input(path: str) -> Input:
    """Return a file or folder that a setting names, as it is now."""
    named = path if path.startswith("otherview:") else str(Path(path).absolute())
    return {"path": named, "content": input_content(shipped_or_own(path))}


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
            contents[name] = input_content(path) if path.exists() else ""
        if contents[name] not in ("", written["content"]):
            return f"{setting}={name} was changed after the result was made"
    return ""


def input_content(path: Path) -> str:
    """Return a hash of the content of a file, or of a folder (of a pipeline, its parts)."""
    if path.is_dir():
        return weights_identity(path, times=True)
    return f"sha256:{content_of(path, times=True)}"
