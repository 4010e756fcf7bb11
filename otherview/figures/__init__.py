"""The figures of a result, each a function of its tables: python -m otherview.figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from otherview.atomic import replacing
from otherview.figures.axis import draw_axis
from otherview.figures.controls import draw_controls
from otherview.figures.files import NotInResultError, Result, ResultError, RunResult
from otherview.figures.halves import draw_halves
from otherview.figures.head_map import draw_head_map
from otherview.figures.interventions import draw_interventions
from otherview.figures.nulls import draw_nulls
from otherview.figures.readings import draw_readings
from otherview.figures.slices import draw_slices
from otherview.figures.style import WIDTHS, Drawing, figure_style

FORMATS = ("pdf", "svg", "png")
DOTS_AN_INCH = 300


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn alone."""

    name: str
    shows: str
    """What it shows, in a line."""
    of_run: Callable[[RunResult, float], Drawing] | None = None
    """Draws it from a run's files to a width in millimetres."""


FIGURES = (
    Figure("head-map", "effect of every head, block by block", draw_head_map),
    Figure("nulls", "observed counts and largest |t| against sign flips", draw_nulls),
    Figure("readings", "units called by the published and the corrected readings", draw_readings),
    Figure("slices", "16-channel slices over the threshold, block by block", draw_slices),
    Figure("axis", "effect item by item for the strongest heads", draw_axis),
    Figure("halves", "t on the items that chose the heads and on the others", draw_halves),
    Figure("controls", "heads called under other contrasts and placebos", draw_controls),
    Figure("interventions", "effects of editing heads, against random heads", draw_interventions),
)


def draw(result: Result, name: str, width: float) -> Drawing:
    """Draws one figure of `result` to `width` millimetres.

    Raises ResultError for an unknown name and NotInResultError where the result has no such thing.
    """
    known = {figure.name: figure for figure in FIGURES}
    if name not in known:
        raise ResultError(f"no figure is called {name}; there are: {', '.join(known)}")
    assert isinstance(result, RunResult)
    drawer = known[name].of_run
    assert drawer is not None
    return drawer(result, width)


def save_figure(result: Result, name: str, out: Path, width: float = WIDTHS["column"]) -> None:
    """Writes one figure as PDF, SVG or PNG (300 dots an inch), by the ending of `out`.

    Raises ResultError for another ending, and as `draw` does.
    """
    ending = out.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ResultError(f"{out}: end the name in {', '.join('.' + form for form in FORMATS)}")
    with figure_style():
        drawing = draw(result, name, width)
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
        with replacing(out) as temporary:
            drawing.canvas.savefig(temporary, format=ending, dpi=DOTS_AN_INCH, metadata=metadata,
                                   facecolor="white" if ending == "png" else "none")  # fmt: skip


__all__ = ["FIGURES", "Figure", "NotInResultError", "ResultError", "draw", "save_figure"]
