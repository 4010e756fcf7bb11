"""The folder of the configuration files, and the settings that are not part of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from otherview.study.tracking import Tracking

RUN_SETTINGS = ("hydra", "tracking", "registration")
"""Names in a composed config that are not part of the study."""


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
