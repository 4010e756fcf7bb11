"""Settings of a contrast: the wordings of its two roles, and the pictures that go with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from otherview.study.checks import check_choices, check_name, check_text, check_title, check_value
from otherview.study.errors import StudyError
from otherview.study.placeholders import fill, places, wrong_places

Role = Literal["test", "control"]
ROLES: tuple[Role, Role] = ("test", "control")
DIRECTIONS = ("either", "higher", "lower")
"""Directions in which the test role may be expected to differ from the control role."""


@dataclass(frozen=True)
class Picture:
    """A picture of a wording, with places for fields of the item, or of a prompt, without."""

    path: str
    """File; the prefix `otherview:` stands for the package."""
    mirrored: bool = False
    """Left and right exchanged: a placebo of the same content."""
    noise: str | None = None
    """Another file: noise as large as the difference from it is added, also a placebo."""

    @property
    def paths(self) -> list[str]:
        """Its files, the picture first."""
        return [self.path, *([] if self.noise is None else [self.noise])]

    def filled(self, fields: Mapping[str, str]) -> Picture:
        """Return the picture of an item. Raises KeyError for an unknown field."""
        noise = None if self.noise is None else fill(self.noise, fields).text
        return replace(self, path=fill(self.path, fields).text, noise=noise)

    def __str__(self) -> str:
        noise = f" with noise as large as its difference from {self.noise}" if self.noise else ""
        return f"{self.path}{' mirrored' * self.mirrored}{noise}"


def pictures_of(wording: Mapping[str, Any], where: str, setting: str) -> tuple[Picture, ...]:
    """Return the pictures of a wording as written. Raises StudyError for what is none."""
    written, mirror, noise = (wording.get(name) for name in ("image", "mirror", "noise"))
    paths = [written] if isinstance(written, str) else written or []
    right = isinstance(paths, list) and all(isinstance(p, str) and p.strip() for p in paths)
    if not right or (written is not None and not paths):
        raise StudyError(
            f"{where}.image is {written!r}: write a path in quotes, or a list of paths", setting
        )
    if not isinstance(mirror, bool | None):
        raise StudyError(f"{where}.mirror is {mirror!r}: write true or false", setting)
    if noise is not None and not (isinstance(noise, str) and noise.strip()):
        raise StudyError(
            f"{where}.noise is {noise!r}: name the picture from which the noise has its size, in "
            "quotes",
            setting,
        )
    if (mirror or noise) and not paths:
        named = "mirror" if mirror else "noise"
        raise StudyError(f"{where}.{named} changes a picture, and there is no image", setting)
    return tuple(Picture(path, bool(mirror), noise) for path in paths)


class Wording(NamedTuple):
    """One wording of a role."""

    prompt: str
    """With a place for the item."""
    frame: str | None = None
    """The sentence that it fills in, where a contrast has several: roles are compared within."""
    pictures: tuple[Picture, ...] = ()
    """With places for fields of the item; none: the picture is the study's scene."""

    @property
    def content(self) -> tuple[str, tuple[Picture, ...]]:
        """What a pass gets of it."""
        return self.prompt, self.pictures

    @property
    def fields(self) -> set[str]:
        """Fields of an item that it has places for."""
        return {name for text in self.templates for name in places(text)}

    @property
    def templates(self) -> list[str]:
        """Its texts with places for fields: the prompt, then paths of pictures."""
        return [self.prompt, *(path for picture in self.pictures for path in picture.paths)]

    def __str__(self) -> str:
        shown = " and ".join(str(picture) for picture in self.pictures)
        return f"{self.prompt} (picture: {shown})" if shown else self.prompt


@dataclass
class Templates:
    """A contrast: the wordings of its two roles, each with a place for the item.

    Every wording is a condition; one that several contrasts of a study use is measured once.
    """

    name: str
    """Name in directories, tables and titles."""

    test: list[Any]
    """Wordings that ask for the operation in question (render from X's viewpoint). Each is a
    prompt, or {prompt, frame, image, mirror, noise}. Roles are compared and relabelled within
    frames. `image` is a picture (or a list) in place of the scene; mirror=true mirrors it, and
    `noise` adds noise as large as its difference from another picture."""

    control: list[Any]
    """Wordings that name the item without asking for it (render with X in the scene), as `test`."""

    placebo: str | None = None
    """The role, test or control, if both lists hold wordings of the same role."""

    matched: bool = False
    """Refuse wordings that differ in token count or item position, by the tokenizer of the model:
    every pair has such a difference, and no sign flip removes it."""

    expected: str = "either"
    """Direction that the study predicts for the response under the test role: higher, lower or
    either. Tests are two-sided in any case; the result says how many heads that it calls went the
    expected way."""

    def __post_init__(self) -> None:
        check_title(self.name, "templates.name")
        check_choices("templates", self, expected=DIRECTIONS)
        if self.placebo is not None:
            check_choices("templates", self, placebo=ROLES)
            right = self.expected == "either"
            check_value(
                "templates", self, "expected", right, ": a placebo is expected to do nothing"
            )
        seen: dict[Any, str] = {}
        for role in ROLES:
            setting = f"templates.{role}"
            wordings = self.wordings(role)
            if not wordings:
                raise StudyError(f"{setting} is empty: write at least one wording", setting)
            for place, wording in enumerate(wordings):
                check_text(wording.prompt, f"{setting}[{place}]", setting)
                if wording.content in seen:
                    raise StudyError(
                        f"{setting} repeats a wording of {seen[wording.content]}: {str(wording)!r}",
                        setting,
                    )
                seen[wording.content] = setting
        self._check_frames()

    def wordings(self, role: Role) -> list[Wording]:
        """Return the wordings of a role. Raises StudyError for one that is neither form."""
        written: list[Any] = getattr(self, role)
        return [wording_of(one, f"templates.{role}", place) for place, one in enumerate(written)]

    def texts(self, role: Role) -> list[str]:
        """Return the wordings of a role as texts: prompts, with their pictures if they have any."""
        return [str(wording) for wording in self.wordings(role)]

    @property
    def has_pictures(self) -> bool:
        """Whether a wording brings pictures of its own."""
        return any(wording.pictures for role in ROLES for wording in self.wordings(role))

    @property
    def frames(self) -> dict[Role, list[str]] | None:
        """Frame of every wording, by role; None where wordings name none."""
        frames: dict[Role, list[str]] = {
            role: [w.frame for w in self.wordings(role) if w.frame is not None] for role in ROLES
        }
        return frames if any(frames.values()) else None

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of every wording in the difference of the roles: test above 0, control below.

        The mean over test wordings less that over control wordings; with frames the least-squares
        difference of the roles within frames. A frame with one role only has no weight.
        """
        frames = self.frames or {role: [""] * len(getattr(self, role)) for role in ROLES}
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
            for wording in self.wordings(role):
                if wording.frame is None:
                    raise StudyError(
                        f"templates.{role} names no frame for {wording.prompt!r}, and other "
                        "wordings have one: name a frame for every wording, or for none",
                        f"templates.{role}",
                    )
        if not set(frames["test"]) & set(frames["control"]):
            raise StudyError(
                "templates: no frame has wordings of both roles "
                f"(test: {', '.join(sorted(set(frames['test'])))}; "
                f"control: {', '.join(sorted(set(frames['control'])))})",
                "templates",
            )

    def check_places(
        self, items: Mapping[str, Collection[str]], shown: str, where: str = ""
    ) -> None:
        """Raise StudyError for a wording with no place for a field of the items, or an unknown one.

        `items` are the fields of every item, by its name; `shown` is a field to name in messages,
        `where` is put before them.
        """
        known = {name for fields in items.values() for name in fields}
        for role in ROLES:
            setting = f"templates.{role}"
            for wording in self.wordings(role):
                found = (wrong_places(text, known) for text in wording.templates)
                wrong = next(filter(None, found), None)
                if wrong is None and not wording.fields:
                    wrong = f"has no {{{shown}}}"
                if wrong:
                    raise StudyError(
                        f"{where}{setting} {wrong}: {str(wording)!r}. "
                        f"Write the place of the item as {{{shown}}}",
                        setting,
                    )
                for item, fields in items.items():
                    lacking = wording.fields - set(fields)
                    if lacking:
                        raise StudyError(
                            f"{where}{setting} needs {{{min(lacking)}}}, which the item {item!r} "
                            f"has not: {str(wording)!r}",
                            setting,
                        )


def wording_of(written: Any, setting: str, place: int) -> Wording:
    """Return a wording as written. Raises StudyError unless it has one of its forms."""
    fields = {"prompt": written} if isinstance(written, str) else written
    texts = ("prompt", "frame")
    if (
        isinstance(fields, Mapping)
        and "prompt" in fields
        and set(fields) <= {*texts, "image", "mirror", "noise"}
        and all(isinstance(fields.get(n, "-"), str) and fields.get(n, "-").strip() for n in texts)
    ):
        pictures = pictures_of(fields, f"{setting}[{place}]", setting)
        return Wording(fields["prompt"], fields.get("frame"), pictures)
    raise StudyError(
        f"{setting}[{place}] is {written!r}: write a prompt in quotes, or "
        "{prompt: ..., frame: ..., image: ...} with texts in quotes",
        setting,
    )


@dataclass
class Controls:
    """Further contrasts of the study, on the same model and scene."""

    contrasts: dict[str, Templates]
    """By name, which is also that of a folder in the result: contrasts or placebos."""

    def __post_init__(self) -> None:
        for name in self.contrasts:
            check_name(name, "controls.contrasts", "controls.contrasts")
