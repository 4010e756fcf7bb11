"""otherview's launcher and sweeper, where Hydra looks for plugins; see otherview.sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SweepLauncher(Launcher):
    """Runs or submits the points of a sweep: conf/hydra/launcher."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keeps what `launch` needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Composes and checks all points, and starts those that are not done.

        Exits with 1 where points failed.
        """
        del initial_job_idx  # a point is named by what it is
        from hydra.core.utils import setup_globals

        from otherview.sweep.launch import launch

        setup_globals()
        launch(self.hydra_context.config_loader, self.config, job_overrides, self.settings)
        return []


class PointSweeper(BasicSweeper):
    """Every combination of the given values.

    Unlike Hydra's own it leaves composing to the launcher, which does it once and quickly.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Launches the combinations of `arguments`."""
        if not isinstance(self.launcher, SweepLauncher):
            return super().sweep(arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        return [self.launcher.launch(batch, initial_job_idx=0) for batch in batches]
