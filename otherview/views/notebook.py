"""A result in a notebook: its answer, its strongest heads, and figures with their captions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure as Canvas

from otherview.results.reader import Result, ResultError, RunResult, SweepResult
from otherview.study.errors import display_path
from otherview.views.comparison_sentences import comparison_answer, labels
from otherview.views.figures import as_png
from otherview.views.figures.style import WIDTHS
from otherview.views.figures.sweep_figures import main_answer
from otherview.views.making import PAGE
from otherview.views.report.page import fill
from otherview.views.run_sentences import answer, registration_sentence
from otherview.views.sweep_sentences import answers, comparison
from otherview.views.table_model import Table
from otherview.views.unit_columns import strongest_table
from otherview.views.vocabulary import main_result

DPI = 200
MAX_ROWS = 5
"""Heads of the table."""


@dataclass(frozen=True)
class Plot:
    """A figure with its caption."""

    figure: Canvas
    """The figure of matplotlib, to change or save."""
    alt: str
    """Its content in words."""
    caption: str
    png: bytes
    width: float
    """Millimetres."""

    def _repr_html_(self) -> str:
        source = f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
        return str(
            Markup(
                '<figure style="margin:0;max-width:60rem"><img src="{}" alt="{}" '
                'style="width:{}mm;max-width:100%"><figcaption>{}</figcaption></figure>'
            ).format(source, self.alt, round(1.3 * self.width), self.caption)
        )


def plot(result: Result, name: str, width: str) -> Plot:
    """Draw a figure of a result. Raises ResultError for an unknown name or width."""
    if width not in WIDTHS:
        raise ResultError(f"width={width}: choose one of {', '.join(WIDTHS)}")
    drawing, png = as_png(result, name, DPI, WIDTHS[width])
    return Plot(drawing.canvas, drawing.alt, drawing.caption, png, WIDTHS[width])


def html(result: Result) -> str:
    """Return the title, the answer, the strongest heads and the place of a result."""
    title, said, table = content(result)
    page = result.folder / PAGE
    place = display_path(page if page.is_file() else result.folder)
    return fill("notebook.html.jinja", {"title": title, "said": said, "table": table,
                                        "place": place})  # fmt: skip


def content(result: Result) -> tuple[str, Sequence[str], Table | None]:
    """Return the title, the sentences and the table of a result."""
    if isinstance(result, SweepResult):
        combined, (group, unit_set) = result.combined, main_answer(result)
        said = [*answers(group, unit_set), comparison(combined, group, unit_set)]
        return ", ".join(combined["studies"]), said, None
    if not isinstance(result, RunResult):
        found = result.comparison
        a, b = labels(found)
        return f"{found['study']}: {a} against {b}", comparison_answer(found), None
    summary = result.summary
    said = answer(summary, result.controls, result.interventions)
    if registered := registration_sentence(summary):
        said.append(registered)
    _, found, _ = main_result(summary)
    table = strongest_table("strongest", found["strongest"][:MAX_ROWS])
    return f"{summary['study']} on {summary['model']}", said, table
