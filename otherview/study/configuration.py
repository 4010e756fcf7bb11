"""The folder of the configuration files, and the settings that are not part of a study."""

from __future__ import annotations

from pathlib import Path

from otherview.study.tracking import Tracking

RUN_SETTINGS = ("hydra", "tracking")
"""Names in a composed config that are not part of the study."""

SCHEMAS = {"tracking": Tracking}
"""The dataclass of each run setting that has one."""


def configuration_folder() -> Path:
    """Return `otherview/conf` in a wheel, `conf` next to the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parent / "conf"
