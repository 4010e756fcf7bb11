"""The dashboard as code: the same bytes each time, and panels of what runs really leave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from otherview.views.dashboard_sections import About, about, sections
from otherview.views.tracking import record
from otherview.views.tracking.record import Record, run_record
from otherview.views.tracking.sweep_record import sweep_record
from tests.conftest import Program
from tests.tracking.loopback import Loopback

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parents[2] / "docs" / "tracking.md"
SWEEP = str(Path(__file__).parents[1] / "report" / "sweep_of_pocket")
KINDS: tuple[tuple[str, list[str], str], ...] = (
    ("workspace.json", [SWEEP], "project-view"),
    ("report.json", [SWEEP, "--report"], "runs"),
)
ELSEWHERE = {
    "interventions/agreement/specificity/spearman",
    "interventions/agreement/heads",
    *(f"scene/{name}" for name in record.SHEETS),
}
"""Keys of studies that have both an attribution and an intervention, which is tested in
tests/interventions/test_intervene.py, and of pictures that are files of a result."""


@pytest.mark.parametrize(("golden", "arguments", "kind"), KINDS)
def test_show_prints_the_kept_bytes_and_push_saves_them_again_and_again(
    process: Program, tmp_path: Path, loopback: Loopback, golden: str, arguments: list[str],
    kind: str,
) -> None:  # fmt: skip
    """After a wanted change: otherview dashboard show --entity loop SWEEP [--report] > golden."""
    shown = process("dashboard", "show", "--entity", "loop", *arguments, cwd=tmp_path)
    assert shown.stdout == (GOLDEN / golden).read_text(encoding="utf-8")
    assert loopback.requests == []
    for _ in range(2):
        done = process("dashboard", "push", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{loopback.url}/loop/otherview")
    first, again = loopback.views
    assert first["name"] == again["name"]
    assert first["type"] == kind
    assert json.loads(again["spec"]) == json.loads(shown.stdout)


@pytest.fixture(scope="module")
def logged(
    result: Path, controlled_run: Path, traced_run: Path, sweep_folder: Path
) -> tuple[list[Record], Record]:
    """The records of runs with everything that a run can have, and that of a sweep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "FIGURE_DPI", 8)  # names are wanted, not pictures
        runs = [run_record(each) for each in (result, controlled_run, traced_run)]
        return runs, sweep_record(sweep_folder)


def test_every_panel_shows_something_that_a_run_or_a_sweep_leaves(
    logged: tuple[list[Record], Record],
) -> None:
    runs, of_sweep = logged
    found = set(ELSEWHERE)
    for each in (*runs, of_sweep):
        found |= keys_of(each)
        assert not each.values.keys() & each.tables.keys()
    for thresholds in ((3.0, 5.0), (3.0,)):
        study = About(thresholds=thresholds)
        assert set().union(*(section.keys for section in sections(study))) - found == set()
    assert "heads/count_2_5/at_least" in set().union(
        *(section.keys for section in sections(About(thresholds=(2.5,))))
    )


def test_the_docs_name_every_key_and_no_other(logged: tuple[list[Record], Record]) -> None:
    runs, of_sweep = logged
    text = DOCS.read_text(encoding="utf-8")
    of_run, of_combined = (patterns(text, heading) for heading in
                           ("These are the keys.", "Its keys, besides"))  # fmt: skip
    kept = ELSEWHERE.union(*map(keys_of, runs))
    undocumented = {key for key in kept if not any(p.fullmatch(key) for p in of_run.values())}
    assert undocumented == set()
    assert {row for row, p in of_run.items() if not any(map(p.fullmatch, kept))} == set()
    own = {name for name, p in of_combined.items()
           if not any(map(p.fullmatch, keys_of(of_sweep)))}  # fmt: skip
    assert own == {"sweep/left_out"}  # nothing was left out of this sweep
    undocumented = {key for key in keys_of(of_sweep) if not key.startswith("figure/")
                    and not any(p.fullmatch(key) for p in of_combined.values())}  # fmt: skip
    assert undocumented == set()
    named = [pattern for row, pattern in (of_run | of_combined).items()
             if "<statistic>" not in row]  # fmt: skip
    for key in set().union(*(section.keys for section in sections(About()))):
        assert any(pattern.fullmatch(key) for pattern in named), key


def test_the_workspace_is_that_of_the_sweep(sweep_folder: Path) -> None:
    study = about(sweep_folder)
    made = json.loads((GOLDEN / "workspace.json").read_text(encoding="utf-8"))
    assert study.question == json.loads((sweep_folder / "combined.json").read_text())["question"]
    assert study.runs == 13  # its twelve points, and the sweep
    (runs,) = made["section"]["runSets"]
    grouped = [key["name"] for key in runs["grouping"]]
    assert grouped == ["model.value.name", "templates.value.name", "seed.value"]
    assert "sweep_of_pocket" in json.dumps(runs["filters"])
    for section in made["section"]["panelBankConfig"]["sections"]:
        flow = section["flowConfig"]
        assert len(section["panels"]) <= flow["columnsPerPage"] * flow["rowsPerPage"]
        for panel in section["panels"]:
            assert panel["config"].get("limit", 13) == 13
            assert panel["config"].get("barLimit", 13) >= 13


def patterns(text: str, heading: str) -> dict[str, re.Pattern[str]]:
    """The keys in the table after a heading, each as a pattern."""
    table = text.split(heading)[1].split("| --- |", 1)[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    written = [key for row in rows for key in re.findall(r"`([^`]*)`", row)]
    parts = {"<units>": "(heads|slices16)", "<threshold>": r"\d+(_\d+)?"}
    found = {}
    for key in written:
        pieces = re.split(r"(<[a-z]+>)", key)
        found[key] = re.compile("".join(
            parts.get(piece, "[^/]+") if piece.startswith("<") else re.escape(piece)
            for piece in pieces
        ))  # fmt: skip
    return found


def keys_of(kept: Record) -> set[str]:
    curves = {f"{name}/{key}" for name, found in kept.curves.items()
              for key in ("at_least", *(f"null_{null}" for null in found.shares))}  # fmt: skip
    return {*kept.values, *kept.tables, *kept.histograms, *kept.images, *curves}


def test_a_push_without_a_key_is_one_line(
    process: Program, tmp_path: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    done = process("dashboard", "push", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"error: not pushed: .*API key.*\n", done.stderr)
    assert loopback.views == []
