"""What each start of a sweep planned, frozen in a file below `.sweep/`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from otherview.disk.atomic import write_json
from otherview.disk.fingerprint import code_version
from otherview.results.state import SWEEP
from otherview.study.errors import StudyError
from otherview.sweep.points import Point

TIME = "%Y%m%dT%H%M%S"
"""How a submission's name begins: when it was made."""
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
    since: dict[str, str]
    """Submission from which on a result counts, by identity of points that `rerun=all` asked for.

    An older result is made again, also by a later submission than the one that asked."""

    def share(self, task: int) -> list[Point]:
        """Return the points of a task."""
        return [self.points[index] for index in self.shares[task]]

    @property
    def planned(self) -> list[Point]:
        """The points of all tasks."""
        return [self.points[index] for share in self.shares for index in share]

    @property
    def file(self) -> Path:
        """Where the submission is frozen."""
        return self.directory / SWEEP / f"{self.name}.json"

    @property
    def jobs_file(self) -> Path:
        """What it was started as."""
        return self.file.with_suffix(".jobs.json")

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

    def log(self, submission: Submission, task: int) -> Path:
        """Return the file of what a task prints, by submitit's names."""
        if self.kind == "local":
            name = self.ids[task] if task < len(self.ids) else "none"
        else:
            name = self.ids[0] if self.tasks == 1 else f"{self.ids[0]}_{task}"
        return submission.logs / name / f"{name}_0_log.out"


def freeze(
    directory: Path,
    points: Sequence[Point],
    shares: Sequence[Sequence[int]],
    launcher: Mapping[str, Any],
    since: Mapping[str, str] | None = None,
) -> Submission:
    """Write a new submission, which is never changed afterwards.

    `since` is what earlier ones still owe; with `rerun=all` this one owes all of its shares.
    """
    name = new_name(directory)
    owed = dict(since or {})
    if launcher.get("rerun") == "all":
        owed |= {points[index].identity: name for share in shares for index in share}
    submission = Submission(
        name,
        directory,
        list(points),
        [list(share) for share in shares],
        dict(launcher),
        code_version(),
        socket.gethostname(),
        os.getpid(),
        owed,
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


def discard(submission: Submission) -> None:
    """Remove a submission that started nothing, and the folders that were made for it alone."""
    submission.file.unlink(missing_ok=True)
    shutil.rmtree(submission.logs, ignore_errors=True)
    for folder in (submission.file.parent, submission.directory):
        with suppress(OSError):  # it holds something else
            folder.rmdir()


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{file} is no submission of a sweep: {error}") from error


def new_name(directory: Path) -> str:
    """Return a name that sorts after those of all submissions, whatever their clocks."""
    now = datetime.now(UTC)
    for file in submission_files(directory)[-1:]:
        with suppress(ValueError):
            last = datetime.strptime(file.name[:15] + "+0000", f"{TIME}%z")
            now = max(now, last + timedelta(seconds=1))
    return f"{now.strftime(TIME)}-{uuid.uuid4().hex[:6]}"


def submission_files(directory: Path) -> list[Path]:
    return sorted((directory / SWEEP).glob("*T*-??????.json"))


def read_submissions(directory: Path) -> tuple[list[Submission], list[str]]:
    """Return the submissions of a sweep, oldest first, and a warning for each that is damaged."""
    submissions, warnings = [], []
    for file in submission_files(directory):
        try:
            submissions.append(read_submission(file))
        except StudyError as error:
            warnings.append(f"{error}; it is left out")
    return submissions, warnings


def planned_points(submissions: Sequence[Submission]) -> list[Point]:
    """Return every point of the submissions once, as it was first planned."""
    points: dict[str, Point] = {}
    for submission in submissions:
        for point in submission.points:
            points.setdefault(point.identity, point)
    return list(points.values())


def read_jobs(submission: Submission) -> tuple[Jobs | None, str]:
    """Return what a submission was started as, and a warning if its file is damaged.

    The folders that submitit makes for logs tell it too: a launcher that was killed between the
    start and the file, or a file that is lost, loses no job. None if it ran at once.
    """
    kind, file = submission.launcher["kind"], submission.jobs_file
    if kind == "sequential":
        return None, ""
    try:
        return Jobs(**json.loads(file.read_bytes())), ""
    except FileNotFoundError:
        warning = ""
    except (OSError, ValueError, TypeError) as error:
        warning = f"{file} is damaged: {' '.join(str(error).split())}; the logs name its jobs"
    names = (path.name.split("_")[0] for path in submission.logs.glob("*") if path.is_dir())
    ids = sorted({name for name in names if name.isdigit()}, key=int)
    jobs = Jobs(kind, ids, len(submission.shares), submission.host) if ids else None
    return jobs, warning
