"""The dashboard as code: the same bytes each time, and panels of what runs really leave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from otherview.disk.progress import silent
from otherview.results.run_study import make_result
from otherview.study.compose import compose_study
from otherview.views import dashboard
from otherview.views.tracking.record import run_record
from otherview.views.tracking.sweep_record import sweep_record
from tests.conftest import Program
from tests.tracking.loopback import Loopback

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [([], "workspace.json"), (["--report", "kitchen"], "report.json")],
)
def test_show_prints_the_kept_bytes_without_network(
    process: Program, tmp_path: Path, loopback: Loopback, arguments: list[str], golden: str
) -> None:
    """After a wanted change: otherview dashboard show [--report kitchen] > golden."""
    shown = process("dashboard", "show", *arguments, cwd=tmp_path)
    assert shown.stdout == (GOLDEN / golden).read_text(encoding="utf-8")
    assert loopback.requests == []


@pytest.mark.parametrize(
    ("arguments", "kind"), [([], "project-view"), (["--report", "kitchen"], "runs")]
)
def test_push_saves_what_show_prints_and_pushing_again_replaces_it(
    process: Program, tmp_path: Path, loopback: Loopback, arguments: list[str], kind: str
) -> None:
    for _ in range(2):
        done = process("dashboard", "push", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{loopback.url}/loop/otherview")
    first, again = loopback.views
    assert first["name"] == again["name"]
    assert first["type"] == kind
    shown = process("dashboard", "show", "--entity", "loop", *arguments, cwd=tmp_path)
    assert json.loads(again["spec"]) == json.loads(shown.stdout)


def test_every_panel_shows_something_that_a_run_or_a_sweep_leaves(
    result: Path, tmp_path: Path, sweep_folder: Path
) -> None:
    """Four creatures cannot replicate, and one pair of wordings has no role: two runs are asked."""
    pair = ["+experiment=kitchen", "model=pocket"]
    study = compose_study([*pair, f"creatures.items={compose_study(pair).creatures.items[::2]}"])
    make_result(study, tmp_path, silent)
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.structured(study), tmp_path / ".hydra" / "config.yaml")
    records = [run_record(result), run_record(tmp_path), sweep_record(sweep_folder)]
    logged: set[str] = set()
    for record in records:
        logged |= {*record.values, *record.tables, *record.images}
        assert not record.values.keys() & record.tables.keys()
    assert keys(dashboard.QUESTIONS) - logged == set()


def test_a_push_without_a_key_is_one_line(
    process: Program, tmp_path: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    done = process("dashboard", "push", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"error: not pushed: .*API key.*\n", done.stderr)
    assert loopback.views == []


def keys(questions: tuple[dashboard.Question, ...]) -> set[str]:
    found: set[Any] = set()
    for question in questions:
        found |= {*question.images, *question.tables}
        found |= {metric for metrics in question.bars.values() for metric in metrics}
    return found
