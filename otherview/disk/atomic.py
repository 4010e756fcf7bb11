"""Files that are complete or absent."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces `path` if the block succeeds.

        with replacing(folder / "summary.json") as temporary:
            temporary.write_text(text)

    After an error the temporary file is gone and `path` is unchanged. Processes on any machine can
    write the same path at once: the content of the last one stays. An OSError names `path`.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.partial{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None or Path(error.filename) != temporary:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # on a read-only disk it fails, too, and would hide the first error
            temporary.unlink()


def remove_partial(folder: Path, before: float) -> None:
    """Remove what killed writers left in `folder` before the time `before` (seconds)."""
    for path in folder.glob(".*.partial*"):
        with suppress(FileNotFoundError):  # another process did
            if path.stat().st_mtime < before:
                path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON. Raises ValueError for NaN and infinity."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
