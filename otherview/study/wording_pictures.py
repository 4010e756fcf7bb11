"""Settings of the pictures that a wording brings, in place of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from otherview.study.errors import StudyError
from otherview.study.placeholders import fill


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
