"""The views of a sweep's points, made where the measuring does not wait for them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.study.compose import run_settings
from otherview.sweep.points import Point
from otherview.views.making import PAGES, TRACKING, attempt_views, make_views

if TYPE_CHECKING:
    from rich.console import Console

    from otherview.disk.progress import Progress

PAGE = "report.html"


class PointViews:
    """Makes views one point after the other, in a thread beside the one that measures."""

    def __init__(self, directory: Path, launcher: Mapping[str, Any], console: Console) -> None:
        self._directory, self._console = directory, console
        self._views = (*PAGES, *TRACKING) if launcher.get("pages") else TRACKING
        self._thread = ThreadPoolExecutor(1, "views")
        self._made: list[Future[None]] = []

    def add(self, point: Point) -> None:
        """Has the views of a finished point made when those before are."""
        folder, settings = self._directory / point.folder, run_settings(point.config)
        self._made.append(
            self._thread.submit(make_views, folder, settings, self._console, self._views)
        )

    def finish(self, report: Progress) -> None:
        """Waits for all of them."""
        left = [future for future in self._made if not future.done()]
        for done, _ in enumerate(as_completed(left)):
            report("views", done + 1, len(left))
        self._thread.shutdown()

    def abandon(self) -> None:
        """Waits for the one in hand only; the others can be made from the files at any time."""
        self._thread.shutdown(cancel_futures=True)


@contextmanager
def views_beside(
    directory: Path, launcher: Mapping[str, Any], console: Console, report: Progress
) -> Iterator[PointViews]:
    """Views that are all made when the block ends well, and given up when it is left otherwise."""
    views = PointViews(directory, launcher, console)
    try:
        yield views
        views.finish(report)
    finally:
        views.abandon()


def make_pages(folders: Sequence[Path], report: Progress) -> list[str]:
    """Makes the pages of finished points on all cores; returns a line for each that failed."""
    workers = min(len(folders), os.cpu_count() or 1)
    spawn = multiprocessing.get_context("spawn")
    warnings: list[str] = []
    with ProcessPoolExecutor(workers, spawn) as processes:
        made = [processes.submit(attempt_views, folder, {}, PAGES) for folder in folders]
        for done, future in enumerate(as_completed(made)):
            warnings += future.result()
            report("pages", done + 1, len(made))
    return warnings
