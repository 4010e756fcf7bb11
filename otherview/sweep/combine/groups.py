"""Groups of points that may be combined: they differ in templates and seed alone."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otherview.study import Study, Templates
from otherview.study.differing_settings import differing_settings, flat
from otherview.sweep.combine.finished_points import Point, contrast_key

MAX_VALUE = 60
"""Characters of a setting's value in a title."""


@dataclass(frozen=True)
class Contrast:
    """The points of one option of `templates`, a seed each."""

    name: str
    """Name of the templates, unique in the group."""
    points: tuple[Point, ...]
    """By seed."""

    @property
    def templates(self) -> Templates:
        return self.points[0].templates

    @property
    def placebo(self) -> str | None:
        return self.templates.placebo

    @property
    def seeds(self) -> list[int]:
        return [point.seed for point in self.points]


@dataclass(frozen=True)
class Group:
    """Points that agree in all but templates and seed."""

    id: str
    title: str
    differs: Mapping[str, Any]
    """Settings by dotted name in which the sweep's groups differ, with this group's values."""
    contrasts: tuple[Contrast, ...]
    """Contrasts by name, then placebos by name."""

    @property
    def study(self) -> Study:
        return self.contrasts[0].points[0].study

    @property
    def model_revision(self) -> str:
        return self.contrasts[0].points[0].model_revision

    @property
    def points(self) -> list[Point]:
        """All points, contrast by contrast, by seed."""
        return [point for contrast in self.contrasts for point in contrast.points]

    @property
    def real(self) -> list[Contrast]:
        """The contrasts that are no placebos."""
        return [contrast for contrast in self.contrasts if contrast.placebo is None]

    @property
    def placebos(self) -> list[Contrast]:
        return [contrast for contrast in self.contrasts if contrast.placebo is not None]

    @property
    def balanced_seeds(self) -> list[int]:
        """Seeds that all contrasts, placebos apart, have."""
        return common_seeds(self.real)

    def shared_seeds(self, contrast: Contrast) -> list[int]:
        """Return the seeds that a contrast has in common with every placebo; none without any."""
        return common_seeds([contrast, *self.placebos]) if self.placebos else []

    @property
    def unused(self) -> list[Point]:
        """The contrasts' points at other seeds."""
        seeds = set(self.balanced_seeds)
        return [point for c in self.real for point in c.points if point.seed not in seeds]


def common_seeds(contrasts: Sequence[Contrast]) -> list[int]:
    """Seeds that all `contrasts` have, ascending."""
    seeds = [set(contrast.seeds) for contrast in contrasts]
    return sorted(set.intersection(*seeds)) if seeds else []


def by_group(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of every group, repeats included."""
    grouped: dict[str, list[Point]] = {}
    for point in points:
        grouped.setdefault(point.group, []).append(point)
    return grouped


def group_points(points: Sequence[Point]) -> list[Group]:
    """Return the groups that `points`, no two with equal settings, form; by title."""
    grouped = by_group(points)
    settings = {
        name: flat(members[0].shared) | {"model.revision": members[0].model_revision}
        for name, members in grouped.items()
    }
    differing = differing_settings(list(settings.values()))
    differs = {name: {key: each.get(key) for key in differing} for name, each in settings.items()}
    titles = {name: title_of(grouped[name][0].study, differs[name]) for name in grouped}
    uses = Counter(titles.values())
    groups = []
    for name, members in grouped.items():
        title = titles[name] if uses[titles[name]] == 1 else f"{titles[name]} ({name})"
        groups.append(Group(name, title, differs[name], contrasts_of(members)))
    return sorted(groups, key=lambda group: (group.title, group.id))


def family(group: Group) -> str:
    """Return the same text for groups that differ in the model alone."""
    differs = group.differs.items()
    return repr(sorted((name, v) for name, v in differs if name.partition(".")[0] != "model"))


def contrasts_of(points: Sequence[Point]) -> tuple[Contrast, ...]:
    by_key: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        by_key.setdefault(contrast_key(point.templates), []).append(point)
    names = Counter(key[0] for key in by_key)
    contrasts = []
    for number, (key, members) in enumerate(sorted(by_key.items(), key=repr)):
        name = key[0] if names[key[0]] == 1 else f"{key[0]} {number}"
        contrasts.append(Contrast(name, tuple(sorted(members, key=lambda point: point.seed))))
    return tuple(sorted(contrasts, key=lambda contrast: (bool(contrast.placebo), contrast.name)))


def title_of(study: Study, differs: Mapping[str, Any]) -> str:
    """Return the model and what else differs; the name of a section stands for its settings.

    The name of a study stands for its question too, and what was published of it is no title.
    """
    named = {setting.split(".")[0] for setting in differs if setting.endswith(".name")}
    unsaid = {"published", "question"} if "name" in differs else {"published"}
    parts = [study.model.name]
    for setting, value in differs.items():
        section, is_name = setting.split(".")[0], setting.endswith(".name")
        if setting == "name":
            parts.insert(1, f"study={value}")
        elif section not in named | unsaid or (is_name and section != "model"):
            written = textwrap.shorten(str(value), MAX_VALUE, placeholder=" ...")
            parts.append(f"{section if is_name else setting}={written}")
    return ", ".join(parts)
