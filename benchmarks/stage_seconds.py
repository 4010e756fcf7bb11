"""`otherview run`, with the seconds of its stages written into a file.

    python benchmarks/stage_seconds.py FILE +experiment=kitchen model=pocket

Nothing is imported before the command does, so that the first stage, "imports", is that of a cold
start: torch, diffusers and the composition of the settings.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class StageSeconds:
    """When the stages of a run report for the first and for the last time."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._reports: dict[str, list[float]] = {}

    def note(self, stage: str, _done: int = 0, _total: int = 0) -> None:
        """Take a report of a stage; a Progress."""
        now = time.perf_counter() - self._start
        self._reports.setdefault(stage, [now]).append(now)

    def text(self) -> str:
        """Return the whole and each stage from the end of the one before to its last report.

        What a stage takes up to its first report, loading of weights for example, is in brackets.
        """
        parts, before = [], 0.0
        for stage, reports in self._reports.items():
            first, last = reports[0] - before, reports[-1] - before
            several = f" (first {first:.3g} s)" if last - first > 1e-3 else ""
            parts.append(f"{stage} {last:.3g} s{several}")
            before = reports[-1]
        return f"{before:.3g} s: {', '.join(parts)}"


def main(file: str, words: list[str]) -> None:
    seconds = StageSeconds()
    from otherview import programs
    from otherview.views import progress_bars

    bars = progress_bars.progress_bars

    @contextmanager
    def noted(*given: Any) -> Iterator[Any]:
        seconds.note("imports")
        with bars(*given) as report:

            def both(*reported: Any) -> None:
                seconds.note(*reported)
                report(*reported)

            yield both
        seconds.note("writing")

    sys.argv[1:] = words
    with mock.patch.object(progress_bars, "progress_bars", noted):
        programs.run()
    seconds.note("tables and page")
    Path(file).write_text(seconds.text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
