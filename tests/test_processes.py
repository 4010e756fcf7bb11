"""Processes that work for another one end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otherview.disk.atomic import replacing
from otherview.disk.interruption import interruptible
from otherview.disk.processes import in_processes

ROOT = Path(__file__).parents[1]


def hold(fifo: Path) -> None:
    """Begin a file, say so in `fifo`, and keep both open for ever."""
    with fifo.open("w") as stream, replacing(fifo.with_name("file.json")) as temporary:
        temporary.write_text("{")
        stream.write("x")
        stream.flush()
        signal.pause()


def main() -> int:
    """Start four parts in two processes, as a command does that has read a table before."""
    import polars  # noqa: F401  # changes what Ctrl-C does

    try:
        with interruptible():
            list(in_processes(hold, [Path(sys.argv[1])] * 4, 2))
    except KeyboardInterrupt:
        return 130
    return 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_processes_end_with_the_one_that_started_them(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(fifo)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        with fifo.open("rb", buffering=0) as stream:
            assert stream.read(1) + stream.read(1) == b"xx"
            process.send_signal(number)
            assert process.wait() == code
            assert stream.read() == b""  # all that had it open are gone, and no other began
        assert list(tmp_path.iterdir()) == [fifo]
        assert "Traceback" not in process.stderr.read()


if __name__ == "__main__":
    sys.exit(main())
