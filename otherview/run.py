"""Runs a study: python -m otherview.run +experiment=kitchen model=pocket"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from otherview.compose import check_run_settings, entry_point, run_settings, study_from
from otherview.study import Study

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from otherview.session import Progress, Session
    from otherview.views import Settings


def run_study(study: Study, folder: Path, settings: Settings) -> None:
    """Measures, tests, writes the result into `folder`, prints its tables and makes its views.

    `settings` are those of the views.
    """
    from otherview.console import plain_console, print_result, progress_bars
    from otherview.views import make_views

    console = plain_console()
    with progress_bars(console) as report:
        make_result(study, folder, report)
    print_result(folder, console)
    make_views(folder, settings, console)


def make_result(
    study: Study,
    folder: Path,
    report: Progress,
    session: Session | None = None,
    status: Mapping[str, Any] | None = None,
    made_meanwhile: Callable[[], dict[str, Any] | None] = lambda: None,
) -> dict[str, Any]:
    """Measures, tests and writes the result into `folder`; returns the content of `summary.json`.

    `session` is a loaded model to go on with. `status` says more in `status.json`.
    `made_meanwhile` is asked before anything is written: where it gives a summary, another process
    has made this result, which then stays. Batches of responses are kept as they come until the
    result is whole, so that a run that is started again after a kill goes on where it was. What
    goes wrong is raised, after `status.json` was told.
    """
    from otherview.result import write_status
    from otherview.unfinished import remove_unfinished

    more = dict(status or {})
    write_status(folder, "running", **more)
    try:
        summary = _make_result(study, folder, report, session, made_meanwhile)
    except KeyboardInterrupt:
        write_status(folder, "interrupted", **more)
        raise
    except Exception as error:
        with suppress(OSError):  # the disk may be full
            write_status(folder, "failed", str(error), **more)
        raise
    remove_unfinished(folder)
    write_status(folder, "finished", **more)
    return summary


def _make_result(
    study: Study,
    folder: Path,
    report: Progress,
    session: Session | None,
    made_meanwhile: Callable[[], dict[str, Any] | None],
) -> dict[str, Any]:
    from otherview.analysis import analyse
    from otherview.controls.contrasts import Tested, measure_controls, with_controls
    from otherview.interventions.intervene import check_intervention, intervene
    from otherview.measure import measure
    from otherview.result import write_analyses, write_controls, write_measurement
    from otherview.session import open_session
    from otherview.unfinished import FOLDER

    if session is None:
        session = open_session(study)
        session.expect(with_controls(study))
    check_intervention(study, session)
    unfinished = folder / FOLDER
    measurement = measure(study, report, session, unfinished / "own")
    if (summary := made_meanwhile()) is not None:
        return summary
    write_measurement(folder, study, measurement)
    analyses = analyse(measurement.responses, study, report)
    if study.controls is not None:
        own = Tested(study.templates.name, study, measurement, analyses)
        write_controls(
            folder, [own, *measure_controls(study, session, report, unfinished / "controls")]
        )
    if study.intervention.kind != "none":
        intervene(study, session, measurement, folder, analyses, report)
    return write_analyses(folder, study, measurement, analyses)


def _task(config: DictConfig) -> None:
    check_run_settings(config)
    folder = Path(HydraConfig.get().runtime.output_dir)
    settings = run_settings(config)
    run_study(study_from(config), folder, settings)


if __name__ == "__main__":
    entry_point(_task, "run")()
