"""Combine the finished points of a sweep into sweep.parquet and combined.json."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable, Sequence
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
from otherview.sweep.combine.combined_summary import given, group_summary, model_comparison
from otherview.sweep.combine.combined_tables import combined_table, join, write_sweep_table
from otherview.sweep.combine.finished_points import LeftOut, Point, find_points, without_repeats
from otherview.sweep.combine.group_responses import read_group
from otherview.sweep.combine.group_tests import Tested, tests_of
from otherview.sweep.combine.groups import Group, by_group, family, group_points
from otherview.sweep.combine.point_responses import DamagedPointsError, layouts

FORMAT = 1
LIBRARIES = ("numpy", "scipy", "numba", "polars", "h5py")


def combine(
    directory: Path | str, points: Sequence[Path] | None = None, report: Progress = silent
) -> dict[str, Any]:
    """Write the combined result of the whole points in `directory`; return combined.json.

    `points` are the folders to combine; None takes all points directly below `directory`. Points
    that are unfinished or damaged are left out and named. Files are read one point at a time.

    Raises StudyError where no point can be used; an earlier combined result then stays.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise StudyError(f"{directory} is no folder of a sweep")
    used, left_out = find_points(directory, points, report)
    read = itertools.count(1)

    def progress() -> None:
        report("reading points", min(next(read), len(used)), len(used))

    tested: dict[str, dict[str, Tested]] = {}
    remaining: list[Point] = []
    for members in by_group(used).values():
        kept, found, dropped = test_group(members, progress)
        left_out += dropped
        if kept is not None:
            remaining += kept.points
            tested[kept.id] = found
    if not remaining:
        if not left_out:
            raise StudyError(f"{directory} holds no point of a sweep")
        raise StudyError(
            f"{directory} holds no point that can be used, of {len(left_out)}; "
            f"the first is {left_out[0].point}: {left_out[0].reason}"
        )
    groups = group_points(sorted(remaining, key=lambda point: point.name))
    summary = combined_summary(groups, tested, left_out)
    report("writing", 0, 1)
    write(directory, groups, tested, summary)
    report("writing", 1, 1)
    return summary


def test_group(
    points: Sequence[Point], progress: Callable[[], None]
) -> tuple[Group | None, dict[str, Tested], list[LeftOut]]:
    """Return the group that the whole ones of `points` form, its tests, and the points left out.

    A damaged point makes room for one that it repeats, so repeats are sought again after each.
    """
    damaged: list[LeftOut] = []
    while points:
        kept, repeats = without_repeats(points)
        (group,) = group_points(kept)
        try:
            found = read_group(group, layouts(group), progress)
        except DamagedPointsError as error:
            damaged += [LeftOut(name, reason) for name, reason in error.reasons.items()]
            points = [point for point in points if point.name not in error.reasons]
        else:
            tested = {unit_set: tests_of(group, responses) for unit_set, responses in found.items()}
            return group, tested, damaged + repeats
    return None, {}, damaged


def combined_summary(
    groups: Sequence[Group], tested: dict[str, dict[str, Tested]], left_out: Sequence[LeftOut]
) -> dict[str, Any]:
    """Return the content of combined.json but for the hashes; docs/combined.md."""
    summaries = [group_summary(group, tested[group.id]) for group in groups]
    points = [
        point_summary(point, contrast.name, group.id)
        for group in groups
        for contrast in group.contrasts
        for point in contrast.points
    ]
    models = model_comparison(summaries, [family(group) for group in groups])
    return {
        "format": FORMAT,
        "studies": sorted({point["study"] for point in points}),
        "question": groups[0].study.question,
        "points": sorted(points, key=lambda point: str(point["point"])),
        "left_out": [vars(left) for left in sorted(left_out, key=lambda left: left.point)],
        "groups": summaries,
        **({"models": models} if models else {}),
        "notes": notes(groups),
        "provenance": {
            "otherview": otherview.__version__,
            "commit": commit(),
            "python": platform.python_version(),
            "libraries": {library: version(library) for library in LIBRARIES},
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }


def point_summary(point: Point, templates: str, group: str) -> dict[str, Any]:
    return {
        "point": point.name,
        "group": group,
        "study": point.study.name,
        "model": point.study.model.name,
        "templates": templates,
        "seed": point.seed,
        **{name: point.provenance.get(name) for name in ("finished", "otherview", "commit")},
        **given(identity=point.identity, placebo=point.templates.placebo),
    }


def notes(groups: Sequence[Group]) -> list[str]:
    """Return in sentences what a reader should know before the figures."""
    found = []
    made = [point.provenance for group in groups for point in group.points]
    made_by = {(each["otherview"], each.get("commit")) for each in made}
    if len(made_by) > 1:
        named = ", ".join(sorted(f"{name} ({commit})" for name, commit in made_by))
        found.append(f"The points were made by different versions of the code: {named}.")
    for group in groups:
        if group.unused:
            found.append(
                f"{group.title}: {len(group.unused)} of {sum(len(c.points) for c in group.real)} "
                "points have a seed that not every contrast has; the pooled tests leave them out."
            )
    return found


def write(
    directory: Path,
    groups: Sequence[Group],
    tested: dict[str, dict[str, Tested]],
    summary: dict[str, Any],
) -> None:
    """Write the tables and, last, combined.json, which is removed first."""
    (directory / COMBINED).unlink(missing_ok=True)
    written = ["sweep.parquet"]
    with replacing(directory / "sweep.parquet") as temporary:
        write_sweep_table(groups, temporary)
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
