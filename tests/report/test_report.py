"""The report from outside: one whole page, or one line that says what is wrong."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from rich.console import Console

from otherview.analysis.analyse import analyse
from otherview.programs import run_study
from otherview.results.reader import (
    NotInResultError,
    ResultError,
    RunResult,
    SweepResult,
    read_result,
)
from otherview.results.writing import write_analyses, write_measurement
from otherview.views.causes_sentences import edge_sentences, predicted_sentences
from otherview.views.console import print_result
from otherview.views.figures import FIGURES, draw
from otherview.views.figures.style import WIDTHS
from otherview.views.methods_text import methods_paragraph
from otherview.views.report import report_html, write_report
from otherview.views.report.run_page import run_command, units_table
from otherview.views.run_sentences import answer, control_sentences
from otherview.views.run_tables import controls_table
from otherview.views.table_model import Table, print_table
from otherview.views.vocabulary import one_of
from tests.conftest import Program
from tests.report.conftest import small_study
from tests.test_analysis import made_up


class Page(HTMLParser):
    """What a page refers to, and how deep its elements are nested at the end."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.cells = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.cells += any(name == "data-unit" for name, _ in attrs) and tag == "g"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_run_leaves_its_report(hostile_run: Path) -> None:
    html = (hostile_run / "report.html").read_text(encoding="utf-8")
    assert html == report_html(read_result(hostile_run))
    assert Page(html).open == []


def test_the_page_refers_to_nothing_outside_itself(hostile_run: Path) -> None:
    page = Page(report_html(read_result(hostile_run)))
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)


@pytest.mark.parametrize("folder", ["hostile_run", "sweep_folder", "compared_folder"])
def test_links_within_a_page_lead_somewhere(folder: str, request: pytest.FixtureRequest) -> None:
    html = report_html(read_result(request.getfixturevalue(folder)))
    places = {*re.findall(r'id="([^"]+)"', html), ""}
    links = {link for link in re.findall(r'href="#([^"]*)"', html) if "head=" not in link}
    assert links <= places


def test_a_result_of_the_real_size_stays_under_5_mb(real_size: RunResult) -> None:
    html = report_html(real_size)
    assert len(html.encode()) < 5_000_000
    assert Page(html).cells == 2 * 720
    assert "16,320" in html


def test_heads_that_the_role_depends_on_lead(steered_folder: Path) -> None:
    result = read_result(steered_folder)
    assert isinstance(result, RunResult)
    assert result.single_heads is not None
    verdicts = pl.col("verdict").str.replace("does not differ, yet", "differs and")
    vars(result).update(single_heads=result.single_heads.with_columns(verdicts))
    table = units_table(result)
    (depending,) = (number for name, _, number in table.filters if name == "role_depends")
    flags = ["role_depends" in flags.split() for _, _, flags in table.rows]
    assert 0 < depending == sum(flags[:depending]) == sum(flags)
    alt = re.search(r'aria-label="(Map of[^"]*)"', report_html(result))
    assert alt is not None
    assert table.rows[0][0] in alt[1]


def test_drawn_sign_patterns_leave_the_panels_their_names(hostile_run: Path) -> None:
    result = read_result(hostile_run)
    assert isinstance(result, RunResult)
    summary = deepcopy(result.summary)
    summary["results"]["heads"]["sign_flip"]["exact"] = False
    html = report_html(replace(result, summary=summary))
    assert "Left to right: heads over each threshold, and the largest |t| of all." in html
    assert "Blue: random 32 patterns; orange: the 200 random flips" in html
    assert "does not end before it" not in html


def test_the_console_says_what_the_page_says(controlled_run: Path) -> None:
    html = (controlled_run / "report.html").read_text(encoding="utf-8")
    page = " ".join(unescape(re.sub(r"</?(a|span)\b[^>]*>", "", html)).split())
    printed = StringIO()
    print_result(controlled_run, Console(file=printed, width=80, markup=False))
    console = " ".join(printed.getvalue().split())
    result = read_result(controlled_run)
    assert isinstance(result, RunResult)
    summary, controls = result.summary, result.controls
    assert controls is not None
    for sentence in (
        *answer(summary, controls, result.interventions),
        *control_sentences(summary, controls),
    ):
        flat = " ".join(sentence.split())
        assert flat in page
        assert flat in console.replace("\u00a0", " ")
    for row in controls_table(controls).rows:
        for cell in row:
            assert f">{cell}</t" in page
            assert f" {cell} " in console


def test_a_table_too_wide_for_the_console_is_printed_in_parts() -> None:
    headings = ["unit", *(f"column {n}" for n in range(9))]
    table = Table("wide", headings, [[f"u{row}", *(f"{row}.{n}" for n in range(9))]
                                     for row in range(3)], "said last")  # fmt: skip
    printed = StringIO()
    print_table(table, Console(file=printed, width=40))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert sum("u1" in line for line in lines) > 1
    assert all(sum(f"2.{n}" in line for line in lines) == 1 for n in range(9))
    assert lines[-1].strip() == "said last"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_table_on_the_console_has_every_letter_of_long_and_wide_names(width: int) -> None:
    names = ["从窗户外面看进来的猫头鹰", "a creature that nobody " * 6 + "saw", "Llanfair" * 15]
    table = Table("named", ["item", "test: tokens", "control: tokens"],
                  [[name, "98-111", "100-108"] for name in names])  # fmt: skip
    printed = StringIO()
    print_table(table, Console(file=printed, width=width))
    lines = printed.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in printed.getvalue()
    firsts = "".join(line.split("│")[1].strip() for line in lines if line.count("│") > 2)
    assert all(name.replace(" ", "") in firsts.replace(" ", "") for name in names)


def test_a_page_without_edited_heads_shows_no_edits(steered_folder: Path) -> None:
    result = read_result(steered_folder)
    assert isinstance(result, RunResult)
    edits = deepcopy(result.interventions)
    assert edits is not None
    kept = [row for row in edits["pictures"] if row["set"] == "intact"]
    selection = {**edits["selection"], "heads": [], "rule": "role test", "disjoint": True,
                 "discovery_items": ["a", "b"], "measured_items": ["c", "d"]}  # fmt: skip
    none = {"selection": selection, "pictures": kept, "sets": [], "specificity": [],
            "verdicts": {}, "correlation": {}, "agreement": {}}  # fmt: skip
    result.__dict__["interventions"] = {**edits, **none}
    html = report_html(result)
    assert "No head was selected (role test on 2 of 4 items)" in html
    assert "of the control role: intact. There is" in html
    assert "heads edited" not in html
    assert "Each head edited alone" not in html


def test_every_sheet_of_pictures_scrolls_on_a_phone() -> None:
    folder = files("otherview.views.report") / "templates"
    pages = [each.read_text() for each in folder.iterdir() if each.name.endswith(".html.jinja")]
    sheets = [before for page in pages for before in page.split('<img class="sheet"')[:-1]]
    assert len(sheets) >= 4
    assert all('class="scroll' in before.splitlines()[-1] + before.splitlines()[-2]
               for before in sheets)  # fmt: skip


def test_halves_too_small_to_select_are_not_a_failure_to_confirm(hostile_run: Path) -> None:
    html = (hostile_run / "report.html").read_text(encoding="utf-8")
    assert "none was selected, and none could be: 3 items give at best p = 0.25." in html
    assert "so the blue curve does not end before it" in html  # drawn flips may


def test_sentences_count_what_they_speak_of(hostile_run: Path) -> None:
    assert [one_of(noun) for noun in ("heads", "slices", "heads × levels")] == [
        "head", "slice", "head × level"
    ]  # fmt: skip
    edges = {"called": 2, "sources": [{"head": "single.1.2", "edges": [],
                                       "toward": {"test": 0.5, "control": 0.1}}]}  # fmt: skip
    assert edge_sentences(edges)[-1] == "1 more called head was not traced."
    predicted = {"called_units": [], "floor": 0.05, "first_order_fails_at": ["joint.0.image"]}
    said = predicted_sentences({"units": 48, "predicted_change": predicted})[0]
    assert "zeroed whole, this site changes" in said
    assert said.endswith("nothing of its heads.")
    result = read_result(hostile_run)
    assert isinstance(result, RunResult)
    summary = deepcopy(result.summary)
    summary["contrast"]["placebo"] = "control"
    methods = methods_paragraph(summary)
    assert "lists of 4 and 4 wordings of the control role, a placebo" in methods
    assert "differences of the items between the lists" in methods


def test_a_run_of_slices_alone_speaks_of_slices(tmp_path: Path) -> None:
    study = small_study(("a cat", "an owl", "a fly"), "", templates="viewpoint")
    study = replace(study, capture=replace(study.capture, units=["slices16"]))
    run_study(study, tmp_path, {})
    html = unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"otherview figure {tmp_path.name} slice-map --out" in html
    assert "The response of a slice of 16 channels is" in html
    assert "differing slices" in html
    assert "heads.parquet" not in html
    result = read_result(tmp_path)
    for figure in FIGURES:
        with suppress(NotInResultError):
            draw(result, figure.name, WIDTHS["column"])


def test_few_items_and_one_wording_a_role_leave_out_what_was_not_computed(tmp_path: Path) -> None:
    study = small_study(("a cat", "an owl"), "", templates="viewpoint")
    run_study(replace(study, creatures=replace(study.creatures, axis=None)), tmp_path, {})
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="halves"' not in html
    assert "role test</dt>" not in html
    words = html.split("<script>")[0]
    assert not re.search(r"\bnan\b|\bNone\b(?! of)|undefined", words)


def test_the_command_repeats_the_run_in_a_shell(hostile_run: Path, tmp_path: Path) -> None:
    shutil.copytree(hostile_run, tmp_path / "run")
    (tmp_path / "run" / ".hydra").mkdir()
    override = "creatures.items=['a cat; rm -rf ~', \"$HOME\"]"
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(json.dumps([override]))
    result = read_result(tmp_path / "run")
    assert isinstance(result, RunResult)
    words = shlex.split(run_command(result) or "")
    assert words[:2] == ["otherview", "run"]
    assert "rm -rf" in words[2]
    assert len(words) == 3


def test_a_run_that_python_started_is_repeated_in_python(hostile_run: Path) -> None:
    result = read_result(hostile_run)
    assert isinstance(result, RunResult)
    assert run_command(result) is None
    page = unescape(report_html(result))
    assert f"otherview.run(study, '{hostile_run.name}-again')" in page
    assert "@software{otherview" in page


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "summary.json").unlink(), "no finished result"),
        (lambda folder: (folder / "summary.json").write_text("{"), "summary.json is damaged"),
        (lambda folder: (folder / "heads.parquet").write_bytes(b"P"), "heads.parquet is damaged"),
        (lambda folder: (folder / "nulls.parquet").unlink(), "nulls.parquet is missing"),
        (lambda folder: (folder / "responses.nc").write_bytes(b"x"), "responses.nc is damaged"),
        (lambda folder: (folder / "reference.png").write_bytes(b"x"), "reference.png is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_directory_is_one_line_and_leaves_the_old_report(
    hostile_run: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(hostile_run, folder)
    damage(folder)
    before = (folder / "report.html").read_bytes()
    with pytest.raises(ResultError, match=re.escape(said)) as raised:
        write_report(folder)
    assert "\n" not in str(raised.value)
    assert (folder / "report.html").read_bytes() == before


def test_the_command_line_ends_in_one_line(program: Program, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    done = program("report", "run", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: run holds no finished result: there is no summary.json and no combined.json in it\n"
    )


def test_a_sweep_is_shown_beside_its_null_model(sweep_folder: Path) -> None:
    html = report_html(read_result(sweep_folder))
    assert Page(html).open == []
    assert "21 of 48 heads of pocket follow the role" in html
    assert "pocket_random, a null model" in html
    assert "This page is about pocket. For 1 other group of points (pocket_random)" in html
    assert "3 alone, as in the published reading, would call up to 35 (73%)" in html
    for name in ("head-map", "models", "agreement", "variance", "selectivity"):
        assert f'id="figure-{name}"' in html
    assert html.count('class="state not-here">') == 12  # its points were not copied with it
    assert "otherview sweep collect multirun/sweep_of_pocket</code>" in html
    rows = re.findall(r'<tr><th scope="row">over all templates</th>(.*?)</tr>', html)
    assert [re.findall("<td>(.*?)</td>", row)[:2] for row in rows] == [
        ["3", "32 (67%)"],
        ["5", "29 (60%)"],
    ]


def test_a_sweep_of_one_template_and_seed_says_nothing_of_their_stability(
    sweep_folder: Path,
) -> None:
    result = read_result(sweep_folder)
    assert isinstance(result, SweepResult)
    for group in result.combined["groups"]:
        for found in group["results"].values():
            found["agreement"] = {"between_templates": [], "between_seeds": []}
            found.pop("variance")
    html = report_html(result)
    assert "Stability" not in html
    assert "#stable" not in html


@pytest.mark.parametrize(
    ("templates", "said"),
    [
        ("viewpoint", "This study cannot show that any of 48"),
        ("nouns", "None of 48 heads of pocket"),
    ],
)
def test_a_result_in_which_no_head_varies_has_a_page_and_figures(
    tmp_path: Path, templates: str, said: str
) -> None:
    study = small_study(("a cat", "an owl", "an ant", "a fly"), "Anything?", templates)
    study = replace(study, creatures=replace(study.creatures, axis=None))
    measurement = made_up(study)
    measurement.responses.energy[:] = measurement.responses.tokens.mean()
    write_measurement(tmp_path, study, measurement)
    write_analyses(tmp_path, study, measurement, analyse(measurement.responses, study))
    result = read_result(tmp_path)
    assert isinstance(result, RunResult)
    assert len(result.summary["results"]["heads"]["degenerate"]) == 48
    assert answer(result.summary)[0].startswith(said)
    html = report_html(result)
    assert Page(html).cells == 2 * 48
    assert not re.search(r"\b(nan|inf)\b", html.partition("<body")[2], re.IGNORECASE)
