"""Figures alone: otherview figure."""

from __future__ import annotations

import itertools
import re
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from otherview.results.reader import NotInResultError, Result, ResultError, RunResult, read_result
from otherview.views.figures import FIGURES, Figure, draw, save_figure
from otherview.views.figures.colours import BLUE, COLOURS, DIVERGING, LEVELS
from otherview.views.figures.head_map import map_of, mark_colour
from otherview.views.figures.null_figures import curve
from otherview.views.figures.style import WIDTHS, canvas, figure_style
from otherview.views.numbers import count, percent, significant
from tests.conftest import Program

POINTS_A_MILLIMETRE = 72 / 25.4


def test_a_pdf_has_the_width_of_a_column_and_embeds_its_type(
    program: Program, hostile_run: Path, tmp_path: Path
) -> None:
    done = program("figure", str(hostile_run), "head-map", "--out", "fig.pdf", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    content = (tmp_path / "fig.pdf").read_bytes()
    box = re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", content)
    assert box is not None
    assert float(box[1]) == pytest.approx(WIDTHS["column"] * POINTS_A_MILLIMETRE, abs=0.5)
    assert b"/FontFile2" in content or any(
        b"/FontFile2" in zlib.decompress(part)
        for part in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
        if part[:1] == b"x"
    )


def test_an_svg_needs_no_typeface_and_is_the_same_each_time(
    hostile_run: Path, tmp_path: Path
) -> None:
    result = read_result(hostile_run)
    for name in ("one.svg", "two.svg"):
        save_figure(result, "nulls", tmp_path / name)
    one = (tmp_path / "one.svg").read_bytes()
    assert one == (tmp_path / "two.svg").read_bytes()
    assert not list(ElementTree.fromstring(one).iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture(scope="module")
def results(
    hostile_run: Path, controlled_run: Path, sweep_folder: Path, compared_folder: Path,
    traced_run: Path, steered_folder: Path,
) -> list[Result]:  # fmt: skip
    """Results of every kind, each checked and read once."""
    folders = (
        hostile_run, controlled_run, sweep_folder, compared_folder, traced_run, steered_folder
    )  # fmt: skip
    return [read_result(folder) for folder in folders]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_from_a_run_or_a_sweep(
    figure: Figure,
    width: str,
    results: list[Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("otherview.views.figures.DPI", 75)  # a sixteenth of the pixels
    name, drawn = figure.name, 0
    for result in results:
        out = tmp_path / f"{result.folder.name}.png"
        with suppress(NotInResultError):
            save_figure(result, name, out, WIDTHS[width])
            drawn += 1
            with Image.open(out) as image:
                assert np.asarray(image.convert("L")).min() < 100
    assert drawn


@pytest.mark.parametrize(
    ("figure", "kept", "answer"),
    [
        ("edges", {"edges": {"called": 0, "sources": []}}, "no head is called"),
        ("interventions", {"interventions": {"sets": []}, "single_heads": 1}, "no head was sel"),
    ],
)
def test_a_figure_of_what_was_run_and_found_nothing_is_not_asked_to_be_run(
    traced_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: str,
    kept: dict[str, Any],
    answer: str,
) -> None:
    for name, content in kept.items():
        monkeypatch.setattr(RunResult, name, content)
    with pytest.raises(NotInResultError, match=answer):
        draw(read_result(traced_run), figure, WIDTHS["column"])


@pytest.mark.parametrize("width", WIDTHS.values())
def test_a_map_names_blocks_of_any_kind_in_the_order_of_the_network(width: float) -> None:
    groups = [("text", "text", 2), ("self", "image", 1), ("joint", "image", 20),
              ("joint", "text", 20), ("single", "all", 40), ("cross", "image", 3)]  # fmt: skip
    rows = [
        {"unit": f"{kind}.{block}.{stream}.{head}", "block_kind": kind, "stream": stream,
         "block": block, "head": head, "g": None if kind == "self" else 0.1 * head}
        for kind, stream, blocks in groups
        for block in range(blocks)
        for head in range(4)
    ]  # fmt: skip
    with figure_style():
        drawing = map_of(pl.DataFrame(rows), [], width, "Heads.")
        axes = drawing.canvas.axes[0]
        texts = [each for each in axes.texts if "block" not in each.get_text()]
        boxes = [each.get_window_extent() for each in texts]
    assert [each.get_text() for each in texts] == [
        "text", "self\nimage", "joint\nimage", "joint\ntext", "single\nall tokens", "cross\nimage"
    ]  # fmt: skip
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(drawing.canvas.bbox.contains(box.x0, box.y1) for box in boxes)
    assert "cross, image tokens read the text" in drawing.caption
    assert "Hatched heads have no variance." in drawing.caption


def test_a_map_agrees_with_itself_fully_in_the_colours_of_the_scale(sweep_folder: Path) -> None:
    drawing = draw(read_result(sweep_folder), "agreement", WIDTHS["column"])
    matrix, scale = drawing.canvas.axes
    colours = {(patch.get_x(), patch.get_y()): to_hex(patch.get_facecolor())
               for patch in matrix.patches if isinstance(patch, Rectangle)}  # fmt: skip
    assert {colours[-0.5, -0.5], colours[0.5, 0.5]} == {DIVERGING[-1]}
    assert [to_hex(patch.get_facecolor()) for patch in scale.patches] == list(DIVERGING)
    assert scale.get_xlim() == (-1, 1)


def test_marks_contrast_with_every_colour_of_the_map() -> None:
    def luminance(colour: str) -> float:
        return float(np.dot([0.2126, 0.7152, 0.0722], [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in to_rgb(colour)
        ]))  # fmt: skip

    names = {pair[0]: name for name, pair in COLOURS.items()}
    for level in range(LEVELS):
        mark = names[mark_colour(level)]
        for theme in (0, 1):
            low, high = sorted(luminance(COLOURS[n][theme]) for n in (mark, f"step-{level}"))
            assert (high + 0.05) / (low + 0.05) >= 3, (level, theme)


def test_letters_that_no_font_has_cost_one_warning_and_none_on_a_page() -> None:
    def draw(*, outlined: bool) -> None:
        with figure_style(outlined=outlined):
            drawn = canvas(40, 40, layout=None)
            drawn.text(0.1, 0.5, "\U0010fffd\U0010fffc")  # for private use
            drawn.savefig(BytesIO(), format="png")

    with pytest.warns(UserWarning, match="no installed font has") as said:
        draw(outlined=True)
    assert len(said) == 1
    draw(outlined=False)


def test_an_unknown_figure_and_an_unknown_ending_are_refused(
    hostile_run: Path, tmp_path: Path
) -> None:
    result = read_result(hostile_run)
    with pytest.raises(ResultError, match="there are: head-map, levels, role-null"):
        save_figure(result, "headmap", tmp_path / "a.pdf")
    with pytest.raises(ResultError, match=r"end the name in \.pdf, \.svg, \.png"):
        save_figure(result, "head-map", tmp_path / "a.jpg")


def test_numbers_are_written_for_readers() -> None:
    assert [significant(value) for value in (1.9e-9, 0.05, 118.78, 0, 1e-4, -0.2)] == [
        "1.9\u202f×\u202f10⁻⁹", "0.050", "120", "0", "0.00010", "−0.20",
    ]  # fmt: skip
    assert [count(value) for value in (16320, 0.1049, 61.25)] == ["16,320", "0.10", "61"]
    assert [percent(value) for value in (0.75, 0.999, 0.004, 0)] == ["75%", "<100%", "0.4%", "0%"]


def test_a_map_of_two_items_does_not_say_that_heads_lack_variance() -> None:
    rows = {"unit": ["single.0.0"], "block_kind": ["single"], "stream": ["all"], "block": [0],
            "head": [0], "g": [None], "t": [8.0]}  # fmt: skip
    with figure_style():
        drawing = map_of(pl.DataFrame(rows, schema_overrides={"g": pl.Float64}), [], 85.0, "")
    assert drawing.caption.endswith("Hatched heads have no effect size.")


def test_a_null_ends_where_its_own_pattern_is() -> None:
    rows = pl.DataFrame({"statistic": "max_abs_t", "value": [13.0, 64.0], "patterns": [1, 1]})
    with figure_style():
        axes = canvas(85.0, 60.0).subplots()
        curve(axes, rows, BLUE, "", 494.2)
    assert np.asarray(axes.lines[0].get_xdata()).max() == 494.2
