"""What the dashboard shows: sections of panels, for the study whose runs they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from otherview.results.reader import (
    Result,
    ResultError,
    RunResult,
    SweepResult,
    complaint,
    read_result,
)
from otherview.results.state import COMBINED, SUMMARY, Kind, state_of
from otherview.study.reading import Nulls
from otherview.views.findings import finding
from otherview.views.numbers import tick
from otherview.views.sweep_points import PointRow, combined_rows, point_list, stored_row
from otherview.views.tracking.record import server_key
from otherview.views.vocabulary import (
    CONFIRMED,
    LARGEST,
    NO_TEST,
    NOUNS,
    SHARED_ITEMS,
    main_result,
    main_unit_set,
)

SETTINGS = ("model", "templates", "seed")
"""Settings of a sweep's points in columns, if no points say more."""
MAX_RUNS = 500
"""Runs per panel for a project whose number of runs is not known."""


@dataclass(frozen=True)
class About:
    """The study whose runs a dashboard shows; by default any study."""

    question: str = ""
    sweep: str | None = None
    """Name of the sweep, which is the group of its runs; None for all runs of the project."""
    unit_set: str = "heads"
    thresholds: tuple[float, ...] = tuple(Nulls().thresholds)
    settings: tuple[str, ...] = SETTINGS
    """Settings in which points differ, a section of settings by the name of its option."""
    runs: int = MAX_RUNS

    @property
    def units(self) -> str:
        """The units with a capital letter: Heads."""
        return NOUNS[self.unit_set].capitalize()

    def count(self, threshold: float) -> str:
        """Return the name of a count in keys: count_3, count_2_5."""
        return server_key(f"count_{threshold:g}")


@dataclass(frozen=True)
class Bars:
    """A bar chart: one bar per run and metric."""

    title: str
    metrics: tuple[str, ...]
    by_model: bool = False
    """Whether bars are means over the runs of a model."""


@dataclass(frozen=True)
class Curve:
    """The survival curves of one statistic under its nulls, on a logarithmic axis."""

    title: str
    at_least: str
    """Key of the values."""
    metrics: tuple[str, ...]
    """Keys of the shares of each null that reach them."""


@dataclass(frozen=True)
class Section:
    """A question, how to read its panels, and these; a panel without data stays empty."""

    title: str
    answer: str = ""
    images: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    bars: tuple[Bars, ...] = ()
    tables: tuple[str, ...] = ()
    parallel: tuple[str, ...] = ()
    """Values of a plot of parallel coordinates, after the settings."""
    scatter: tuple[str, str, str] | None = None
    """Title and the two values of a scatter plot."""
    compares: bool = field(default=False)
    """Whether it has a comparison of the visible runs, setting by setting and value by value."""

    @property
    def keys(self) -> set[str]:
        """Every key that a run or a sweep must have logged for its panels."""
        return {
            *self.images, *self.tables, *self.parallel, *(self.scatter or ())[1:],
            *(key for bars in self.bars for key in bars.metrics),
            *(key for curve in self.curves for key in (curve.at_least, *curve.metrics)),
        }  # fmt: skip


def about(folder: Path) -> About:
    """Return what the runs in `folder`, a run or a sweep, ask. Raises ResultError."""
    if (folder / COMBINED).is_file() or (folder / SUMMARY).is_file():
        result = read_result(folder)
        if not isinstance(result, SweepResult):
            return about_run(result, [])
        combined, group = result.combined, result.combined["groups"][0]
        return About(
            combined["question"] or "",
            result.folder.resolve().name,
            main_unit_set(group),
            tuple(group["thresholds"]),
            settings_of(combined_rows(result.folder, combined)),
            len(combined["points"]) + 1,
        )
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / SUMMARY).is_file() and state_of(path).kind is Kind.WHOLE:
            points = [stored_row(each, {}) for each in sorted(folder.iterdir())
                      if (each / ".hydra").is_dir()]  # fmt: skip
            return about_run(read_result(path), points, folder.resolve().name)
    raise ResultError(complaint(folder, state_of(folder)))


def about_run(result: Result, points: Sequence[PointRow], sweep: str | None = None) -> About:
    """Return what a run asks, and the points of its sweep, whose runs come with that of all."""
    assert isinstance(result, RunResult)
    unit_set, found, _ = main_result(result.summary)
    return About(
        result.summary.get("question") or "",
        sweep,
        unit_set,
        tuple(row["threshold"] for row in found["published_reading"]["counts"]),
        settings_of(points),
        len(points) + 1 if points else MAX_RUNS,
    )


def settings_of(points: Sequence[PointRow]) -> tuple[str, ...]:
    """Return the settings of every sweep, and others in which the points differ."""
    others = (name for name in point_list(points).settings if name not in SETTINGS)
    return (*SETTINGS, *others)


def sections(study: About) -> tuple[Section, ...]:
    """Return the sections, first those that compare runs."""
    units, of = study.units, study.unit_set
    counts = [(study.count(size), f"|t| > {tick(size)}") for size in study.thresholds]
    lowest = counts[0][0]

    def curve(title: str, name: str, *nulls: str) -> Curve:
        return Curve(f"{title}: share that reach it", f"{of}/{name}/at_least",
                     tuple(f"{of}/{name}/null_{null}" for null in nulls))  # fmt: skip

    def bars(path: str, by_model: bool = False) -> Bars:
        return Bars(f"{units}: {finding(path).words}", (f"{of}/{path}",), by_model)

    return (
        Section(
            "Which settings matter?",
            "Each line and each point is a run: settings on the left, results on the right. Points "
            "on the diagonal of the scatter are runs all of whose units were found again on the "
            "other items. The comparison lists what differs between the visible runs.",
            parallel=(
                f"{of}/sign_flip/{lowest}/observed", f"{of}/sign_flip/familywise",
                f"{of}/role_test/called", f"{of}/discover_confirm/confirmed",
                f"{of}/split_half/mean_correlation",
            ),
            scatter=(
                f"{units}: called on half the items, and confirmed on the other",
                f"{of}/discover_confirm/discovered", f"{of}/discover_confirm/confirmed",
            ),
            compares=True,
        ),
        Section(
            f"Which {NOUNS[of]}?",
            f"A map and a table of all {NOUNS[of]}, with the result of every test. Sort the table "
            "by p_stepdown. role_called exists for three or more wordings.",
            images=("figure/head-map",),
            bars=(bars("role_test/called"), bars("sign_flip/familywise")),
            tables=(f"{of}/unit_table", f"{of}/combined"),
        ),
        Section(
            "Against which null?",
            "How large a share of the sign patterns, or of the randomisations, reaches a value. "
            "The axis is logarithmic, since only the tail decides. The 200 random flips of the "
            "published reading are too few to show their own tail.",
            images=("figure/nulls", "figure/role-null"),
            curves=(
                *(curve(f"{units} with {over}", name, "sign_flip", "published")
                  for name, over in counts),
                curve(LARGEST, "max_abs_t", "sign_flip", "published", "role_test"),
            ),
        ),
        Section(
            "How many more than by chance?",
            f"{units} are correlated, so the null of a count is wide, and the ratio of observed to "
            "p99 is not an effect size.",
            images=("figure/readings", "figure/slices"),
            bars=tuple(
                Bars(f"{units} with {over}: {words}",
                     tuple(f"{of}/sign_flip/{name}/{number}" for number in numbers))
                for name, over in counts
                for words, numbers in (("observed and null p99", ("observed", "null_p99")),
                                       ("true, at least", ("true_discoveries",)))
            ),
            tables=("study/published_reading", "study/sign_flips"),
        ),
        Section(
            "Would other items give the same?",
            "Split halves, and confirmation on items other than those that selected the units.",
            images=("figure/halves", "figure/axis"),
            bars=(
                bars("split_half/mean_correlation"), bars("split_half/replication"),
                Bars(f"{units}: {CONFIRMED}", (f"{of}/discover_confirm/discovered",
                                               f"{of}/discover_confirm/confirmed")),
            ),
        ),
        Section(
            "Would other wordings and seeds?",
            f"Agreement of the t-maps, and variance components of the differences. {SHARED_ITEMS}",
            images=("figure/agreement", "figure/variance"),
            tables=("sweep/agreement_between_templates", "sweep/agreement_between_seeds",
                    "sweep/variance", "sweep/tests", "sweep/generalises"),
        ),
        Section(
            "Controls",
            "The contrast of each study, and the placebo (two wordings of one role) that calls "
            "most. If a placebo calls as many, the count means nothing.",
            images=("figure/controls",),
            bars=(
                *(Bars(f"{units}: {words}, contrast and placebo",
                       tuple(f"controls/{of}/{kind}/{name}" for kind in ("contrast", "placebo")))
                  for words, name in (("share over the threshold", "share"),
                                      ("family-wise", "familywise"))),
                Bars("Differences, times those of the placebos",
                     (f"controls/{of}/selectivity/median_ratio",)),
            ),
            tables=("controls/contrasts",),
        ),
        Section(
            "Beyond placebos, over a sweep",
            f"Effect of the contrast minus the effect of two wordings of the same role. {NO_TEST}",
            images=("figure/selectivity",),
            tables=("sweep/selectivity",),
        ),
        Section(
            "Interventions",
            "The effect of editing the selected heads together, on each role, and that of random "
            "heads of the same sites. Positive: heads that differ, and whose edit alone shows that "
            "the role depends on them.",
            images=("figure/interventions", "scene/renderings"),
            bars=(
                *(Bars(f"Selected heads: {words}, and random heads",
                       tuple(f"interventions/selected/{role}/{name}"
                             for name in ("value", "null_mean", "null_p95")))
                  for role, words in (("test", "effect on the test role"),
                                      ("specificity", "test role minus control role"))),
                Bars("Heads with a positive verdict", ("interventions/positive",)),
            ),
            tables=("interventions/sets", "interventions/unit_table"),
        ),
        Section(
            "Attribution",
            "What gradients predict of edits of single heads, how well that agrees with edits that "
            "were made, and through which later heads the called heads act.",
            images=("figure/edges", "figure/role-axes"),
            bars=(
                Bars("Heads: predicted to matter to the role", (f"{of}/predicted_change/called",)),
                Bars("Predicted against measured, rank correlation",
                     ("interventions/agreement/specificity/spearman",)),
                bars("axes/called"),
            ),
        ),
        Section(
            "Null models",
            "The same study on weights without such an operation. A difference that passes there "
            "does not need the operation.",
            images=("figure/models",),
            bars=(
                bars("role_test/called", True), bars("sign_flip/familywise", True),
                Bars(f"{units} with {counts[0][1]}, share",
                     (f"{of}/published_reading/{lowest}/share",), True),
            ),
            tables=("sweep/models",),
        ),
        Section(
            "What the model was given, and draws",
            "Runs of other scenes are other questions.",
            images=("scene/reference", "scene/scenes", "scene/pictures", "scene/examples"),
        ),
    )  # fmt: skip
