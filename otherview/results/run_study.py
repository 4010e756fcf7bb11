"""Run a study and write its result: measure, test, intervene, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otherview.analysis.controls import analyse_contrasts
from otherview.causes.edges import check_edges, trace_edges
from otherview.causes.intervene import check_donors, check_intervention, intervene
from otherview.disk.interruption import raise_if_interrupted
from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.passes.sessions import open_session
from otherview.passes.unfinished import FOLDER, remove_unfinished
from otherview.results.integrity import DamageError, read_sealed
from otherview.results.reader import RunResult, read_result
from otherview.results.registration import (
    first_measured,
    keep_registration,
    registration_figures,
)
from otherview.results.state import SUMMARY
from otherview.results.status import read_status, signs_of_life, write_status
from otherview.results.writing import write_analyses, write_controls, write_measurement
from otherview.study import Study, settings_of
from otherview.study.differing_settings import differing_settings, flat
from otherview.study.errors import StudyError, UserError, no_space

MAX_NAMED = 3
"""Settings that an error names."""


def run(
    study: Study,
    folder: str | Path,
    progress: Progress | None = None,
    pipeline: Any = None,
    registration: str | Path | None = None,
) -> RunResult:
    """Run `study` and write its result into `folder`; return it as `read_result` reads it.

        result = run(compose_study(["+experiment=kitchen", "model=pocket"]), "kitchen")
        result.heads

    `pipeline` is a loaded diffusers pipeline to use instead of the weights that the study names;
    the result then says so. `registration` is the file of `otherview plan ... --register FILE`; the
    result says whether the study is the registered one. An interrupted run continues where it
    stopped. Raises StudyError if the study cannot be run, where `status.json` says why, or if
    `folder` holds the result of another one.
    """
    session = None if pipeline is None else open_session(study, pipeline)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    registered = None if registration is None else Path(registration)
    make_result(study, folder, progress or silent, session, registered)
    result = read_result(folder)
    assert isinstance(result, RunResult)
    return result


def make_result(
    study: Study,
    folder: Path,
    report: Progress,
    session: Session | None = None,
    registration: Path | None = None,
) -> dict[str, Any]:
    """Measure, test and write the result into `folder`; return the content of `summary.json`.

    `session` is a loaded model to use, `registration` a file that the result is compared with.
    Batches of responses are kept until the result is complete, so that a killed run continues where
    it stopped. An error is written into `status.json` and raised.
    """
    check_folder(folder, study)
    with signs_of_life(folder):
        measured = measure_study(study, folder, report, session, registration=registration)
        return measured.finish(report)


def check_folder(folder: Path, study: Study) -> None:
    """Raise StudyError for a folder in which `study` would overwrite what cannot be made again.

    That is the result of another study, or files that otherview did not write. Hydra's own
    (`.hydra`, `run.log`) may be there already.
    """
    own, stamps = read_status(folder)
    foreign = sorted(
        entry.name
        for entry in (() if own else folder.iterdir())
        if not entry.name.startswith(".") and entry.suffix != ".log"
    )
    if foreign:
        raise StudyError(
            f"{folder} holds {foreign[0]} and no result: choose a new folder, so that nothing in "
            "it is overwritten",
            "hydra.run.dir",
        )
    with suppress(DamageError):
        there = flat(read_sealed(folder / SUMMARY, stamps)[0]["settings"])
        changed = differing_settings([there, flat(json.loads(json.dumps(settings_of(study))))])
        if changed:
            more = " and more" if len(changed) > MAX_NAMED else ""
            raise StudyError(
                f"{folder} holds the result of another study (its {', '.join(changed[:MAX_NAMED])}"
                f"{more} differ): choose a new folder, so that it is not overwritten, or remove it",
                "hydra.run.dir",
            )


@dataclass(frozen=True)
class Measured:
    """A study whose passes are done, but not tested and written yet."""

    study: Study
    folder: Path
    measurement: Measurement
    session: Session
    status: Mapping[str, Any]
    began: str
    """When its first pass was run."""

    @property
    def needs_model(self) -> bool:
        """Whether `finish` runs the model again, for edges and interventions."""
        return self.study.intervention.kind != "none" or self.study.attribution.edges

    def finish(
        self,
        report: Progress,
        made_meanwhile: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Test and write; return the content of `summary.json`.

        `made_meanwhile` is called before anything is written. If it returns True, another process
        has made this result, and its files are kept.
        """
        with ends_recorded(self.folder, self.status):
            if not made_meanwhile():
                self._write(report)
            summary, stamps = read_sealed(self.folder / SUMMARY, {})
        remove_unfinished(self.folder)
        write_status(self.folder, "finished", **self.status, stamps=stamps)
        return summary

    def _write(self, report: Progress) -> None:
        study, folder, measurement = self.study, self.folder, self.measurement
        write_measurement(folder, study, measurement)
        tested = analyse_contrasts(study, measurement, report)
        own = tested[0]
        if study.controls is not None:
            write_controls(folder, tested)
        if study.attribution.edges:
            trace_edges(study, self.session, measurement, folder, own.analyses, report)
        if study.intervention.kind != "none":
            intervene(study, self.session, measurement, folder, own.analyses, report)
        registered = registration_figures(folder, study, measurement.inputs, self.began)
        write_analyses(folder, study, own.measurement, own.analyses, registered)


def measure_study(
    study: Study,
    folder: Path,
    report: Progress,
    session: Session | None = None,
    status: Mapping[str, Any] | None = None,
    registration: Path | None = None,
) -> Measured:
    """Run the passes of `study`, whose result will be written into `folder`.

    `status` holds further fields for `status.json`. `registration` is copied into the folder
    first. An error is written into `status.json` and raised.
    """
    more = dict(status or {})
    write_status(folder, "running", **more)
    with ends_recorded(folder, more):
        began = first_measured(folder)
        keep_registration(registration, folder)
        if session is None:
            session = open_session(study)
            session.expect([study])
        check_intervention(study, session)

        def check_calls(calls: Calls) -> None:
            check_donors(study, calls)
            check_edges(study, calls)

        measurement = measure(study, report, session, folder / FOLDER, check_calls=check_calls)
    return Measured(study, folder, measurement, session, more, began)


@contextmanager
def ends_recorded(folder: Path, more: Mapping[str, Any]) -> Iterator[None]:
    """Write into `status.json` that the block was interrupted or failed; raise the error."""
    try:
        try:
            yield
        except Exception as error:
            raise_if_interrupted(error)
            raise
    except KeyboardInterrupt as asked:
        write_status(folder, "interrupted", **more, signal=str(asked) or "SIGINT")
        raise
    except Exception as error:
        with suppress(OSError):  # the disk may be full
            write_status(folder, "failed", str(error), **more)
        if no_space(error) and not isinstance(error, UserError):
            unfinished = folder / FOLDER
            any_kept = unfinished.is_dir() and any(unfinished.iterdir())
            kept = " What was measured is kept there." if any_kept else ""
            raise UserError(
                f"the disk of {folder} is full: free some space and run the same again.{kept}"
            ) from error
        raise
