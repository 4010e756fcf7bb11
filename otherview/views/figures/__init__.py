"""The figures of a result, each drawn from its tables: otherview figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from otherview.disk.atomic import replacing
from otherview.results.reader import (
    ComparisonResult,
    NotInResultError,
    Result,
    ResultError,
    RunResult,
    SweepResult,
)
from otherview.views.figures.axis_figure import draw_axis
from otherview.views.figures.comparison_figures import draw_comparison_map, draw_effects
from otherview.views.figures.controls_figure import draw_controls
from otherview.views.figures.curves_figure import draw_doses, draw_sizes
from otherview.views.figures.edges_figure import draw_edges
from otherview.views.figures.head_map import draw_head_map
from otherview.views.figures.intervention_figure import draw_interventions
from otherview.views.figures.levels_figure import draw_levels
from otherview.views.figures.null_figures import draw_nulls
from otherview.views.figures.readings_figure import draw_readings
from otherview.views.figures.role_axes_figure import draw_role_axes
from otherview.views.figures.role_figure import draw_item_null, draw_role_null
from otherview.views.figures.slice_map import draw_slice_map
from otherview.views.figures.slices_figure import draw_slices
from otherview.views.figures.split_figure import draw_halves
from otherview.views.figures.style import WIDTHS, Drawing, figure_style
from otherview.views.figures.sweep_figures import (
    draw_agreement,
    draw_models,
    draw_selectivity,
    draw_sweep_map,
    draw_variance,
)

FORMATS = ("pdf", "svg", "png")
DPI = 300


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn alone."""

    name: str
    shows: str
    """What it shows, in one line."""
    of_run: Callable[[RunResult, float], Drawing] | None = None
    """Draws it from the files of a run, at a width in millimetres."""
    of_sweep: Callable[[SweepResult, float], Drawing] | None = None
    """Draws it from the files of a combined sweep."""
    of_comparison: Callable[[ComparisonResult, float], Drawing] | None = None
    """Draws it from the files of a comparison of two results."""


FIGURES = (
    Figure("head-map", "effect of every head, block by block", draw_head_map, draw_sweep_map,
           draw_comparison_map),
    Figure("levels", "difference of the strongest heads by noise level", draw_levels),
    Figure("role-null", "|t| of the role against randomised roles and items", draw_role_null),
    Figure("item-null", "|t| over items of every head against sign flips", draw_item_null),
    Figure("role-axes", "axis of the role in every head, block by block", draw_role_axes),
    Figure("nulls", "observed counts and largest |t| against sign flips", draw_nulls),
    Figure("readings", "units called by the published and the corrected readings", draw_readings),
    Figure("slice-map", "effect of every 16-channel slice, block by block", draw_slice_map),
    Figure("slices", "16-channel slices over the threshold, block by block", draw_slices),
    Figure("axis", "effect item by item for the strongest heads", draw_axis),
    Figure("halves", "t on the items that chose the heads and on the others", draw_halves),
    Figure("controls", "heads called under other contrasts and placebos", draw_controls),
    Figure("edges", "through which later heads the called heads act", draw_edges),
    Figure("interventions", "effects of editing heads, against random heads", draw_interventions),
    Figure("doses", "effect of the selected heads by dose of the edit", draw_doses),
    Figure("sizes", "effect of the strongest few heads, and of a set that grew", draw_sizes),
    Figure("models", "heads called under every template, by model and null model",
           of_sweep=draw_models),
    Figure("agreement", "correlation of the t-maps of the templates", of_sweep=draw_agreement),
    Figure("variance", "differences split over items, templates and seeds", of_sweep=draw_variance),
    Figure("selectivity", "effects beyond those of placebos", of_sweep=draw_selectivity),
    Figure("effects", "effect of every head in one model against the other",
           of_comparison=draw_effects),
)  # fmt: skip


def draw(result: Result, name: str, width: float) -> Drawing:
    """Draw one figure of `result`, `width` millimetres wide.

    Raises ResultError for an unknown name and NotInResultError if the result lacks its data.
    """
    known = {figure.name: figure for figure in FIGURES}
    if name not in known:
        raise ResultError(f"no figure is called {name}; there are: {', '.join(known)}")
    figure = known[name]
    draws: Mapping[type[Result], tuple[str, Callable[[Any, float], Drawing] | None]] = {
        RunResult: ("run", figure.of_run),
        SweepResult: ("combined sweep", figure.of_sweep),
        ComparisonResult: ("comparison", figure.of_comparison),
    }
    kind, drawn = draws[type(result)]
    if drawn is None:
        raise NotInResultError(f"{name} is no figure of a {kind}: {result.folder}")
    return drawn(result, width)


def as_png(
    result: Result, name: str, dpi: int, width: float = WIDTHS["page"]
) -> tuple[Drawing, bytes]:
    """Return a figure of `result` on white as PNG. Raises what `draw` does."""
    with figure_style():
        drawing = draw(result, name, width)
        stream = BytesIO()
        drawing.canvas.savefig(
            stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}
        )
    return drawing, stream.getvalue()


def save_figure(result: Result, name: str, out: Path, width: float = WIDTHS["column"]) -> None:
    """Write one figure as PDF, SVG or PNG (300 dpi), by the suffix of `out`.

    Raises ResultError for another suffix, and as `draw` does.
    """
    ending = out.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ResultError(f"{out}: end the name in {', '.join('.' + form for form in FORMATS)}")
    with figure_style():
        drawing = draw(result, name, width)
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
        with replacing(out) as temporary:
            drawing.canvas.savefig(temporary, format=ending, dpi=DPI, metadata=metadata,
                                   facecolor="white" if ending == "png" else "none")  # fmt: skip
