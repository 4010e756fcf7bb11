"""The page of a sweep while it runs, served to this machine alone: otherview sweep watch DIR

Files are read when a browser asks, and nothing is written into the sweep: it neither waits for its
page nor knows of it.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from otherview.results.reader import read_result
from otherview.results.state import SUMMARY, Kind, ResultState, state_of
from otherview.study.errors import UserError
from otherview.sweep.following import LOOK_INTERVAL_S, Standing, look
from otherview.views.making import PAGE
from otherview.views.numbers import count, plural
from otherview.views.sweep_points import (
    MAX_ROWS,
    Cell,
    PointRow,
    detail_of,
    own_folders,
    page_link,
    point_figures,
    point_list,
    study_settings,
    sweep_commands,
)

RELOAD_S = 10
"""Seconds after which a page asks again, while points run or wait."""
TRACEBACK = "traceback.txt"
LOOPBACK = "127.0.0.1"
MAX_WAIT_S = 10
"""Seconds after which a connection that says nothing is closed."""
Answer = tuple[HTTPStatus, str, str]
"""Status, media type and text."""


class SweepWatch(ThreadingHTTPServer):
    """Serve the page of the sweep in `directory`, and the pages of its points, on the loopback.

    Every address begins with a secret, as other users of a machine can reach its loopback too.
    """

    daemon_threads = True

    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.secret = secrets.token_urlsafe(16)
        self._directory = directory
        self._page, self._again_at = "", float("-inf")
        self._known: set[str] = set()
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/{self.secret}/"

    def answer(self, path: str) -> Answer:
        """Return what to send for a path: pages of this sweep, and nothing else of the disk."""
        secret, _, name = path.removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), self.secret.encode()):
            return HTTPStatus.NOT_FOUND, "text/plain", "not found"
        with self._lock:  # matplotlib draws in one thread
            try:
                return self._answer(unquote(name))
            except (UserError, OSError) as error:
                return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", str(error)

    def _answer(self, name: str) -> Answer:
        folder, _, file = name.rpartition("/")
        if name == "":
            return HTTPStatus.OK, "text/html", self._own_page()
        self._own_page()
        place = self._directory / folder
        if folder in {"", *self._known} and file == PAGE:
            return HTTPStatus.OK, "text/html", result_page(place)
        if folder in self._known and file == TRACEBACK:
            return HTTPStatus.OK, "text/plain", (place / file).read_text("utf-8", errors="replace")
        return HTTPStatus.NOT_FOUND, "text/plain", "not found"

    def _own_page(self) -> str:
        """Return the page; more browsers or a larger sweep do not have the files read more often.

        Reading takes at most a sixth of the time, however many points there are.
        """
        start = time.monotonic()
        if start > self._again_at:
            standing = look(self._directory)
            self._page = watch_page(standing, self._directory)
            self._known = {point.folder for point in standing.points}
            took = time.monotonic() - start
            self._again_at = start + took + max(LOOK_INTERVAL_S, 5 * took)
        return self._page


class Handler(BaseHTTPRequestHandler):
    """Answer GET with what the server says; log nothing."""

    server: SweepWatch
    timeout = MAX_WAIT_S

    def do_GET(self) -> None:
        status, kind, text = self.server.answer(urlsplit(self.path).path)
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        with suppress(ConnectionError):  # the browser has left
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def result_page(folder: Path) -> str:
    """Return the page of a result, as it was written, or made now and not written.

    Raises ResultError if the result is not whole.
    """
    from otherview.views.report import report_html

    if (folder / PAGE).is_file():
        return (folder / PAGE).read_text(encoding="utf-8")
    return report_html(read_result(folder))


def watch_page(standing: Standing, directory: Path) -> str:
    """Return the page of a sweep as it stands."""
    from otherview.views.report.page import fill

    rows = standing_rows(standing, directory)
    points = point_list(rows)
    counts = Counter(row.state for row in rows)
    study = standing.points[0].config
    return fill(
        "watch.html.jinja",
        {
            "title": f"{directory.name}: {counts['done']} of {plural(len(rows), 'point')}",
            "question": study.get("question") or study.get("name"),
            "studies": list(dict.fromkeys(point.config["name"] for point in standing.points)),
            "points": points,
            "key_figures": key_figures(counts, len(rows)),
            "warnings": standing.warnings,
            "combined": state_of(directory).kind is Kind.WHOLE and PAGE,
            "commands": sweep_commands(rows, own_folders(directory)),
            "read": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "reload": RELOAD_S if standing.busy else 0,
        },
    )


def key_figures(counts: Mapping[str, int], total: int) -> list[tuple[str, str]]:
    """Return how many points are in which state."""
    others = ("running", "waiting", "failed", "damaged", "outdated", "missing")
    return [
        (count(counts["done"]), f"of {plural(total, 'point')} done"),
        *((count(counts[name]), name) for name in others if counts[name]),
    ]


def standing_rows(standing: Standing, directory: Path) -> list[PointRow]:
    """Return a row per planned point; of very many, figures for those that a page lists."""
    rows = []
    listed = MAX_ROWS - len(standing.points) + len(standing.of("done"))
    for point in standing.points:
        state, name = standing.states[point.identity], standing.name(point.identity)
        detail = state.changed if state.kind is Kind.WHOLE else detail_of(state)
        if name == "missing" and point.identity in standing.busy:
            name, detail = "waiting", ""
        listed -= name == "done"
        rows.append(
            PointRow(
                point.folder,
                name,
                "" if detail == "there is no such folder" else detail,
                study_settings(point.config),
                point.overrides,
                whole_figures(directory / point.folder, state) if listed >= 0 else [],
                link_of(directory / point.folder, state),
            )
        )
    return rows


def whole_figures(folder: Path, state: ResultState) -> list[Cell]:
    """Return the figures of a whole point."""
    if state.kind is not Kind.WHOLE:
        return []
    try:
        return point_figures(json.loads((folder / SUMMARY).read_bytes()))
    except (OSError, ValueError):  # it is being replaced right now
        return []


def link_of(folder: Path, state: ResultState) -> str:
    """Return the address of the page of a whole point, or of the traceback of a failed one.

    A page that was not written yet is made when it is asked for.
    """
    if state.kind is Kind.WHOLE:
        return f"{page_link(folder, SUMMARY).removesuffix(SUMMARY)}{PAGE}"
    return page_link(folder) or page_link(folder, TRACEBACK)


def watch_until_interrupted(directory: Path, port: int, say: Callable[[str], object]) -> None:
    """Serve until Ctrl-C, at low priority. Raises StudyError where there is no sweep."""
    look(directory)
    os.nice(10)
    with SweepWatch(directory, port) as server:
        say(server.address)
        say("Only this machine can open it; Ctrl-C ends the page and not the sweep.")
        say(f"From another: ssh -N -L {server.server_port}:{LOOPBACK}:{server.server_port} HOST")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
