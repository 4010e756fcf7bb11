"""Colours, type and sizes of the figures: the same on paper and on the page.

A colour is a name with one value for light and one for dark ground. Figures are drawn with the
light ones; the page replaces each by a CSS variable of that name, so that one drawing serves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Canvas

MILLIMETRES_AN_INCH = 25.4
WIDTHS = {"column": 85.0, "page": 176.0}
"""Millimetres: one column of a two-column paper, and its whole text width."""
PAGE_WIDTHS = {"page": WIDTHS["page"], "phone": 74.0}
"""Millimetres of the two drawings in a page; the narrower one makes larger letters on a phone."""
NARROW = 120.0
"""Drawings under this width are laid out for a column, or a phone."""

TYPEFACES = ("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans")
"""The first that the machine has is used; matplotlib brings the last."""

COLOURS = {
    "ink": ("#1b1d23", "#e9eaee"),
    "muted": ("#5d616b", "#a3a7b3"),
    "rule": ("#d5d7de", "#3c4049"),
    "paper": ("#ffffff", "#15171c"),
    "blue": ("#1d69b4", "#6fb1ee"),
    "orange": ("#c75f08", "#f0984a"),
    "band": ("#edeff3", "#22252c"),
    "on-strong": ("#fffffe", "#101216"),
    "on-weak": ("#1b1d22", "#f2f3f6"),
}
"""Name: on light ground, on dark ground."""

_STOPS = {
    "light": ("#0a2f66", "#2a6db5", "#93bfe6", "#f2f1ee", "#f6b581", "#cf6a17", "#6d2b04"),
    "dark": ("#c4e0ff", "#5fa3e4", "#2c527c", "#2b2e36", "#7d4417", "#e3893a", "#ffdcb5"),
}
LEVELS = 31
"""Steps of the diverging scale; odd, so that zero has a step of its own."""


def _ramp(stops: tuple[str, ...]) -> list[str]:
    """`LEVELS` colours through `stops`, mixed in linear light so that middle tones keep clean."""
    anchors = [[channel**2.2 for channel in to_rgb(stop)] for stop in stops]
    colours = []
    for level in range(LEVELS):
        place = level / (LEVELS - 1) * (len(anchors) - 1)
        index = min(int(place), len(anchors) - 2)
        low, high, part = anchors[index], anchors[index + 1], place - index
        mixed = [(a + (b - a) * part) ** (1 / 2.2) for a, b in zip(low, high, strict=True)]
        colours.append(to_hex((mixed[0], mixed[1], mixed[2])))
    return colours


DIVERGING = tuple(_ramp(_STOPS["light"]))
"""Blue, below zero, to orange, above: told apart in every common colour blindness."""
COLOURS |= {
    f"step-{level}": pair
    for level, pair in enumerate(zip(DIVERGING, _ramp(_STOPS["dark"]), strict=True))
}

INK, MUTED, RULE, PAPER, BLUE, ORANGE, ON_STRONG, ON_WEAK = (
    COLOURS[name][0]
    for name in (
        "ink", "muted", "rule", "paper", "blue", "orange", "on-strong", "on-weak",
    )
)  # fmt: skip


def _typeface() -> str:
    present = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in TYPEFACES if name in present), TYPEFACES[-1])


@contextmanager
def figure_style(*, outlined: bool = True) -> Iterator[None]:
    """Matplotlib's settings for drawing and saving a figure.

    PDF embeds TrueType fonts. In SVG, letters are outlines, or with `outlined=False` text.
    """
    settings: dict[Any, Any] = {
        "font.family": list(dict.fromkeys((_typeface(), "DejaVu Sans"))),  # glyph by glyph
        "font.size": 7.5,
        "text.color": INK,
        "text.parse_math": False,
        "axes.labelcolor": INK,
        "axes.labelsize": 7.5,
        "axes.titlesize": 8,
        "axes.titlelocation": "left",
        "axes.titlepad": 6,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": "none",
        "axes.unicode_minus": True,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "legend.frameon": False,
        "legend.fontsize": 7,
        "lines.linewidth": 1.2,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "pdf.fonttype": 42,
        "svg.fonttype": "path" if outlined else "none",
        "svg.hashsalt": "otherview",
    }
    with matplotlib.rc_context(settings):
        yield


def canvas(width: float, height: float) -> Canvas:
    """An empty figure of `width` x `height` millimetres, laid out so that nothing is cut."""
    size = (width / MILLIMETRES_AN_INCH, height / MILLIMETRES_AN_INCH)
    return Canvas(figsize=size, layout="constrained")


def free_canvas(width: float, height: float) -> Canvas:
    """The same without automatic layout, for `axes_at`."""
    return Canvas(figsize=(width / MILLIMETRES_AN_INCH, height / MILLIMETRES_AN_INCH))


def axes_at(figure: Canvas, left: float, top: float, width: float, height: float) -> Axes:
    """Axes placed in millimetres from the figure's left and top edge."""
    whole_width, whole_height = (side * MILLIMETRES_AN_INCH for side in figure.get_size_inches())
    return figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )


def clipped(text: str, length: int) -> str:
    """`text`, or as much of it as `length` characters hold."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


@dataclass(frozen=True)
class Drawing:
    """A drawn figure, and what it shows in words."""

    canvas: Canvas
    alt: str
