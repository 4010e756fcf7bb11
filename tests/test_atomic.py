"""Files are whole or absent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from otherview.disk.atomic import replacing, write_json


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_json(target, {"a": 1})
    before = target.read_text()

    def fail_halfway() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert target.read_text() == before
    assert list(tmp_path.iterdir()) == [target]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"t": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_file_also_where_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only disk, to remove a file that was never made fails with another error."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        write_json(tmp_path / "summary.json", {})
    assert caught.value.filename == str(tmp_path / "summary.json")
