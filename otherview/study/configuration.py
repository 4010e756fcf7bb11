"""The folder of the configuration files, and the settings that are not part of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from otherview.study.checks import check_choices, check_value
from otherview.study.errors import StudyError

RUN_SETTINGS = ("hydra", "tracking", "registration")
"""Names in a composed config that are not part of the study."""


MAX_LABEL = 64
"""Length of the longest tag that the server accepts."""


@dataclass
class Tracking:
    """Whether and where a result appears in Weights & Biases."""

    mode: str = "offline"
    """offline: write into the directory of the result, without network. online: send the result
    after it is written. off: neither."""

    project: str = "otherview"
    """Project of the run."""

    entity: str | None = None
    """User or team that owns the project; null means the default of the API key."""

    group: str | None = None
    """Group of the run; null means the directory name of the sweep, or none outside sweeps."""

    name: str | None = None
    """Name of the run; null means that of its directory. A combined sweep keeps its own."""

    tags: list[str] = field(default_factory=list)
    """Tags next to the study, the model and the contrast."""

    patience: float = 10.0
    """Seconds to wait for the server, plus one second per MB for uploads."""

    def __post_init__(self) -> None:
        check_choices("tracking", self, mode=("offline", "online", "off"))
        for name in ("project", "entity", "group"):
            value = getattr(self, name)
            if value is not None and (
                not value.strip() or any(sign in value for sign in "/\\#?%:")
            ):
                raise StudyError(
                    f"tracking.{name}={value!r} is blank or contains one of / \\ # ? % :",
                    f"tracking.{name}",
                )
        for name, values in (("name", [self.name or "-"]), ("tags", self.tags)):
            for value in values:
                if not value.strip() or len(value) > MAX_LABEL:
                    raise StudyError(
                        f"tracking.{name}: {value!r} is blank or longer than {MAX_LABEL} letters",
                        f"tracking.{name}",
                    )
        right = 0 < self.patience < math.inf
        check_value("tracking", self, "patience", right, ": give a number of seconds above 0")


@dataclass
class RunSettings:
    """What a run is told apart from its study; `hydra` has a schema of its own."""

    tracking: Tracking
    registration: str | None = None
    """File of `otherview plan ... --register FILE`: the result says whether its study is the
    registered one."""


def configuration_folder() -> Path:
    """Return `otherview/conf` in a wheel, `conf` next to the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parent / "conf"
