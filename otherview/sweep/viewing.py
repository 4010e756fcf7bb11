"""The views of a sweep's points, made so that measuring does not wait for them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.processes import in_processes
from otherview.study.compose import run_settings
from otherview.sweep.points import Point
from otherview.views.making import PAGES, TRACKING, attempt_views, make_views

if TYPE_CHECKING:
    from rich.console import Console

    from otherview.disk.progress import Progress


MIN_PAGES = 3
"""Pages that take about as long to make as another process takes to start."""


@contextmanager
def point_views(
    directory: Path, launcher: Mapping[str, Any], console: Console, report: Progress
) -> Iterator[Callable[[Point], None]]:
    """Yield a function that has the views of a finished point made, after those of the one before.

    They are made in a thread of their own: all of them when the block ends well. When it is left
    otherwise, only the current one is: the others can be made from the files at any time.
    """
    views = (*PAGES, *TRACKING) if launcher.get("pages") else TRACKING
    thread = ThreadPoolExecutor(1, "views")
    made: list[Future[None]] = []

    def make(point: Point) -> None:
        folder, settings = directory / point.folder, run_settings(point.config)
        made.append(thread.submit(make_views, folder, settings, console, views))

    try:
        yield make
        left = [future for future in made if not future.done()]
        for done, _future in enumerate(as_completed(left), 1):
            report("views", done, len(left))
    finally:
        thread.shutdown(cancel_futures=True)


def make_pages(folders: Sequence[Path], report: Progress) -> list[str]:
    """Make the pages of finished points on all cores; return one line for each that failed."""
    workers = min(math.ceil(len(folders) / MIN_PAGES), os.cpu_count() or 1)
    work = partial(attempt_views, settings={}, views=PAGES)
    warnings: list[str] = []
    for done, (_folder, made) in enumerate(in_processes(work, folders, workers)):
        try:
            warnings += made.result()
        except BrokenProcessPool:
            warnings.append("a process that made pages was killed, perhaps for its memory")
        report("pages", done + 1, len(folders))
    return list(dict.fromkeys(warnings))
