"""A study's contrasts and placebos, each measured and tested like a study of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from otherview.analysis.analyse import Analysis, analyse
from otherview.disk.progress import Progress
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.study import Study


@dataclass(frozen=True)
class Tested:
    """One contrast or placebo: what it asked, measured and tested."""

    name: str
    study: Study
    measurement: Measurement
    analyses: dict[str, Analysis]
    """By unit set."""

    @property
    def is_placebo(self) -> bool:
        """Whether all its wordings are of one and the same role."""
        return self.study.templates.placebo is not None


def control_studies(study: Study) -> dict[str, Study]:
    """By name, what a study's controls are as studies: other wordings, all else the same.

    Labels are shuffled for the study's own wordings only.
    """
    if study.controls is None:
        return {}
    nulls = replace(study.nulls, label_shuffle=0)
    return {
        name: replace(study, templates=templates, nulls=nulls, controls=None, published=None)
        for name, templates in study.controls.contrasts.items()
    }


def with_controls(study: Study) -> list[Study]:
    """`study` and its controls, in the order in which they are measured."""
    return [study, *control_studies(study).values()]


def measure_controls(
    study: Study,
    session: Session,
    progress: Progress | None = None,
    unfinished: Path | None = None,
) -> list[Tested]:
    """Measures and tests every control of `study`, in the order in which they are written.

    `unfinished` is a folder in which batches are kept as they come.
    """
    tested = []
    for name, control in control_studies(study).items():
        report = named(progress, name) if progress else None
        measurement = measure(control, report, session, unfinished and unfinished / name)
        analyses = analyse(measurement.responses, control, report)
        tested.append(Tested(name, control, measurement, analyses))
    return tested


def named(progress: Progress, name: str) -> Progress:
    def report(stage: str, done: int, total: int) -> None:
        progress(f"{name}: {stage}", done, total)

    return report
