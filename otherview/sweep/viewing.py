"""The views of a sweep's points, made so that measuring does not wait for them."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.study.compose import run_settings
from otherview.sweep.points import Point
from otherview.views.making import PAGES, TRACKING, attempt_views, make_views

if TYPE_CHECKING:
    from rich.console import Console

    from otherview.disk.progress import Progress


MIN_PAGES = 3
"""Pages that take about as long to make as another process takes to start."""


class PointViews:
    """Make views one point after the other, in a thread of its own, while points are measured.

    All are made when the block ends well. When it is left otherwise, only the current one is: the
    others can be made from the files at any time.
    """

    def __init__(
        self, directory: Path, launcher: Mapping[str, Any], console: Console, report: Progress
    ) -> None:
        self._directory, self._console, self._report = directory, console, report
        self._views = (*PAGES, *TRACKING) if launcher.get("pages") else TRACKING
        self._thread = ThreadPoolExecutor(1, "views")
        self._made: list[Future[None]] = []

    def __enter__(self) -> PointViews:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        try:
            left = [future for future in self._made if not future.done()] if error is None else []
            for done, _future in enumerate(as_completed(left)):
                self._report("views", done + 1, len(left))
        finally:
            self._thread.shutdown(cancel_futures=True)

    def add(self, point: Point) -> None:
        """Have the views of a finished point made when those before are."""
        folder, settings = self._directory / point.folder, run_settings(point.config)
        self._made.append(
            self._thread.submit(make_views, folder, settings, self._console, self._views)
        )


def make_pages(folders: Sequence[Path], report: Progress) -> list[str]:
    """Make the pages of finished points on all cores; return one line for each that failed."""
    workers = min(math.ceil(len(folders) / MIN_PAGES), os.cpu_count() or 1)
    spawn = multiprocessing.get_context("spawn")
    warnings: list[str] = []
    with ProcessPoolExecutor(workers, spawn) as processes:
        made = [processes.submit(attempt_views, folder, {}, PAGES) for folder in folders]
        for done, future in enumerate(as_completed(made)):
            try:
                warnings += future.result()
            except BrokenProcessPool:
                warnings.append("a process that made pages was killed, perhaps for its memory")
            report("pages", done + 1, len(made))
    return list(dict.fromkeys(warnings))
