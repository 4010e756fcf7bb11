"""The settings of the `tracking` group. They are no part of a study's identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec

from otherview.study.errors import StudyError

MODES = ("offline", "online", "off")


@dataclass
class Tracking:
    """Whether and where a result is shown in Weights & Biases."""

    mode: str = "offline"
    """offline: written into the result's directory, no network. online: sent when the result is on
    disk. off: neither."""

    project: str = "otherview"
    """Project of the run."""

    entity: str | None = None
    """User or team that owns the project; null is the key's default."""

    group: str | None = None
    """Group of the run; null is the name of the sweep's directory, and none outside sweeps."""

    patience: float = 10.0
    """Seconds without an answer after which the server is given up. An upload may take a second
    longer for every MB."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise StudyError(
                f"tracking.mode={self.mode}: choose one of {', '.join(MODES)}", "tracking.mode"
            )
        for name in ("project", "entity", "group"):
            value = getattr(self, name)
            if value is not None and (
                not value.strip() or any(sign in value for sign in "/\\#?%:")
            ):
                raise StudyError(
                    f"tracking.{name}={value!r} is blank or holds one of / \\ # ? % :",
                    f"tracking.{name}",
                )
        if not 0 < self.patience < math.inf:
            raise StudyError(
                f"tracking.patience={self.patience}: give the seconds to wait, more than 0",
                "tracking.patience",
            )

    def check_installed(self) -> None:
        """Raises StudyError where `online` was asked for and wandb is not installed."""
        if self.mode == "online" and not installed():
            raise StudyError(f"tracking=online: {MISSING}, or tracking=off", "tracking.mode")


MISSING = "wandb is not installed: pip install 'otherview[wandb]'"


def installed() -> bool:
    """Whether wandb can be imported; it is not imported here."""
    return find_spec("wandb") is not None
