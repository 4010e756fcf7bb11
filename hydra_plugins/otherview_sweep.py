"""otherview's launcher and sweeper, in the package that Hydra searches for plugins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SweepLauncher(Launcher):
    """Run or submit the points of a sweep: conf/hydra/launcher."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what `launch` needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Compose and check all points, and start those that are not done.

        Exits with 1 if points failed.
        """
        del initial_job_idx  # a point is named by what it is
        from hydra.core.utils import setup_globals

        from otherview.sweep.launch import launch

        setup_globals()
        launch(self.hydra_context.config_loader, self.config, job_overrides, self.settings)
        return []


class PointSweeper(Sweeper):
    """Every combination of the given values, as Hydra's own sweeper makes them: conf/hydra/sweeper.

    otherview's launcher composes all points itself, once and quickly. For any other launcher they
    are checked here first.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what `sweep` needs."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Launch the combinations of `params` and `arguments`."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{name}={values}" for name, values in self.params.items()]
        points = combinations(parser.parse_overrides([*params, *arguments]))
        if isinstance(self.launcher, SweepLauncher):
            return self.launcher.launch(points, initial_job_idx=0)
        self.validate_batch_is_legal(points)
        done = self.launcher.launch(points, initial_job_idx=0)
        return [job.return_value for job in done]  # raises what a job raised


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return every combination of the values of the overrides; the last ones vary fastest.

    Raises HydraException for a sweep over a range without steps.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        name = override.get_key_element()
        if not override.is_sweep_override():
            values[name] = [f"{name}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[name] = [f"{name}={value}" for value in override.sweep_string_iterator()]
        else:
            raise HydraException(f"{name}: give the values to sweep over, or range(...)")
    return [list(point) for point in itertools.product(*values.values())]
