"""Composed points, without a command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from otherview.study.compose import register_resolvers
from otherview.study.configuration import configuration_folder
from otherview.sweep.points import Point, compose_points

Compose = Callable[[Sequence[Sequence[str]]], list[Point]]


@pytest.fixture
def loader() -> Any:
    """Hydra's own loader of the configuration."""
    register_resolvers()
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def master(loader: Any) -> Any:
    """The config of a sweep before its points."""
    return loader.load_configuration("run", ["+experiment=kitchen"], run_mode=RunMode.MULTIRUN)


@pytest.fixture
def compose(loader: Any, master: Any) -> Compose:
    return lambda overrides: compose_points(loader, master, overrides)
