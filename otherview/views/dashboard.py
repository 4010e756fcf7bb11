"""The dashboard as code: otherview dashboard show|push

A Weights & Biases workspace with one section per question of a study, and a report of a sweep.
`show` prints what `push` would save, without network; the same call gives the same bytes. Pushing
again replaces what was pushed before.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from otherview.study.tracking import Tracking
from otherview.views.findings import finding
from otherview.views.tracking.process import TrackingError
from otherview.views.vocabulary import CONFIRMED, LARGEST, NO_TEST, SHARED_ITEMS

WORKSPACE_NAME = "nw-otherviewqs-v"
"""Name of the workspace in the project; its middle part is in the address in the app."""
PLACEHOLDER_ENTITY = "ENTITY"
"""Owner that `show` prints if none is named."""


@dataclass(frozen=True)
class Question:
    """A section: its question, and the keys that answer it."""

    title: str
    answer: str
    """How to read the panels, in a sentence or two."""
    images: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    """Findings of heads: one bar chart each."""
    counts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Other metrics of heads, by the title of their bar chart."""
    by_model: bool = False
    """Whether bars are means over the runs of a model."""
    tables: tuple[str, ...] = ()

    @property
    def bars(self) -> dict[str, list[str]]:
        """Metrics of each bar chart, by title."""
        charts = {f"Heads: {finding(path).words}": (path,) for path in self.findings}
        return {
            title: [f"heads/{path}" for path in paths]
            for title, paths in (charts | self.counts).items()
        }


QUESTIONS = (
    Question(
        "Which heads?",
        "A map and a table of all heads, with the result of every test. Sort the table by "
        "p_stepdown. role_called exists for three or more wordings.",
        images=("figure/head-map", "scene/reference"),
        findings=("sign_flip/familywise", "role_test/called"),
        counts={f"Heads: {LARGEST}": ("published_reading/max_abs_t",)},
        tables=("heads/unit_table", "heads/combined"),
    ),
    Question(
        "Against which null?",
        "Observed values against all sign patterns and against the 200 random flips of the "
        "published reading. Heads are correlated, so the null of a count is wide, and the ratio of "
        "observed to p99 is not an effect size.",
        images=("figure/nulls", "figure/readings", "figure/slices"),
        counts={
            "Heads with |t| > 3: observed and null p99": (
                "sign_flip/count_3/observed",
                "sign_flip/count_3/null_p99",
            ),
            "Heads with |t| > 3: true, at least": ("sign_flip/count_3/true_discoveries",),
        },
        tables=("study/published_reading", "study/sign_flips"),
    ),
    Question(
        "How stable over items, templates and seeds?",
        "Within a run: split halves, and confirmation on items other than those that selected the "
        "heads. Over a sweep: agreement of the t-maps, and variance components of the "
        f"differences. {SHARED_ITEMS}",
        images=("figure/halves", "figure/axis", "figure/agreement", "figure/variance"),
        findings=("split_half/mean_correlation", "split_half/replication"),
        counts={
            f"Heads: {CONFIRMED}": ("discover_confirm/discovered", "discover_confirm/confirmed"),
        },
        tables=(
            "sweep/agreement_between_templates",
            "sweep/agreement_between_seeds",
            "sweep/variance",
            "sweep/tests",
        ),
    ),
    Question(
        "Selectivity against placebo?",
        f"Effect of the contrast minus the effect of two wordings of the same role. {NO_TEST}",
        images=("figure/selectivity",),
        tables=("sweep/selectivity", "sweep/generalises"),
    ),
    Question(
        "Null models?",
        "The same study on weights without such an operation. A difference that passes there does "
        "not need the operation.",
        images=("figure/models",),
        findings=("role_test/called", "sign_flip/familywise"),
        counts={"Heads with |t| > 3, share": ("published_reading/count_3/share",)},
        by_model=True,
        tables=("sweep/models",),
    ),
)


def workspace(project: str, entity: str) -> Any:
    """Return a wandb_workspaces Workspace with one section per question, and no other panels."""
    import wandb_workspaces.workspaces as ws

    sections = []
    for question in QUESTIONS:
        section = ws.Section(name=question.title, panels=panels_of(question), is_open=True)
        section.layout_settings = ws.SectionLayoutSettings(columns=3, rows=2)
        sections.append(section)
    made = ws.Workspace(entity=entity, project=project, name="otherview", sections=sections)
    made._internal_name = WORKSPACE_NAME
    made._internal_runset_id = "otherview-runs"
    return made


def sweep_report(project: str, entity: str, sweep: str) -> Any:
    """Return a wandb_workspaces Report of one sweep: the questions, over its runs only.

    Its name is fixed, so saving it again replaces it.
    """
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [wr.TableOfContents()]
    for question in QUESTIONS:
        # Without a project the set takes that of the report, which needs no look-up.
        runset = wr.Runset(name=sweep, filters=f'Metric("group") == {sweep!r}')
        runset._id = f"{slug(question.title)}-runs"
        panels = panels_of(question)
        for place, panel in enumerate(panels):
            panel.layout = wr.Layout(x=12 * (place % 2), y=8 * (place // 2), w=12, h=8)
        grid = wr.PanelGrid(runsets=[runset], panels=panels)
        blocks += [wr.H2(question.title), wr.P(question.answer), grid]
    description = f"The runs of the sweep {sweep}, question by question."

    def named(report: Any) -> Any:
        model = wr.Report._to_model(report)
        model.name = f"otherview-{slug(description)}"
        return model

    return type("ReplacingReport", (wr.Report,), {"_to_model": named})(
        project=project,
        entity=entity,
        title=f"{sweep}: does the model take the viewpoint?",
        description=description,
        blocks=blocks,
    )


def panels_of(question: Question) -> list[Any]:
    """Return the panels of a question, with fixed ids (those of wandb_workspaces are random)."""
    import wandb_workspaces.reports.v2 as wr

    grouped: dict[str, Any] = {}
    if question.by_model:
        grouped = {"groupby": wr.Config("model.name"), "groupby_aggfunc": "mean"}
    panels = [
        wr.MarkdownPanel(markdown=question.answer),
        *(wr.MediaBrowser(title=key, media_keys=[key], num_columns=1) for key in question.images),
        *(wr.BarPlot(title=title, metrics=metrics, **grouped)
          for title, metrics in question.bars.items()),
        *(wr.WeavePanelSummaryTable(table_name=name) for name in question.tables),
    ]  # fmt: skip
    for place, panel in enumerate(panels):
        panel._id = f"{slug(question.title)}-{place}"
    return panels


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def dashboard(project: str, entity: str, sweep: str | None) -> Any:
    """Return the workspace, or with a sweep its report."""
    return sweep_report(project, entity, sweep) if sweep else workspace(project, entity)


def as_json(made: Any) -> str:
    """Return the JSON that a workspace or report is saved as."""
    content = json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)


def push(project: str, entity: str | None, sweep: str | None) -> str:
    """Save the workspace or the report; return its address."""
    import wandb

    owner = entity or wandb.Api(timeout=int(Tracking().patience)).default_entity
    if owner is None:
        raise TrackingError("the API key has no default entity: name one with --entity")
    made = dashboard(project, owner, sweep)
    made.save()
    address: str = made.url
    return address


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview dashboard", description="The dashboard in Weights & Biases."
    )
    parser.add_argument("action", choices=("show", "push"), help="print its JSON, or save it")
    parser.add_argument("--project", default=Tracking().project)
    parser.add_argument("--entity", help="user or team; by default that of the API key")
    parser.add_argument("--report", metavar="SWEEP", help="make the report of this sweep instead")
    given = parser.parse_args(arguments)
    if given.action == "show":
        owner = given.entity or PLACEHOLDER_ENTITY
        print(as_json(dashboard(given.project, owner, given.report)))
        return 0
    try:
        print(push(given.project, given.entity, given.report))
    except Exception as error:
        from otherview.views.tracking.send import one_line

        raise TrackingError(f"not pushed: {one_line(error)}") from error
    return 0
