"""A hub on this machine: serves a folder as a repository, or refuses as the real one does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """`files` of the repository by path; `refusal` is a status and the hub's code for it.

    `refused` tells by path what is refused; by default everything. `sent` has the paths of the
    files whose content was sent. `received` has what was uploaded, by path.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.sizes: dict[str, int] = {}
        self.refusal: tuple[int, str] | None = None
        self.only_files = False
        self.sent: list[str] = []
        self.received: dict[str, bytes] = {}
        self.created: dict[str, Any] = {}
        self.url = ""

    def size(self, path: str) -> int:
        return self.sizes.get(path, len(self.files[path]))


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the repository on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Print nothing."""

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            is_file = "/resolve/" in path
            if hub.refusal and (is_file or not hub.only_files):
                status, code = hub.refusal
                self.answer(status, {"X-Error-Code": code, "X-Error-Message": "refused"}, b"{}")
            elif is_file:
                name = path.partition("/resolve/")[2].partition("/")[2]
                self.send_file(name)
            elif "/tree/" in path:
                self.send_json([
                    {"type": "file", "path": name, "size": hub.size(name), "oid": etag(content)}
                    for name, content in hub.files.items()
                ])  # fmt: skip
            else:
                siblings = [{"rfilename": n, "size": hub.size(n)} for n in hub.files]
                self.send_json({"id": "some/model", "sha": COMMIT, "siblings": siblings})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if hub.refusal:
                status, code = hub.refusal
                self.answer(status, {"X-Error-Code": code, "X-Error-Message": "refused"}, b"{}")
            elif self.path.endswith("/repos/create"):
                hub.created = json.loads(body)
                name = f"{hub.created['organization']}/{hub.created['name']}"
                self.send_json({"url": f"{hub.url}/datasets/{name}"})
            elif "/preupload/" in self.path:
                files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                         for each in json.loads(body)["files"]]  # fmt: skip
                self.send_json({"files": files})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        hub.received[line["value"]["path"]] = content
                address = f"{hub.url}/{self.path.split('/', 2)[2].replace('/main', f'/{COMMIT}')}"
                self.send_json({"success": True, "commitUrl": address, "commitOid": COMMIT})
            else:
                self.send_json({"success": True, "errors": [], "warnings": []})

        def send_file(self, name: str) -> None:
            if name not in hub.files:
                self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"")
                return
            content = hub.files[name]
            if self.command == "GET":
                hub.sent.append(name)
            headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT}
            self.answer(200, headers, content)

        def send_json(self, content: Any) -> None:
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def etag(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
