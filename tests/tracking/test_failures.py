"""A server that fails costs a line: the result stays as it is, and the next run is sent."""

from __future__ import annotations

import hashlib
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from otherview.study.configuration import Tracking
from otherview.views import track_command
from otherview.views.making import TRACKING, make_views
from otherview.views.tracking.process import TrackingError
from otherview.views.tracking.record import identity_of
from tests.tracking.loopback import Loopback


def viewed(folder: Path, patience: float = 3) -> str:
    """What is printed when a run makes its views online."""
    printed = StringIO()
    tracking = Tracking(mode="online", patience=patience)
    console = Console(file=printed, width=1000)
    make_views(folder, {"tracking": tracking}, console, TRACKING)
    return printed.getvalue()


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_one_warning(folder: Path, printed: str, *reasons: str) -> None:
    assert printed.startswith("warning: no tracking: Weights & Biases")
    assert any(reason in printed for reason in reasons)
    assert printed.endswith(f"later: otherview track {folder}\n")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        ("dies_at", "UpsertBucket"),
        ("dies_at", "CommitArtifact"),
        ("hangs_at", "upload"),
        ("hangs_at", "stream"),
    ],
)
def test_a_dying_or_hanging_server_costs_a_line_and_the_next_run_is_sent(
    folder: Path, loopback: Loopback, fault: str, operation: str
) -> None:
    before = hashes(folder)
    setattr(loopback, fault, operation)
    printed = viewed(folder)
    assert_one_warning(folder, printed, "attempt(s)", "no answer for")  # whichever is sooner
    assert hashes(folder) == before
    loopback.revive()
    assert viewed(folder, patience=60) == ""
    run = identity_of(folder)
    assert loopback.finished[run] == 0
    assert loopback.artifact(f"result-{run}").state == "COMMITTED"


def test_without_a_key_nothing_is_asked(
    folder: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert_one_warning(folder, viewed(folder, patience=30), "No API key configured")
    assert loopback.runs == {}


def test_without_a_network_the_run_goes_on(
    folder: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://192.0.2.1")  # reserved: nobody answers
    assert_one_warning(folder, viewed(folder, patience=2), "opening the run")
    assert loopback.operations == []


def test_wandb_s_own_switch_is_obeyed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loopback: Loopback
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    track_command.track_run(folder, Tracking(mode="online"))
    assert loopback.operations == []
    assert not (folder / "wandb").exists()
    with pytest.raises(TrackingError, match="WANDB_MODE=disabled is set"):
        track_command.main([str(folder), "--online"])
