"""What is known of a family: its parts, one cheap call, and its traps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Parts = dict[str, Any]
"""Arguments of a pipeline's class, by name."""

HEIGHT, WIDTH = 64, 96
"""Pixels of a picture. Not square, so that the two cannot be mistaken for each other."""


@dataclass(frozen=True)
class Family:
    pipeline: str
    """Name of the class in diffusers."""

    parts: Callable[[], Parts]

    inputs: dict[str, Any] = field(default_factory=dict)
    """Arguments of a call but for what every family shares: size, one step, latents as output."""

    guidance_off: dict[str, float] = field(default_factory=lambda: {"guidance_scale": 1.0})
    """Arguments with which the pipeline calls its transformer for the prompt only."""

    calls: int = 1
    """Calls of the transformer in one call of the pipeline with guidance off."""

    picture: str | None = None
    """Argument that takes a reference picture."""

    needs_picture: bool = False

    traps: str = ""
