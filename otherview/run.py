"""Runs a study: otherview run +experiment=kitchen model=pocket"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from otherview.study import Study
from otherview.study.compose import check_run_settings, entry_point, run_settings, study_from

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from otherview.disk.progress import Progress
    from otherview.passes.measure import Measurement
    from otherview.passes.session import Session
    from otherview.views.making import Settings


def run_study(study: Study, folder: Path, settings: Settings) -> None:
    """Measures, tests, writes the result into `folder`, prints its tables and makes its views.

    `settings` are those of the views.
    """
    from otherview.views.console import plain_console, print_result
    from otherview.views.making import make_views
    from otherview.views.progress import progress_bars

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
) -> dict[str, Any]:
    """Measures, tests and writes the result into `folder`; returns the content of `summary.json`.

    `session` is a loaded model to go on with. Batches of responses are kept as they come until the
    result is whole, so that a run that is started again after a kill goes on where it was. What
    goes wrong is raised, after `status.json` was told.
    """
    from otherview.results.status import signs_of_life

    with signs_of_life(folder):
        return measure_study(study, folder, report, session).finish(report)


@dataclass(frozen=True)
class Measured:
    """A study whose passes are done; what is left is to test it and to write its result."""

    study: Study
    folder: Path
    measurement: Measurement
    session: Session
    status: Mapping[str, Any]

    @property
    def needs_model(self) -> bool:
        """Whether finishing runs the model again."""
        return self.study.intervention.kind != "none"

    def finish(
        self,
        report: Progress,
        made_meanwhile: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Test and write; return the content of `summary.json`.

        `made_meanwhile` is asked before anything is written: where it says so, another process has
        made this result, which then stays.
        """
        from otherview.passes.unfinished import remove_unfinished
        from otherview.results.integrity import read_sealed
        from otherview.results.state import SUMMARY
        from otherview.results.status import write_status

        with ends_recorded(self.folder, self.status):
            if not made_meanwhile():
                self._write(report)
            summary, stamps = read_sealed(self.folder / SUMMARY, {})
        remove_unfinished(self.folder)
        write_status(self.folder, "finished", **self.status, stamps=stamps)
        return summary

    def _write(self, report: Progress) -> None:
        from otherview.analysis.controls import analyse_contrasts
        from otherview.causes.intervene import intervene
        from otherview.results.writing import write_analyses, write_controls, write_measurement

        study, folder, measurement = self.study, self.folder, self.measurement
        write_measurement(folder, study, measurement)
        tested = analyse_contrasts(study, measurement, report)
        own = tested[0]
        if study.controls is not None:
            write_controls(folder, tested)
        if study.intervention.kind != "none":
            intervene(study, self.session, measurement, folder, own.analyses, report)
        write_analyses(folder, study, own.measurement, own.analyses)


def measure_study(
    study: Study,
    folder: Path,
    report: Progress,
    session: Session | None = None,
    status: Mapping[str, Any] | None = None,
) -> Measured:
    """Runs the passes of `study`, whose result is to be written into `folder`.

    `status` says more in `status.json`, which is told what goes wrong before that is raised.
    """
    from otherview.causes.intervene import check_intervention
    from otherview.passes.measure import measure
    from otherview.passes.session import open_session
    from otherview.passes.unfinished import FOLDER
    from otherview.results.status import write_status

    more = dict(status or {})
    write_status(folder, "running", **more)
    with ends_recorded(folder, more):
        if session is None:
            session = open_session(study)
            session.expect([study])
        check_intervention(study, session)
        measurement = measure(study, report, session, folder / FOLDER)
    return Measured(study, folder, measurement, session, more)


@contextmanager
def ends_recorded(folder: Path, more: Mapping[str, Any]) -> Iterator[None]:
    """Write into `status.json` how the block ended, where it did not end well."""
    from otherview.results.status import write_status

    try:
        yield
    except KeyboardInterrupt:
        write_status(folder, "interrupted", **more)
        raise
    except Exception as error:
        with suppress(OSError):  # the disk may be full
            write_status(folder, "failed", str(error), **more)
        raise


def task(config: DictConfig) -> None:
    check_run_settings(config)
    folder = Path(HydraConfig.get().runtime.output_dir)
    settings = run_settings(config)
    run_study(study_from(config), folder, settings)


main = entry_point(task, "run")


if __name__ == "__main__":
    main()
