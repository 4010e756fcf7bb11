"""The report in a real browser: nothing from outside, nothing cut, and it can be asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    expect,
)

from otherview.results.reader import RunResult, read_result
from otherview.views.report import report_html
from tests.report.conftest import HOSTILE

CUT_LETTERS = """() => {
  const cut = [];
  for (const svg of document.querySelectorAll("svg.drawing")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 2 || box.right > frame.right + 2 ||
          box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        cut.push(text.textContent);
    }
  }
  return cut;
}"""


@pytest.fixture(scope="module")
def files(
    hostile_run: Path, controlled_run: Path, real_size: RunResult, sweep_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:  # fmt: skip
    """Addresses of the reports, by name."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "run": report_html(read_result(hostile_run)),
        "controlled": report_html(read_result(controlled_run)),
        "real size": report_html(real_size),
        "sweep": report_html(read_result(sweep_folder)),
    }
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test for whatever it writes to the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        said.append(message.text)

    def refuse(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", refuse)
    yield page
    context.close()
    assert said == []


@pytest.mark.parametrize("name", ["run", "controlled", "real size", "sweep"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_cut_at_any_width(
    page: Page, files: dict[str, str], name: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(files[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_LETTERS) == []


def test_nothing_is_asked_of_the_network(page: Page, files: dict[str, str]) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.goto(files["run"], wait_until="networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [files["run"]]


def test_words_of_the_study_stay_words(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    page.locator("details summary").first.click()
    shown = page.locator("details p").first.inner_text()
    axis = page.locator("#figure-axis svg:visible")
    for words in HOSTILE:
        assert words in shown
        assert axis.locator("text", has_text=words).count() == 1
    assert "<i>me</i>" in str(axis.get_attribute("aria-label"))
    assert page.locator("h1").inner_text() == "</style><script>alert(3)</script>?"
    assert page.locator("script").count() == 1
    assert page.locator("main b:text-is('bold')").count() == 0


def test_the_policy_stops_whatever_gets_in(browser: Browser, files: dict[str, str]) -> None:
    page = browser.new_page()
    page.goto(files["run"])
    stopped = page.evaluate(
        """async () => {
          const stopped = [];
          addEventListener("securitypolicyviolation", (event) => {
            stopped.push(event.effectiveDirective);
          });
          const script = document.createElement("script");
          script.textContent = "window.broken = true";
          document.body.append(script);
          const image = new Image();
          image.src = "https://example.org/a.png";
          document.body.append(image);
          document.body.setAttribute("style", "display: none");
          await fetch("https://example.org/").catch(() => null);
          await new Promise((done) => setTimeout(done, 50));
          return [...stopped.sort(), window.broken === undefined];
        }"""
    )
    page.close()
    assert stopped == ["connect-src", "img-src", "script-src-elem", "style-src-attr", True]


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_a_head_tells_its_numbers_on_hover(page: Page, files: dict[str, str], name: str) -> None:
    page.goto(files[name])
    expect(page.locator("#hint")).to_be_hidden()
    page.locator('svg:visible [data-unit="single.1.2"]').hover()
    hint = page.locator("#hint")
    row = page.locator('tr[data-unit="single.1.2"]')
    expect(hint).to_be_visible()
    assert hint.locator("b").inner_text() == "single.1.2"
    assert hint.locator("dd").all_inner_texts() == row.locator("td").all_inner_texts()
    page.mouse.move(2, 2)
    expect(hint).to_be_hidden()


def test_a_head_opens_with_a_marker_for_every_pass(page: Page, files: dict[str, str]) -> None:
    page.goto(f"{files['real size']}#head=single.1.2")
    dialog = page.get_by_role("dialog", name="single.1.2")
    assert dialog.locator("circle").count() == 30 * 16
    assert dialog.locator("circle.test").count() == 30 * 8
    dialog.get_by_label("wording").check()
    assert dialog.locator("svg").get_attribute("aria-label") is not None
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(files["real size"])
    first = page.locator("table.units tbody a").first
    first.click()
    expect(page.get_by_role("dialog", name=first.inner_text())).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.locator('svg:visible [data-unit="single.1.3"]').click()
    expect(page).to_have_url(re.compile(r"#head=single\.1\.3$"))


def test_a_word_is_explained_where_it_is_read(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    term = page.locator(".answer a.term", has_text="family-wise")
    term.focus()
    page.keyboard.press("Enter")
    meaning = page.locator(str(term.get_attribute("href")) + " + dd").inner_text()
    expect(page.get_by_role("status").filter(has_text=meaning)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("status").filter(has_text=meaning)).to_be_hidden()
    expect(page).to_have_url(files["run"])


def test_a_threshold_stays_on_its_line(page: Page, files: dict[str, str]) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(files["run"])
    lines = page.locator(".answer .one-line").evaluate_all(
        "(spans) => spans.map((span) => new Set("
        "[...span.getClientRects()].map((box) => Math.round(box.top))).size)"
    )
    assert {*lines} == {1}


def test_all_slices_are_saved_from_the_page(page: Page, files: dict[str, str]) -> None:
    page.goto(files["real size"])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save 16,320 slices as CSV").click()
    table = pl.read_csv(saved.value.path())
    assert saved.value.suggested_filename == "slices16.csv"
    assert len(table) == 16_320
    assert {"unit", "t", "g", "familywise"} <= {*table.columns}


def place_of(heading: Locator) -> int:
    return int(heading.evaluate("(cell) => cell.cellIndex"))


def test_the_table_sorts_by_its_headings(page: Page, files: dict[str, str]) -> None:
    page.goto(files["real size"])
    heading = page.locator("table.units th", has_text="family-wise p")
    column = place_of(heading)
    values = f"""(rows) => rows.map((row) => Number(row.cells[{column}].dataset.value))"""
    rows = page.locator("table.units tbody tr")
    before = rows.evaluate_all(values)
    heading.locator("button").click()
    ascending = rows.evaluate_all(values)
    assert ascending == sorted(ascending)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    descending = rows.evaluate_all(values)
    assert descending == sorted(ascending, reverse=True)
    page.get_by_role("button", name="First order").click()
    assert rows.evaluate_all(values) == before
    expect(page.get_by_role("button", name="First order")).to_be_hidden()
    sided = page.locator("table.units th[data-first=size]").first
    sided.locator("button").click()
    assert sided.get_attribute("aria-sort") == "other"
    sizes = rows.evaluate_all(values.replace(str(column), str(place_of(sided))))
    assert sizes == sorted(sizes, key=lambda size: -abs(size))
    page.locator("table.units th button").first.click()
    units = rows.evaluate_all("(rows) => rows.map((row) => row.dataset.unit)")
    assert units.index("single.2.9") < units.index("single.2.10") < units.index("single.10.0")


def test_the_table_shows_what_is_asked_for(page: Page, files: dict[str, str]) -> None:
    page.goto(files["real size"])
    visible = page.locator("table.units tbody tr:visible")
    assert visible.count() == 720
    page.get_by_label("Find").fill("joint.2.text")
    assert visible.count() == 24
    assert page.locator("#unit-count").inner_text() == "24 of 720"
    page.get_by_label("Find").fill("")
    page.get_by_label("Show").select_option("familywise")
    flagged = page.locator('table.units tbody tr[data-flags~="familywise"]').count()
    assert visible.count() == flagged < 720


def test_paper_shows_what_is_folded_on_the_screen(page: Page, files: dict[str, str]) -> None:
    page.goto(files["sweep"])
    wordings = page.get_by_text("Render this kitchen in the gaze of {creature}")
    expect(wordings).to_be_hidden()
    page.emulate_media(media="print")
    expect(wordings).to_be_visible()


def test_paper_is_light_and_has_no_controls(page: Page, files: dict[str, str]) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(files["real size"])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator(".tools")).to_be_hidden()
    assert page.locator("table.units tbody tr:visible").count() == 30
    assert page.locator(".for-phone:visible").count() == 0
