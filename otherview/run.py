"""Runs a study: python -m otherview.run +experiment=kitchen model=pocket"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from otherview.compose import entry_point, run_settings, study_from
from otherview.study import Study

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from otherview.views import Settings


def run_study(study: Study, folder: Path, settings: Settings) -> None:
    """Measures, tests, writes the result into `folder`, makes its views and prints its tables.

    `settings` are those of the views.
    """
    from otherview.analysis import analyse
    from otherview.console import plain_console, print_summary, progress_bars
    from otherview.measure import measure
    from otherview.result import write_analyses, write_measurement, write_status
    from otherview.views import make_views

    console = plain_console()
    write_status(folder, "running")
    try:
        with progress_bars(console) as report:
            measurement = measure(study, report)
            write_measurement(folder, study, measurement)
            analyses = analyse(measurement.responses, study, report)
        summary = write_analyses(folder, study, measurement, analyses)
    except KeyboardInterrupt:
        write_status(folder, "interrupted")
        raise
    except Exception as error:
        write_status(folder, "failed", str(error))
        raise
    write_status(folder, "finished")
    make_views(folder, settings, console)
    print_summary(summary, folder, console)


def _task(config: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    settings = run_settings(config)
    run_study(study_from(config), folder, settings)


if __name__ == "__main__":
    entry_point(_task, "run")()
