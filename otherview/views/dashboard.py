"""The dashboard as code: otherview dashboard show|push [DIR]

A Weights & Biases workspace with one section per question, or a report of a sweep. With DIR, a
sweep or a run, it shows the runs of that sweep and speaks of its study. `show` prints what `push`
would save, without network; the same call gives the same bytes. Pushing again replaces what was
pushed before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otherview.study.configuration import Tracking
from otherview.views.dashboard_sections import About, Section, about, sections
from otherview.views.tracking.process import TrackingError

PLACEHOLDER_ENTITY = "ENTITY"
"""Owner that `show` prints if none is named."""
COLUMNS = 3
"""Panels next to each other in a section."""
PINNED = (
    "role_test/called",
    "sign_flip/familywise",
    "sign_flip/{lowest}/observed",
    "discover_confirm/confirmed",
    "split_half/mean_correlation",
)
"""Results in pinned columns of the table of runs, after the settings."""


def workspace(project: str, entity: str, study: About) -> Any:
    """Return a wandb_workspaces Workspace with one section per question, and no other panels.

    Its runs are grouped by model, templates and seed.
    """
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    made_sections = []
    for section in sections(study):
        panels = panels_of(section, study)
        made = ws.Section(name=section.title, panels=panels, is_open=True)
        # All panels on one page: a section with more rows than this would have several.
        rows = math.ceil(len(panels) / COLUMNS)
        made.layout_settings = ws.SectionLayoutSettings(columns=COLUMNS, rows=rows)
        made_sections.append(made)
    runs = ws.RunsetSettings(
        groupby=[expr.Config(path_of(name)) for name in ("model", "templates", "seed")],
        filters=[expr.Metric("Group") == study.sweep] if study.sweep else "",
        pinned_columns=pinned_columns(study),
    )
    whole = ws.Workspace(
        entity=entity,
        project=project,
        name=f"otherview: {study.sweep}" if study.sweep else "otherview",
        sections=made_sections,
        settings=ws.WorkspaceSettings(max_runs=study.runs),
        runset_settings=runs,
    )
    # its middle part is in the address
    digest = hashlib.sha256((study.sweep or "").encode()).hexdigest()[:11]
    whole._internal_name = f"nw-{digest if study.sweep else 'otherviewqs'}-v"
    whole._internal_runset_id = "otherview-runs"
    return whole


def pinned_columns(study: About) -> list[str]:
    """Return the columns of settings and results, as the app names them."""
    lowest = study.count(study.thresholds[0])
    return [
        "run:displayName",
        *(f"config:{path_of(name).replace('.', '.value.', 1)}" if "." in path_of(name)
          else f"config:{name}.value" for name in study.settings),
        *(f"summary:{study.unit_set}/{path.format(lowest=lowest)}" for path in PINNED),
    ]  # fmt: skip


def path_of(setting: str) -> str:
    """Return where the config of a run has a setting: an option of a group by its name."""
    return f"{setting}.name" if setting in ("model", "templates", "scene", "creatures") else setting


def sweep_report(project: str, entity: str, study: About) -> Any:
    """Return a wandb_workspaces Report of one sweep: the sections, over its runs only.

    Its name is fixed, so saving it again replaces it.
    """
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    sweep = study.sweep or ""
    blocks: list[Any] = [wr.TableOfContents()]
    for section in sections(study):
        # Without a project the set takes that of the report, which needs no look-up.
        runset = wr.Runset(name=sweep, filters=[expr.Metric("Group") == sweep])
        runset._id = f"{slug(section.title)}-runs"
        panels = panels_of(section, study, with_answer=False)
        for place, panel in enumerate(panels):
            panel.layout = wr.Layout(x=12 * (place % 2), y=8 * (place // 2), w=12, h=8)
        grid = wr.PanelGrid(runsets=[runset], panels=panels)
        blocks += [wr.H2(section.title), wr.P(section.answer), grid]
    description = f"The runs of the sweep {sweep}, question by question."

    def named(report: Any) -> Any:
        model = wr.Report._to_model(report)
        model.name = f"otherview-{slug(description)}"
        return model

    return type("ReplacingReport", (wr.Report,), {"_to_model": named})(
        project=project,
        entity=entity,
        title=f"{sweep}: {study.question}" if study.question else sweep,
        description=description,
        blocks=blocks,
    )


def panels_of(section: Section, study: About, *, with_answer: bool = True) -> list[Any]:
    """Return the panels of a section, with fixed ids (those of wandb_workspaces are random)."""
    import wandb_workspaces.reports.v2 as wr

    panels: list[Any] = [wr.MarkdownPanel(markdown=section.answer)] if with_answer else []
    if section.parallel:
        settings = [
            wr.ParallelCoordinatesPlotColumn(metric=wr.Config(path_of(name)), display_name=name)
            for name in study.settings
        ]
        results = [
            wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(key))
            for key in section.parallel
        ]
        title = "Settings against results"
        panels.append(wr.ParallelCoordinatesPlot(columns=[*settings, *results], title=title))
    if section.scatter:
        title, x, y = section.scatter
        panels.append(wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y)))
    if section.compares:
        panels.append(wr.RunComparer(diff_only="split"))
    panels += [wr.MediaBrowser(title=key, media_keys=[key], num_columns=1)
               for key in section.images]  # fmt: skip
    panels += [
        wr.LinePlot(title=curve.title, x=curve.at_least, y=list(curve.metrics), log_y=True,
                    title_x="at least", title_y="share", max_runs_to_show=study.runs)
        for curve in section.curves
    ]  # fmt: skip
    panels += [
        wr.BarPlot(
            title=bars.title, metrics=list(bars.metrics), max_runs_to_show=study.runs,
            max_bars_to_show=study.runs * len(bars.metrics),
            **({"groupby": wr.Config("model.name"), "groupby_aggfunc": "mean"}
               if bars.by_model else {}),
        )
        for bars in section.bars
    ]  # fmt: skip
    panels += [wr.WeavePanelSummaryTable(table_name=name) for name in section.tables]
    for place, panel in enumerate(panels):
        panel._id = f"{slug(section.title)}-{place}"
    return panels


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def as_json(made: Any) -> str:
    """Return the JSON that a workspace or report is saved as."""
    content = json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)


def default_entity() -> str:
    """Return the owner of the API key. Raises TrackingError where it has none."""
    import wandb

    owner: str | None = wandb.Api(timeout=int(Tracking().patience)).default_entity
    if owner is None:
        raise TrackingError("the API key has no default entity: name one with --entity")
    return owner


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview dashboard", description="The dashboard in Weights & Biases."
    )
    parser.add_argument("action", choices=("show", "push"), help="print its JSON, or save it")
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="DIR",
        help="sweep or run whose study it is about; by default all runs of the project",
    )  # fmt: skip
    parser.add_argument("--project", default=Tracking().project)
    parser.add_argument("--entity", help="user or team; by default that of the API key")
    parser.add_argument("--report", action="store_true", help="make a report of the sweep instead")
    given = parser.parse_intermixed_args(arguments)  # DIR may come after options
    study = about(given.folder) if given.folder else About()
    if given.report and study.sweep is None:
        raise TrackingError("--report is about a sweep: name its directory")
    make = sweep_report if given.report else workspace
    if given.action == "show":
        print(as_json(make(given.project, given.entity or PLACEHOLDER_ENTITY, study)))
        return
    try:
        made = make(given.project, given.entity or default_entity(), study)
        made.save()
        print(made.url)
    except Exception as error:
        from otherview.views.tracking.send import one_line

        raise TrackingError(f"not pushed: {one_line(error)}") from error
