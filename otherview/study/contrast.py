"""What a user writes of a contrast: the items, and the wordings of the two roles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import Literal

from otherview.study.checks import check_choices
from otherview.study.errors import StudyError

Role = Literal["test", "control"]
ROLES: tuple[Role, Role] = ("test", "control")


@dataclass
class Creatures:
    """The items: what the study varies and averages over."""

    name: str
    """Name in tables and titles."""

    items: list[str]
    """The words that take the placeholder's place, article included ("a cat")."""

    placeholder: str = "creature"
    """Name of the placeholder in the wordings, without braces."""

    axis: str | None = None
    """What the order of `items` means; then an item's rank is its place, from 1. Null: no order."""

    def __post_init__(self) -> None:
        setting = "creatures.items"
        if not self.items:
            raise StudyError("creatures.items is empty: name at least two", setting)
        if len(self.items) < 2:
            raise StudyError(
                f"creatures.items has only {self.items[0]!r}: a paired test needs at least two",
                setting,
            )
        for place, item in enumerate(self.items):
            if not item.strip():
                raise StudyError(f"creatures.items[{place}] is blank", setting)
            if item in self.items[:place]:
                raise StudyError(f"creatures.items names {item!r} twice", setting)

    @property
    def ranks(self) -> list[int] | None:
        """Place of every item on the axis, from 1; None without an axis."""
        return list(range(1, len(self.items) + 1)) if self.axis else None


@dataclass
class Templates:
    """A contrast: the wordings of its two roles, each with a place for the item.

    Every wording is a condition; one that several contrasts of a study use is measured once.
    """

    name: str
    """Name in directories, tables and titles."""

    test: list[str]
    """Wordings that ask for the operation in question (render from X's viewpoint)."""

    control: list[str]
    """Wordings that name the item without asking for it (render with X in the scene)."""

    placebo: str | None = None
    """Where both lists hold wordings of one role, that role: test or control."""

    matched: bool = False
    """Refuse wordings that differ in token count or in the item's position, by the model's own
    tokenizer: such a difference is in every pair, and no sign flip removes it."""

    def __post_init__(self) -> None:
        if self.placebo is not None:
            check_choices("templates", self, placebo=ROLES)
        seen: dict[str, str] = {}
        for role in ROLES:
            setting = f"templates.{role}"
            wordings: list[str] = getattr(self, role)
            if not wordings:
                raise StudyError(f"{setting} is empty: write at least one wording", setting)
            for wording in wordings:
                if wording in seen:
                    raise StudyError(
                        f"{setting} repeats a wording of {seen[wording]}: {wording!r}", setting
                    )
                seen[wording] = setting

    def check_placeholder(self, placeholder: str, where: str = "") -> None:
        """Raise StudyError where a wording lacks `{placeholder}` or has another one.

        `where` stands in front of the message.
        """
        for role in ROLES:
            for wording in getattr(self, role):
                wrong = misplaced(wording, placeholder)
                if wrong:
                    raise StudyError(
                        f"{where}templates.{role} {wrong}: {wording!r}. "
                        f"Write the place of the item as {{{placeholder}}}",
                        f"templates.{role}",
                    )


def misplaced(wording: str, placeholder: str) -> str | None:
    """Return what is wrong with the placeholders of `wording`, or None."""
    try:
        places = [place for place in Formatter().parse(wording) if place[1] is not None]
    except ValueError as error:
        return f"cannot be read ({error})"
    if any(spec or conversion for _, _, spec, conversion in places):
        return "formats its placeholder"
    unknown = [name for _, name, _, _ in places if name != placeholder]
    if unknown:
        return f"has {{{unknown[0]}}}, which nothing fills"
    return None if places else f"has no {{{placeholder}}}"


@dataclass
class Controls:
    """Other contrasts that the study asks of its measurement, on the same model and scene."""

    contrasts: dict[str, Templates]
    """By name, which also names a folder in the result: wordings of two roles, or placebos."""

    def __post_init__(self) -> None:
        for name in self.contrasts:
            if not re.fullmatch(r"\w[\w-]*", name):
                raise StudyError(
                    f"controls.contrasts: {name!r} names a folder; use letters, digits, _ and -",
                    "controls.contrasts",
                )
