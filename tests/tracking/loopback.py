"""A Weights & Biases server on this machine's loopback: it keeps what the real client sends.

It answers the GraphQL operations that a run, `wandb sync`, an artifact and a saved workspace need,
and takes every upload. What it holds is what arrived, byte by byte.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

ENTITY = "loop"
KEY = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Artifact:
    """A version of an artifact as the client made it."""

    id: str
    name: str
    type: str
    digest: str
    run: str | None
    project: str = ""
    state: str = "PENDING"
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    used_by: list[str] = field(default_factory=list)


@dataclass
class Loopback:
    """What has arrived so far."""

    url: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By run id: the last value of every variable that the client gave it."""
    upserts: list[str] = field(default_factory=list)
    history: dict[str, dict[int, str]] = field(default_factory=dict)
    """By run id: the lines of the history, by their place in it."""
    summary: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    """By run id: the exit code that the client reported."""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By run id: the run's own files by name."""
    artifacts: list[Artifact] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Method and path of whatever was asked, known or not."""
    keys: set[str] = field(default_factory=set)
    operations: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Operations that it has no answer for."""
    dies_at: str | None = None
    """From the first operation or upload of this name on, connections are dropped unanswered."""
    hangs_at: str | None = None
    """... are kept open unanswered, until the server closes."""
    dead: bool = False
    closing: threading.Event = field(default_factory=threading.Event)

    def artifact(self, name: str) -> Artifact:
        """The one artifact version of this name; fails where there are none or several."""
        (found,) = [artifact for artifact in self.artifacts if artifact.name == name]
        return found

    def rows(self, run: str) -> list[dict[str, Any]]:
        """The history of a run."""
        return [json.loads(line) for _, line in sorted(self.history.get(run, {}).items())]

    def revive(self) -> None:
        """Answers again; those that it kept hanging are dropped."""
        self.dies_at = self.hangs_at = None
        self.dead = False
        self.closing.set()

    def answer(self, operation: str, given: dict[str, Any], query: str) -> dict[str, Any]:
        """The `data` of a GraphQL answer."""
        self.operations.append(operation)
        known = getattr(self, "_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower(), None)
        if known is None:
            self.unknown.append(operation + " " + query)
            return {}
        found: dict[str, Any] = known(given)
        return found

    def _viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        names = {"id": "u1", "entity": ENTITY, "username": "loop", "email": "l@example.org"}
        teams: dict[str, Any] = {"edges": []}
        return {"viewer": {**names, "flags": "{}", "teams": teams, "name": "Loop", "admin": False}}

    def _get_default_entity(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._viewer(given)

    def _get_projects(self, given: dict[str, Any]) -> dict[str, Any]:
        node = {
            "__typename": "Project",
            "id": "project",
            "name": "otherview",
            "entityName": given["entity"],
            "createdAt": "2026-01-01T00:00:00Z",
            "isBenchmark": False,
            "user": None,
        }
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": node}]}}

    def _server_features_query(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _upsert_bucket(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["name"]
        self.upserts.append(name)
        known = self.runs.setdefault(name, {})
        known.update({key: value for key, value in given.items() if value is not None})
        project = {"id": "project", "name": known.get("project", "uncategorized")}
        bucket = {
            "id": f"bucket-{name}",
            "name": name,
            "displayName": known.get("displayName", name),
            "config": known.get("config", "{}"),
            "project": {**project, "entity": {"id": "entity", "name": ENTITY}},
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": self.upserts.count(name) == 1}}

    def _create_run_files(self, given: dict[str, Any]) -> dict[str, Any]:
        run = given["run"]
        files = [
            {"name": name, "uploadUrl": f"{self.url}/run/{run}/{name}"} for name in given["files"]
        ]
        return {"createRunFiles": {"runID": f"bucket-{run}", "uploadHeaders": [], "files": files}}

    def _artifact_type(self, given: dict[str, Any]) -> dict[str, Any]:
        known = self._named(given["name"])
        described = None if known is None else {"artifactType": {"name": known.type}}
        return {"project": {"artifact": described}}

    def _artifact_by_id(self, given: dict[str, Any]) -> dict[str, Any]:
        (found,) = [one for one in self.artifacts if one.id == given["id"]]
        return {"artifact": self._whole(found)}

    def _artifact_by_name(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self._named(given["name"])
        return {"project": {"artifact": None if found is None else self._whole(found)}}

    def _artifact_membership_by_name(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self._named(given["name"])
        if found is None:
            return {"project": {"artifactCollectionMembership": None}}
        whole = self._whole(found)
        (alias,) = whole["aliases"]
        membership = {
            "__typename": "ArtifactCollectionMembership",
            "id": f"membership-{found.id}",
            "versionIndex": 0,
            "createdAt": whole["createdAt"],
            "aliases": [{key: alias[key] for key in ("__typename", "id", "alias")}],
            "artifactCollection": alias["artifactCollection"],
            "artifact": whole,
        }
        return {"project": {"artifactCollectionMembership": membership}}

    def _whole(self, artifact: Artifact) -> dict[str, Any]:
        project = {"id": "project", "internalId": "1", "name": artifact.project}
        owner = {"name": artifact.name, "project": {**project, "entity": {"name": ENTITY}}}
        sequence = {"__typename": "ArtifactSequence", **owner}
        alias = {"__typename": "ArtifactAlias", "id": "latest", "alias": "latest"}
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": sequence,
            "versionIndex": 0,
            "artifactType": {"name": artifact.type},
            "description": None,
            "metadata": None,
            "ttlDurationSeconds": 0,
            "ttlIsInherited": False,
            "tags": [],
            "historyStep": None,
            "state": artifact.state,
            "size": sum(map(len, artifact.files.values())),
            "digest": artifact.digest,
            "commitHash": "c",
            "fileCount": len(artifact.files),
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "aliases": [{**alias, "artifactCollection": sequence}],
        }

    def _named(self, name: str) -> Artifact | None:
        """The newest version of an artifact that is written as name:alias."""
        found = [one for one in self.artifacts if one.name == name.partition(":")[0]]
        return found[-1] if found else None

    def _create_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        put = given.get("input", given)
        name, digest = put["artifactCollectionName"], put["digest"]
        for known in self.artifacts:
            if (known.name, known.digest) == (name, digest):
                return {"createArtifact": {"artifact": self._described(known)}}
        made = Artifact(
            id=f"artifact-{len(self.artifacts)}",
            name=name,
            type=put["artifactTypeName"],
            digest=digest,
            run=put.get("runName"),
            project=put["projectName"],
        )
        self.artifacts.append(made)
        return {"createArtifact": {"artifact": self._described(made)}}

    def _described(self, artifact: Artifact) -> dict[str, Any]:
        sequence = {"id": f"sequence-{artifact.name}", "latestArtifact": None}
        return {"id": artifact.id, "state": artifact.state, "artifactSequence": sequence}

    def _create_artifact_manifest(self, given: dict[str, Any]) -> dict[str, Any]:
        put = given.get("input", given)
        artifact = put.get("artifactID") or self.artifacts[-1].id
        url = f"{self.url}/manifest/{artifact}/wandb_manifest.json"
        file = {"id": "m", "name": "wandb_manifest.json", "displayName": "wandb_manifest.json"}
        answer = {"id": "m", "file": {**file, "uploadUrl": url, "uploadHeaders": []}}
        return {"createArtifactManifest": {"artifactManifest": answer}}

    def _create_artifact_files(self, given: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for wanted in given["input"]["artifactFiles"]:
            artifact, name = wanted["artifactID"], wanted["name"]
            node = {
                "id": f"{artifact}/{name}",
                "name": name,
                "displayName": name,
                "storagePath": name,
                "uploadUrl": f"{self.url}/artifact/{artifact}/{name}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": artifact},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        (found,) = [one for one in self.artifacts if one.id == given["artifactID"]]
        found.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": found.id, "digest": found.digest}}}

    def _use_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        put = given.get("input", given)
        (found,) = [one for one in self.artifacts if one.id == put["artifactID"]]
        found.used_by.append(put["runName"])
        return {"useArtifact": {"artifact": {"id": found.id}}}

    def _upsert_view(self, given: dict[str, Any]) -> dict[str, Any]:
        self.views.append(given)
        view = {"id": "view1", "name": given.get("name"), "spec": given.get("spec")}
        named = {"displayName": given.get("displayName"), "type": given.get("type")}
        return {"upsertView": {"view": {**view, **named, "description": ""}, "inserted": True}}

    _upsert_view2 = _upsert_view

    def receive(self, path: str, body: bytes) -> None:
        """Keeps an upload."""
        kind, owner, name = (unquote(part) for part in path.lstrip("/").split("/", 2))
        if kind == "run":
            self.files.setdefault(owner, {})[name] = body
            return
        (found,) = [artifact for artifact in self.artifacts if artifact.id == owner]
        if kind == "manifest":
            found.manifest = body
        else:
            found.files[name] = body

    def stream(self, path: str, sent: dict[str, Any]) -> None:
        """Keeps what a run's file stream sends: history lines, summary, exit code."""
        run = path.split("/")[-2]
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                lines = self.history.setdefault(run, {})
                for place, line in enumerate(chunk["content"], chunk["offset"]):
                    lines[place] = line
            elif name == "wandb-summary.json":
                self.summary[run] = json.loads(chunk["content"][-1])
        if sent.get("complete"):
            self.finished[run] = sent["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        self.loopback.requests.append(f"{self.command} {self.path}")
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _lives(self, name: str) -> bool:
        """Whether this request is to be answered; else the connection ends or hangs."""
        server = self.loopback
        if name in (server.dies_at, server.hangs_at):
            server.dead = True
        if not server.dead:
            return True
        if server.hangs_at:
            server.closing.wait()
        self.close_connection = True
        return False

    def do_POST(self) -> None:
        body = self._body()
        self.loopback.keys.add(self.headers.get("Authorization", ""))
        if not self.path.endswith("/graphql"):
            if self._lives("stream"):
                if self.path.endswith("/file_stream"):
                    self.loopback.stream(self.path, json.loads(body))
                self._answer({})
            return
        asked = json.loads(body)
        named = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        operation = asked.get("operationName") or (named[1] if named else "unnamed")
        if self._lives(operation):
            given = asked.get("variables") or {}
            self._answer({"data": self.loopback.answer(operation, given, asked["query"])})

    def do_PUT(self) -> None:
        body = self._body()
        if self._lives("upload"):
            self.loopback.receive(self.path, body)
            self._answer({})

    def do_GET(self) -> None:
        self._body()
        if self._lives("get"):
            self._answer({})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no failure of the server."""


@contextmanager
def loopback_server() -> Iterator[Loopback]:
    """A server for the length of a block; `url` is its address."""
    loopback = Loopback()
    handler = type("Handler", (_Handler,), {"loopback": loopback})
    with _Server(("127.0.0.1", 0), handler) as server:
        loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield loopback
        finally:
            loopback.closing.set()
            server.shutdown()
            thread.join()
