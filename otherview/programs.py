"""The two commands whose settings Hydra composes: `otherview run` and `otherview plan`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from otherview.disk.imports import importing
from otherview.study import Study
from otherview.study.compose import (
    identity,
    register_resolvers,
    run_settings,
    study_from,
    with_all_settings,
    write_composition,
)
from otherview.study.config_errors import USER_ERRORS, one_line
from otherview.study.configuration import configuration_folder
from otherview.sweep.launcher_sources import check_sweeper

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from otherview.views.making import Settings

FULL_ERROR = "HYDRA_FULL_ERROR"
"""What Hydra's users set to see tracebacks."""


def run() -> None:
    """Run a study, or the points of a sweep, as the command line says."""
    compose_and_call(run_task, "run")


def plan() -> None:
    """Print what a study would run; with `--register FILE`, write down what it will ask."""
    parser = argparse.ArgumentParser("otherview plan", add_help=False, allow_abbrev=False)
    parser.add_argument("--register", type=Path, metavar="FILE")
    given, sys.argv[1:] = parser.parse_known_args(sys.argv[1:])
    compose_and_call(partial(plan_task, register=given.register), "plan")


def run_task(config: DictConfig) -> None:
    invocation = HydraConfig.get()
    if invocation.mode == RunMode.MULTIRUN:
        check_sweeper(invocation)
    folder = Path(invocation.runtime.output_dir)
    settings, study = run_settings(config), study_from(config)
    with importing():
        from otherview.results.run_study import check_folder
    check_folder(folder, study)
    write_composition(folder, config, invocation.overrides.task)
    run_study(study, folder, settings)


def plan_task(config: DictConfig, register: Path | None = None) -> None:
    from otherview.results.registration import check_new
    from otherview.views.plan_console import print_plan

    study = study_from(config)
    if register is not None:
        check_new(register)
    finds = print_plan(study)
    if register is not None:
        from otherview.views.registering import register_study

        register_study(study, identity(config), finds, register)


def run_study(study: Study, folder: Path, settings: Settings) -> None:
    """Run `study`, write its result into `folder`, print its tables and make its views.

    `settings` are those of the views.
    """
    with importing():
        from otherview.results.registration import registration_file
        from otherview.results.run_study import make_result
        from otherview.views.console import PlainConsole, print_places, print_result
        from otherview.views.making import shown_and_viewed
        from otherview.views.progress_bars import progress_bars

    console = PlainConsole()
    with progress_bars(console) as report:
        make_result(study, folder, report, registration=registration_file(settings))
    shown_and_viewed(partial(print_result, folder, console), folder, settings, console)
    print_places(folder, console)


def compose_and_call(task: Callable[[DictConfig], None], config_name: str) -> None:
    """Compose `conf/<config_name>.yaml` as the command line says and call `task` with it.

    A mistake of the user ends in one line on stderr and exit code 1. `HYDRA_FULL_ERROR=1` shows
    the traceback instead.
    """
    wants_tracebacks = os.environ.get(FULL_ERROR) == "1"

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except BrokenPipeError:
            raise SystemExit(1) from None  # else Hydra adds lines of its own
        except USER_ERRORS as error:
            line = one_line(error)
            # the other points of a sweep run nevertheless
            in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
            if line is None or in_sweep or wants_tracebacks:
                raise
            raise SystemExit(f"error: {line}") from error  # else Hydra adds lines of its own

    register_resolvers()
    folder = str(configuration_folder())
    main = hydra.main(config_path=folder, config_name=config_name, version_base="1.3")(guarded)

    def compose(words: list[str]) -> None:
        sys.argv[1:] = words
        main()

    # Hydra raises errors; by itself it prints them, adds lines of its own and exits
    with patch.dict(os.environ, {FULL_ERROR: "1"}):
        with_all_settings(compose, sys.argv[1:])
