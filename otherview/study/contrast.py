"""Settings of a contrast: the items, and the wordings of the two roles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal, NamedTuple
from unicodedata import normalize

from otherview.study.checks import check_choices, check_text
from otherview.study.errors import StudyError

Role = Literal["test", "control"]
ROLES: tuple[Role, Role] = ("test", "control")


@dataclass
class Creatures:
    """The items: what the study varies and averages over."""

    name: str
    """Name in tables and titles."""

    items: list[Any]
    """The words that replace the placeholder, article included ("a cat"): texts, in quotes where
    YAML would read something else (yes, 007, 1e3)."""

    placeholder: str = "creature"
    """Name of the placeholder in the wordings, without braces."""

    axis: Any = None
    """Meaning of the order of `items`; the rank of an item is its place, from 1. Null: no order.
    `{graded30: distance}` is the axis of the items of that name only: your own inherit none."""

    def __post_init__(self) -> None:
        if isinstance(self.axis, Mapping):
            self.axis = self.axis.get(self.name)
        if not isinstance(self.axis, str | None):
            raise StudyError(
                f"creatures.axis={self.axis!r} is not a text: say what the order of items means",
                "creatures.axis",
            )
        setting = "creatures.items"
        if not self.items:
            raise StudyError("creatures.items is empty: name at least two", setting)
        if len(self.items) < 2:
            raise StudyError(
                f"creatures.items has only {self.items[0]!r}: a paired test needs at least two",
                setting,
            )
        known: dict[str, str] = {}
        for place, item in enumerate(self.items):
            if not isinstance(item, str):
                raise StudyError(
                    f"creatures.items[{place}] is {item!r}, not a text: YAML reads words such as "
                    "yes, 007, 1e3 and 12:30 as values; put it in quotes",
                    setting,
                )
            if not item.strip():
                raise StudyError(f"creatures.items[{place}] is blank", setting)
            check_text(item, f"{setting}[{place}]", setting)
            same = " ".join(normalize("NFKC", item).split())
            if same in known:
                twice = "" if known[same] == item else f" ({known[same]!r} is the same text)"
                raise StudyError(f"creatures.items names {item!r} twice{twice}", setting)
            known[same] = item

    @property
    def ranks(self) -> list[int] | None:
        """Place of every item on the axis, from 1; None without an axis."""
        return list(range(1, len(self.items) + 1)) if self.axis else None


class Wording(NamedTuple):
    """One wording of a role."""

    prompt: str
    """With a place for the item."""
    frame: str | None = None
    """The sentence that it fills in, where a contrast has several: roles are compared within."""


@dataclass
class Templates:
    """A contrast: the wordings of its two roles, each with a place for the item.

    Every wording is a condition; one that several contrasts of a study use is measured once.
    """

    name: str
    """Name in directories, tables and titles."""

    test: list[Any]
    """Wordings that ask for the operation in question (render from X's viewpoint). Each is a
    prompt, or {prompt, frame}: roles are compared and relabelled within frames."""

    control: list[Any]
    """Wordings that name the item without asking for it (render with X in the scene), as `test`."""

    placebo: str | None = None
    """The role, test or control, if both lists hold wordings of the same role."""

    matched: bool = False
    """Refuse wordings that differ in token count or item position, by the tokenizer of the model:
    every pair has such a difference, and no sign flip removes it."""

    def __post_init__(self) -> None:
        if self.placebo is not None:
            check_choices("templates", self, placebo=ROLES)
        seen: dict[str, str] = {}
        for role in ROLES:
            setting = f"templates.{role}"
            wordings = self.wordings(role)
            if not wordings:
                raise StudyError(f"{setting} is empty: write at least one wording", setting)
            for place, (prompt, _) in enumerate(wordings):
                check_text(prompt, f"{setting}[{place}]", setting)
                if prompt in seen:
                    raise StudyError(
                        f"{setting} repeats a wording of {seen[prompt]}: {prompt!r}", setting
                    )
                seen[prompt] = setting
        self._check_frames()

    def wordings(self, role: Role) -> list[Wording]:
        """Return the wordings of a role. Raises StudyError for one that is neither form."""
        written: list[Any] = getattr(self, role)
        return [wording_of(one, f"templates.{role}", place) for place, one in enumerate(written)]

    def prompts(self, role: Role) -> list[str]:
        """Return the prompts of a role's wordings."""
        return [wording.prompt for wording in self.wordings(role)]

    @property
    def frames(self) -> dict[Role, list[str]] | None:
        """Frame of every wording, by role; None where wordings name none."""
        named = {role: [wording.frame for wording in self.wordings(role)] for role in ROLES}
        frames: dict[Role, list[str]] = {
            role: [frame for frame in of_role if frame is not None]
            for role, of_role in named.items()
        }
        return frames if any(frames.values()) else None

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of every wording in the difference of the roles: test above 0, control below.

        The mean over test wordings less that over control wordings; with frames the least-squares
        difference of the roles within frames. A frame with one role only has no weight.
        """
        frames = self.frames or {role: [""] * len(self.prompts(role)) for role in ROLES}
        tests, controls = Counter(frames["test"]), Counter(frames["control"])
        both = {
            frame: tests[frame] * controls[frame] / (tests[frame] + controls[frame])
            for frame in {*tests, *controls}
        }
        total = sum(both.values())
        return (
            *(both[frame] / total / tests[frame] for frame in frames["test"]),
            *(-both[frame] / total / controls[frame] for frame in frames["control"]),
        )

    def _check_frames(self) -> None:
        """Raise StudyError where only some wordings name a frame, or no frame has both roles."""
        frames = self.frames
        if frames is None:
            return
        for role in ROLES:
            for prompt, frame in self.wordings(role):
                if frame is None:
                    raise StudyError(
                        f"templates.{role} names no frame for {prompt!r}, and other wordings have "
                        "one: name a frame for every wording, or for none",
                        f"templates.{role}",
                    )
        if not set(frames["test"]) & set(frames["control"]):
            raise StudyError(
                "templates: no frame has wordings of both roles "
                f"(test: {', '.join(sorted(set(frames['test'])))}; "
                f"control: {', '.join(sorted(set(frames['control'])))})",
                "templates",
            )

    def check_placeholder(self, placeholder: str, where: str = "") -> None:
        """Raise StudyError if a wording lacks `{placeholder}` or has another one.

        `where` is put before the message.
        """
        for role in ROLES:
            for wording in self.prompts(role):
                wrong = misplaced(wording, placeholder)
                if wrong:
                    raise StudyError(
                        f"{where}templates.{role} {wrong}: {wording!r}. "
                        f"Write the place of the item as {{{placeholder}}}",
                        f"templates.{role}",
                    )


def wording_of(written: Any, setting: str, place: int) -> Wording:
    """Return a wording as written. Raises StudyError unless it is a text or {prompt, frame}."""
    fields = {"prompt": written} if isinstance(written, str) else written
    if (
        isinstance(fields, Mapping)
        and "prompt" in fields
        and set(fields) <= set(Wording._fields)
        and all(isinstance(text, str) and text.strip() for text in fields.values())
    ):
        return Wording(**fields)
    raise StudyError(
        f"{setting}[{place}] is {written!r}: write a prompt in quotes, or "
        "{prompt: ..., frame: ...} with texts in quotes",
        setting,
    )


def misplaced(wording: str, placeholder: str) -> str | None:
    """Return what is wrong with the placeholders of `wording`, or None."""
    try:
        places = [place for place in Formatter().parse(wording) if place[1] is not None]
    except ValueError as error:
        return f"cannot be read ({error})"
    if any(spec or conversion for _, _, spec, conversion in places):
        return "has a format in its placeholder"
    unknown = [name for _, name, _, _ in places if name != placeholder]
    if unknown:
        return f"has the unknown placeholder {{{unknown[0]}}}"
    return None if places else f"has no {{{placeholder}}}"


@dataclass
class Controls:
    """Further contrasts of the study, on the same model and scene."""

    contrasts: dict[str, Templates]
    """By name, which is also that of a folder in the result: contrasts or placebos."""

    def __post_init__(self) -> None:
        for name in self.contrasts:
            if not re.fullmatch(r"\w[\w-]*", name):
                raise StudyError(
                    f"controls.contrasts: {name!r} names a folder; use letters, digits, _ and -",
                    "controls.contrasts",
                )
