"""Test every contrast of a study, its own first, on the one measurement."""

from __future__ import annotations

from dataclasses import dataclass

from otherview.analysis.analyse import Analysis, analyse
from otherview.disk.progress import Progress
from otherview.passes.measure import Measurement
from otherview.study import Study


@dataclass(frozen=True)
class TestedContrast:
    """One contrast or placebo, tested."""

    name: str
    study: Study
    """The study that asks this contrast alone."""
    measurement: Measurement
    """The passes of this contrast."""
    analyses: dict[str, Analysis]
    """By unit set."""

    @property
    def is_placebo(self) -> bool:
        """Whether all its conditions have the same role."""
        return self.study.templates.placebo is not None


def analyse_contrasts(
    study: Study, measurement: Measurement, progress: Progress | None = None
) -> list[TestedContrast]:
    """Test every contrast of `study` on what was measured once for all of them."""
    tested = []
    for number, name in enumerate(study.contrasts):
        report = named(progress, name) if progress and number else progress
        asked, measured = study.asking(name), measurement.of(name)
        analyses = analyse(measured.responses, asked, report, measured.attribution)
        tested.append(TestedContrast(name, asked, measured, analyses))
    return tested


def named(progress: Progress, name: str) -> Progress:
    def report(stage: str, done: int, total: int) -> None:
        progress(f"{name}: {stage}", done, total)

    return report
