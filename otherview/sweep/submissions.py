"""What each start of a sweep planned, frozen in a file below `.sweep/`."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from otherview.disk.atomic import write_json
from otherview.disk.fingerprint import code_version
from otherview.results.state import SWEEP
from otherview.study.errors import StudyError
from otherview.sweep.points import Point

REFERENCES = "references"
"""Folder in SWEEP of the reference images that points share."""


@dataclass(frozen=True)
class Submission:
    """One start of a sweep: its points, who is to run them, and with which code."""

    name: str
    directory: Path
    """The sweep's directory."""
    points: list[Point]
    """All points that were asked for, finished ones included."""
    shares: list[list[int]]
    """Indices of the points to run, one list per task."""
    launcher: dict[str, Any]
    """The launcher's settings; `kind` is sequential, local or slurm."""
    code: dict[str, Any]
    """`code_version` when it was frozen; tasks of another version refuse to run."""
    host: str
    process: int

    def share(self, task: int) -> list[Point]:
        """Return the points of a task."""
        return [self.points[index] for index in self.shares[task]]

    @property
    def file(self) -> Path:
        """Where the submission is frozen."""
        return self.directory / SWEEP / f"{self.name}.json"

    @property
    def logs(self) -> Path:
        """Folder of what its tasks print."""
        return self.directory / SWEEP / self.name


@dataclass(frozen=True)
class Jobs:
    """What a submission was started as."""

    kind: str
    """slurm or local."""
    ids: list[str]
    """Slurm: one job or array. Local: one controlling process per task."""
    tasks: int
    host: str


def freeze(
    directory: Path,
    points: Sequence[Point],
    shares: Sequence[Sequence[int]],
    launcher: Mapping[str, Any],
) -> Submission:
    """Write a new submission, which is never changed afterwards."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    submission = Submission(
        f"{now}-{uuid.uuid4().hex[:6]}",
        directory,
        list(points),
        [list(share) for share in shares],
        dict(launcher),
        code_version(),
        socket.gethostname(),
        os.getpid(),
    )
    submission.file.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(submission)
    del content["directory"]
    base = points[0].config if points else {}
    content["config"] = base
    for plain in content["points"]:
        config = plain.pop("config")
        plain["changed"] = {k: v for k, v in config.items() if k not in base or base[k] != v}
        plain["removed"] = [name for name in base if name not in config]
    write_json(submission.file, content)
    return submission


def read_submission(file: Path) -> Submission:
    """Return a frozen submission; its directory is the one where the file is now.

    Raises StudyError if the file holds no submission.
    """
    try:
        content = json.loads(file.read_bytes())
        base = content.pop("config")
        points = []
        for plain in content.pop("points"):
            removed, changed = plain.pop("removed"), plain.pop("changed")
            config = {k: v for k, v in base.items() if k not in removed} | changed
            points.append(Point(**plain, config=config))
        return Submission(**content, directory=file.parent.parent, points=points)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{file} is no submission of a sweep: {error}") from error


def read_submissions(directory: Path) -> list[Submission]:
    """Return the submissions of a sweep, oldest first. Raises StudyError if there is none."""
    files = sorted((directory / SWEEP).glob("*T*-??????.json"))
    if not files:
        raise StudyError(
            f"{directory} is not the directory of a sweep: it has no submission in {SWEEP}/"
        )
    return [read_submission(file) for file in files]


def planned_points(submissions: Sequence[Submission]) -> list[Point]:
    """Return every point of the submissions once, as it was first planned."""
    points: dict[str, Point] = {}
    for submission in submissions:
        for point in submission.points:
            points.setdefault(point.identity, point)
    return list(points.values())


def write_jobs(submission: Submission, jobs: Jobs) -> None:
    """Keep what a submission was started as."""
    write_json(submission.file.with_suffix(".jobs.json"), asdict(jobs))


def read_jobs(submission: Submission) -> Jobs | None:
    """Return what a submission was started as; None if it ran at once or was never started."""
    try:
        return Jobs(**json.loads(submission.file.with_suffix(".jobs.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
