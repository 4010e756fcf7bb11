"""Fonts and sizes of the figures: the same on paper and on the page."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from otherview.views.figures.colours import INK, MUTED, RULE
from otherview.views.numbers import tick

MM_PER_INCH = 25.4
WIDTHS = {"column": 85.0, "page": 176.0}
"""Millimetres: one column of a two-column paper, and its full text width."""
PAGE_WIDTHS = {"page": WIDTHS["page"], "phone": 74.0}
"""Millimetres: the two drawings in a page; the narrower one has larger letters on a phone."""
GLYPH = 1.4
"""Width of a letter of a heading, in mm."""
NARROW = 120.0
"""Drawings below this width are laid out for a column or a phone."""

TYPEFACES = ("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans")
"""The first one that is installed is used; matplotlib contains the last."""


OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Symbola", "Arial Unicode MS",
)  # fmt: skip
"""Fonts for what the typeface lacks; those that are installed are used, glyph by glyph."""


def typefaces() -> list[str]:
    """Return the typeface, and the installed fonts for letters that it lacks."""
    present = {font.name for font in font_manager.fontManager.ttflist}
    own = next((name for name in TYPEFACES if name in present), TYPEFACES[-1])
    others = [name for name in OTHER_SCRIPTS if name in present]
    return list(dict.fromkeys((own, TYPEFACES[-1], *others)))


@contextmanager
def one_warning_of_glyphs(*, needed: bool) -> Iterator[None]:
    """Warn once of all letters that no installed font has; not at all if they are not `needed`."""
    glyph = re.compile(r"Glyph \d+ \((.*)\) missing from font")
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=glyph.pattern)
        yield
    lacking: dict[str, None] = {}
    for each in caught:
        if found := glyph.match(str(each.message)):
            lacking[found[1]] = None
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if lacking and needed:
        warnings.warn(
            f"no installed font has {', '.join(list(lacking)[:3])}"
            f"{' and more' if len(lacking) > 3 else ''}: figures show boxes; install Noto fonts",
            stacklevel=3,
        )


@contextmanager
def figure_style(*, outlined: bool = True) -> Iterator[None]:
    """Set matplotlib's settings for drawing and saving a figure.

    PDF embeds TrueType fonts. In SVG, letters are outlines, or text with `outlined=False`.
    """
    faces = typefaces()
    if outlined and faces[0] == TYPEFACES[-1]:
        warnings.warn(
            f"none of {', '.join(TYPEFACES[:-1])} is installed: figures use {faces[0]}",
            stacklevel=3,
        )
    settings: dict[Any, Any] = {
        "font.family": faces,
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
    with matplotlib.rc_context(settings), one_warning_of_glyphs(needed=outlined):
        yield


def tiers(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return for texts from left to right, given as start and end, the row in which each fits.

    0 is the first row; a text that would run into another of its row is a row further.
    """
    ends: list[float] = []
    rows = []
    for start, end in spans:
        row = next((row for row, last in enumerate(ends) if last <= start), len(ends))
        ends[row : row + 1] = [end]
        rows.append(row)
    return rows


def canvas(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Canvas:
    """Return an empty figure of `width` x `height` millimetres; `axes_at` needs layout None."""
    return Canvas(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), layout=layout)


def axes_at(figure: Canvas, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes, placed in millimetres from the left and top edge of the figure."""
    whole_width, whole_height = (side * MM_PER_INCH for side in figure.get_size_inches())
    return figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )


def rows_axis(axes: Axes, names: Sequence[str], **text: Any) -> None:
    """Make the vertical axis one of named rows, from top to bottom, without a spine."""
    axes.set_yticks(range(len(names)), names, **text)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def share_axis(axes: Axes, label: str, ticks: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)) -> None:
    """Make the horizontal axis one of shares in percent."""
    axes.set_xlim(-0.012, 1.02)  # do not clip a marker at 0
    axes.set_xticks(ticks, [f"{at:.0%}" if at == 1 else f"{100 * at:g}" for at in ticks])
    axes.set_xlabel(label)
    rules(axes, "x")


def symlog_square(
    axes: Axes, largest: float, ticks: Iterable[float], linear: float, linscale: float
) -> None:
    """Give both axes one scale from -`largest` to `largest`, linear to `linear`.

    Beyond it is logarithmic. `ticks` are sizes; those that fit are shown on both sides of 0.
    """
    shown = [sign * size for sign in (-1, 1) for size in ticks if size <= largest]
    axes.set_xscale("symlog", linthresh=linear, linscale=linscale)
    axes.set_yscale("symlog", linthresh=linear, linscale=linscale)
    axes.set(xlim=(-largest, largest), ylim=(-largest, largest))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(sorted([0.0, *shown])))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def rules(axes: Axes, across: Literal["x", "y"]) -> None:
    """Draw thin lines at the ticks of an axis, behind everything else."""
    axes.grid(axis=across, color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def legend_above(figure: Canvas, columns: int, **settings: Any) -> None:
    """Draw the legend above all panels."""
    look = {"borderaxespad": 0.1, "columnspacing": 1.6} | settings
    figure.legend(loc="outside upper left", ncols=columns, **look)


def clipped(text: str, length: int) -> str:
    """Return `text`, cut to at most `length` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


@dataclass(frozen=True)
class Drawing:
    """A drawn figure, and what it shows in words."""

    canvas: Canvas
    alt: str
    """Its content in words, for readers who cannot see it."""
    caption: str
    """How to read it."""
