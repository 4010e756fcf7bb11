"""Combines the finished points of a sweep into sweep.parquet and combined.json."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import otherview
from otherview.disk.atomic import replacing, write_json
from otherview.disk.fingerprint import commit
from otherview.disk.progress import Progress, silent
from otherview.results.integrity import sealed
from otherview.results.state import COMBINED, state_of
from otherview.study.errors import StudyError
from otherview.sweep.combine.combined_summary import group_summary, model_comparison
from otherview.sweep.combine.combined_tables import combined_table, join
from otherview.sweep.combine.finished_points import LeftOut, Point, find_points, without_repeats
from otherview.sweep.combine.groups import Group, by_group, family, group_points
from otherview.sweep.combine.point_responses import DamagedPointsError, layouts
from otherview.sweep.combine.pooled_tests import Tested, tests_of
from otherview.sweep.combine.pooling import gather, passes
from otherview.sweep.combine.unit_tables import collect_tables, write_sweep_table

FORMAT = 1
LIBRARIES = ("numpy", "scipy", "numba", "polars", "h5py")


def combine(
    directory: Path | str,
    points: Sequence[Path] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the combined result of the finished points in `directory`; returns combined.json.

    `points` are the folders to combine; None takes all points directly below `directory`. Points
    that are unfinished or damaged are left out and named. Files are read one point at a time.

    Raises StudyError where no point can be used; what an earlier call wrote is then untouched.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise StudyError(f"{directory} is no folder of a sweep")
    report = progress or silent
    used, left_out = find_points(directory, points)
    with _scratch(directory) as scratch:
        tested: dict[str, dict[str, Tested]] = {}
        remaining: list[Point] = []
        done = Counter(report, "reading points", len(used))
        for members in by_group(used).values():
            kept, found, dropped = combined(members, scratch, done)
            left_out += dropped
            if kept is not None:
                remaining += kept.points
                tested[kept.id] = found
        if not remaining:
            raise StudyError(nothing(directory, left_out))
        groups = group_points(sorted(remaining, key=lambda point: point.name))
        summary = _summary(groups, tested, left_out)
        report("writing", 0, 1)
        write(directory, groups, tested, summary, scratch)
        report("writing", 1, 1)
    return summary


def combined(
    points: Sequence[Point], scratch: Path, done: Counter
) -> tuple[Group | None, dict[str, Tested], list[LeftOut]]:
    """The group that the whole ones of `points` form, its tests, and the points left out.

    A damaged point makes room for one that it repeats, so repeats are sought anew after each.
    """
    damaged: list[LeftOut] = []
    while points:
        kept, repeats = without_repeats(points)
        (group,) = group_points(kept)
        try:
            return group, _tested(group, scratch, done), damaged + repeats
        except DamagedPointsError as error:
            damaged += [LeftOut(name, reason) for name, reason in error.reasons.items()]
            points = [point for point in points if point.name not in error.reasons]
    return None, {}, damaged


def _tested(group: Group, scratch: Path, done: Counter) -> dict[str, Tested]:
    of_group = layouts(group)
    collect_tables(group, of_group, scratch)
    done.expect((passes(group, of_group) - 1) * len(group.points))
    found = gather(group, of_group, done.step)
    return {unit_set: tests_of(group, gathered) for unit_set, gathered in found.items()}


class Counter:
    """Progress through points, some of which are read more than once."""

    def __init__(self, report: Progress, stage: str, total: int) -> None:
        self._report, self._stage, self._total, self._done = report, stage, total, 0

    def expect(self, more: int) -> None:
        self._total += more

    def step(self) -> None:
        self._done += 1
        self._total = max(self._total, self._done)
        self._report(self._stage, self._done, self._total)


def _summary(
    groups: Sequence[Group], tested: dict[str, dict[str, Tested]], left_out: list[LeftOut]
) -> dict[str, Any]:
    summaries = [group_summary(group, tested[group.id]) for group in groups]
    points = sorted(
        (
            (point, contrast.name, group.id)
            for group in groups
            for contrast in group.contrasts
            for point in contrast.points
        ),
        key=lambda row: row[0].name,
    )
    summary: dict[str, Any] = {
        "format": FORMAT,
        "studies": sorted({point.study.name for point, _, _ in points}),
        "question": points[0][0].study.question,
        "points": [_point(*row) for row in points],
        "left_out": [
            {"point": left.point, "reason": left.reason}
            for left in sorted(left_out, key=lambda left: left.point)
        ],
        "groups": summaries,
        "notes": _notes(groups),
        "provenance": {
            "otherview": otherview.__version__,
            "commit": commit(),
            "python": platform.python_version(),
            "libraries": {library: version(library) for library in LIBRARIES},
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    models = model_comparison(summaries, [family(group) for group in groups])
    if models:
        summary["models"] = models
    return summary


def _point(point: Point, templates: str, group: str) -> dict[str, Any]:
    row = {
        "point": point.name,
        "group": group,
        "study": point.study.name,
        "model": point.study.model.name,
        "templates": templates,
        "seed": point.seed,
        "finished": point.finished,
        "otherview": point.otherview,
        "commit": point.commit,
    }
    optional = {"identity": point.identity, "placebo": point.templates.placebo}
    return row | {name: value for name, value in optional.items() if value is not None}


def _notes(groups: Sequence[Group]) -> list[str]:
    notes = []
    made_by = {(point.otherview, point.commit) for group in groups for point in group.points}
    if len(made_by) > 1:
        named = ", ".join(sorted(f"{name} ({commit})" for name, commit in made_by))
        notes.append(f"The points were made by different versions of the code: {named}.")
    for group in groups:
        if group.unused:
            notes.append(
                f"{group.title}: {len(group.unused)} of {sum(len(c.points) for c in group.real)} "
                "points have a seed that not every contrast has; the pooled tests leave them out."
            )
    return notes


def write(
    directory: Path,
    groups: Sequence[Group],
    tested: dict[str, dict[str, Tested]],
    summary: dict[str, Any],
    scratch: Path,
) -> None:
    """Writes the tables and, last, combined.json, which is removed first."""
    (directory / COMBINED).unlink(missing_ok=True)
    written = ["sweep.parquet"]
    with replacing(directory / written[0]) as temporary:
        write_sweep_table(scratch, temporary)
    for unit_set in ("heads", "slices16"):
        path = directory / f"combined_{unit_set}.parquet"
        tables = [
            combined_table(group, tested[group.id][unit_set])
            for group in groups
            if unit_set in tested[group.id]
        ]
        if tables:
            written.append(path.name)
            with replacing(path) as temporary:
                join(tables).write_parquet(temporary)
        else:
            path.unlink(missing_ok=True)
    write_json(directory / COMBINED, sealed(summary, directory, written))
    state_of(directory)  # leaves stamps, so that nobody has to hash the tables again


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A folder for parts of tables, gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=".combining-", dir=directory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nothing(directory: Path, left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return f"{directory} holds no point of a sweep"
    first = left_out[0]
    return (
        f"{directory} holds no point that can be used, of {len(left_out)}; "
        f"the first is {first.point}: {first.reason}"
    )
