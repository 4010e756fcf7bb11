"""The dashboard as code: the same bytes each time, and panels of what runs really leave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from otherview import dashboard
from otherview.tracking.record import run_record
from tests.tracking.loopback import Loopback

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [([], "workspace.json"), (["--report", "kitchen"], "report.json")],
)
def test_show_prints_the_kept_bytes_without_network(
    arguments: list[str],
    golden: str,
    loopback: Loopback,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After a wanted change: python -m otherview.dashboard show [--report kitchen] > golden."""
    assert dashboard.main(["show", *arguments]) == 0
    assert capsys.readouterr().out == (GOLDEN / golden).read_text(encoding="utf-8")
    assert loopback.requests == []


def test_push_saves_what_show_prints_and_pushing_again_replaces_it(
    loopback: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--report", "kitchen"]):
        for _ in range(2):
            assert dashboard.main(["push", "--project", "otherview", *arguments]) == 0
    assert "/loop/otherview?nw=otherviewqs" in capsys.readouterr().out
    workspace, workspace_again, report, report_again = loopback.views
    assert workspace["name"] == workspace_again["name"] != report["name"] == report_again["name"]
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    for pushed, shown in (
        (workspace, dashboard.workspace_json("otherview", "loop")),
        (report, dashboard.report_json("otherview", "loop", "kitchen")),
    ):
        assert json.loads(pushed["spec"]) == json.loads(shown)


def test_every_panel_of_a_run_shows_something_that_a_run_leaves(result: Path) -> None:
    record = run_record(result)
    known = {*record.values, *record.tables, *record.drawings, *record.pictures}
    asked = {key for key in _keys(dashboard.QUESTIONS) if not key.startswith("sweep/")}
    assert asked - known == {"heads/combined"}  # of a sweep's own run


def test_a_push_without_a_key_is_one_line(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert dashboard.main(["push"]) == 1
    assert re.fullmatch(r"error: not pushed: .*API key.*\n", capsys.readouterr().err)
    assert loopback.views == []


def _keys(questions: tuple[dashboard.Question, ...]) -> set[str]:
    found: set[Any] = set()
    for question in questions:
        found |= {*question.pictures, *question.tables}
        found |= {metric for metrics in question.bars.values() for metric in metrics}
    return found
