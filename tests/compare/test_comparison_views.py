"""The page, console, figures and command of a comparison, and its folder read back."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import otherview
from otherview.analysis.shared_design import NotComparableError
from otherview.cli import main
from otherview.results.compare import Comparison, compare, write_comparison
from otherview.results.reader import ComparisonResult, ResultError, RunResult, read_result
from otherview.views.comparison_sentences import comparison_answer
from otherview.views.comparison_tables import print_comparison
from otherview.views.figures import draw
from otherview.views.report import report_html, write_report
from tests.compare.conftest import PLANTED, model, scaled, small, written
from tests.conftest import Program
from tests.damages import cut
from tests.report.test_report import Page
from tests.test_analysis import made_up


def test_a_comparison_is_read_back_and_refused_once_damaged(
    compared: Comparison, tmp_path: Path
) -> None:
    write_comparison(compared, tmp_path)
    result = read_result(tmp_path)
    assert isinstance(result, ComparisonResult)
    assert result.units["heads"].equals(compared.units["heads"])
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert stored["contrasts"] == compared.content["contrasts"]
    with pytest.raises(NotComparableError, match="is no run: compare two runs"):
        compare(result, compared.b)
    cut(tmp_path / "comparison_heads.parquet")
    with pytest.raises(ResultError, match=r"comparison_heads\.parquet is damaged: it has"):
        read_result(tmp_path)
    write_comparison(compared, tmp_path)
    read_result(tmp_path)


def test_a_comparison_never_mixes_with_a_run(compared: Comparison, tuned: RunResult) -> None:
    with pytest.raises(NotComparableError, match="holds another result: name another folder"):
        write_comparison(compared, tuned.folder)
    read_result(tuned.folder)


def test_the_page_is_self_contained_and_escapes_names(tmp_path: Path, base: RunResult) -> None:
    hostile = '<script>alert(1)</script>" onload="x'
    study = replace(model(small(), name=hostile), question="</style><b>?</b>")
    measured = scaled(made_up(study), PLANTED, 3.0)
    write_comparison(compare(written(tmp_path / "a", study, measured), base), tmp_path / "out")
    html = write_report(tmp_path / "out").read_text(encoding="utf-8")
    assert html == report_html(read_result(tmp_path / "out"))
    page = Page(html)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert page.cells == 4 * 48  # points and cells, for page and phone
    assert "<script>alert" not in html
    assert "<b>?" not in html
    assert hostile in unescape(html)
    assert PLANTED in html


@pytest.mark.parametrize("name", ["effects", "head-map"])
def test_figures_of_a_comparison_say_what_they_show(
    name: str, compared: Comparison, tmp_path: Path
) -> None:
    write_comparison(compared, tmp_path)
    alt = draw(read_result(tmp_path), name, 85.0).alt
    assert "48 heads" in alt
    assert "differs, A above B: 1" in alt or "1 differ, family-wise" in alt


def test_the_console_says_the_finding_and_the_mismatches(
    compared: Comparison, tmp_path: Path
) -> None:
    write_comparison(compared, tmp_path)
    result = read_result(tmp_path)
    assert isinstance(result, ComparisonResult)
    text = StringIO()
    print_comparison(result, Console(file=text, width=400, markup=False))
    assert "kitchen  A: tuned, B: pocket; 6 items, RMS over all tokens" in text.getvalue()
    assert "Nothing but the model differs between the results." in text.getvalue()
    assert PLANTED in text.getvalue()
    shown = unescape(result._repr_html_())
    assert "kitchen: tuned against pocket" in shown
    assert all(said in shown for said in comparison_answer(result.comparison))


def test_a_closed_pipe_costs_no_page_of_a_comparison(
    tuned: RunResult, base: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["compare", str(tuned.folder), str(base.folder), "--out", str(tmp_path / "here")]
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(words) == 1
    assert (tmp_path / "here" / "report.html").is_file()


def test_the_command_writes_a_page_and_refuses_in_one_line(
    program: Program, tuned: RunResult, base: RunResult, tmp_path: Path
) -> None:
    done = program("compare", str(tuned.folder), str(base.folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "compare" / "tuned--base"
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json", "comparison_heads.parquet", "comparison_slices16.parquet",
        "reference_a.png", "reference_b.png", "report.html",
    }  # fmt: skip
    broken = tmp_path / "broken"
    shutil.copytree(base.folder, broken)
    cut(broken / "responses.nc")
    done = program("compare", str(tuned.folder), str(broken), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {broken}/responses.nc is damaged: ")
    assert done.stderr.count("\n") == 1


def test_the_function_is_part_of_the_api(tuned: RunResult, base: RunResult) -> None:
    found = otherview.compare(tuned, base, response="rms")
    assert found.units.keys() == {"heads", "slices16"}
    with pytest.raises(NotComparableError, match="response=db is none of rms, log_rms"):
        otherview.compare(tuned, base, response="db")
