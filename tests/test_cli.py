"""The command `otherview`: what it offers, and how it ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from polars.exceptions import ComputeError

import otherview
from otherview.cli import CLOSED_PIPE, COMMANDS, INTERRUPTED, main
from otherview.disk.imports import importing
from otherview.disk.streams import LACKING, prepare_streams

PACKAGE = Path(otherview.__file__).parent


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python and then the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"{code}\nimport otherview.cli; sys.exit(otherview.cli.main())",
         *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_help_has_one_line_per_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        printed = capsys.readouterr().out
        for name, (_, _, purpose) in COMMANDS.items():
            assert f"  {name:<11}{purpose}\n" in printed


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"otherview {otherview.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("reprot", "did you mean report?"),
        ("x", "there are: run, new, plan, sweep"),
        ("--run", "run?"),
    ],
)
def test_a_wrong_command_is_answered_with_the_nearest_right_one(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: no command is called {name}; ")
    assert hint in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_under_its_own_name(name: str, tmp_path: Path) -> None:
    done = run("import sys", tmp_path, name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"otherview {name}" in done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "arguments", [["report", "x"], ["run", "+experiment=kitchen", "model=pocket"], ["sweep", "-h"]]
)
def test_ctrl_c_while_a_command_is_still_loading_is_one_line(
    arguments: Sequence[str], tmp_path: Path
) -> None:
    for module in ("argparse", "hydra"):
        (tmp_path / f"{module}.py").write_text(
            f"import os\nos.kill(os.getpid(), {signal.SIGINT.value})\nimport time\ntime.sleep(9)\n"
        )
    done = run("import sys", tmp_path, *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (INTERRUPTED, "interrupted\n", "")


def test_nobody_who_reads_any_more_is_no_error(tmp_path: Path) -> None:
    closed = "import os, sys\nr, w = os.pipe()\nos.close(r)\nos.dup2(w, 1)"
    short = ["run", "--hydra-help"]  # fits into a buffer, and is written at exit only
    for words in (["--help"], short, ["plan", "+experiment=kitchen"], ["run", "--help"]):
        done = run(closed, tmp_path, *words)
        assert (done.returncode, done.stderr) == (CLOSED_PIPE, ""), words


def test_a_full_disk_is_one_line_whatever_library_met_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compare() -> None:
        raise ComputeError("parquet: underlying IO error: No space left on device (os error 28)")

    monkeypatch.setattr("otherview.views.result_commands.compare", compare)
    assert main(["compare"]) == 1
    assert capsys.readouterr().err.startswith("error: the disk is full: parquet: underlying IO")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed: str, tmp_path: Path) -> None:
    script = f'"$0" -m otherview new felt_hats {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "studies" / "experiment" / "felt_hats.yaml").is_file()


def test_imports_of_a_cold_start_are_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "diffusers", raising=False)
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        monkeypatch.setitem(sys.modules, "diffusers", gc)
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    with importing():  # a process that is no longer cold
        assert gc.isenabled()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_numbers_keep_their_sign_and_exponent_in_a_terminal_that_lacks_letters(
    encoding: str,
) -> None:
    text = "t −1.47, p 1.9\u202f×\u202f10⁻⁹, 10⁵, 視"
    prepare_streams()
    shown = text.encode(encoding, errors=LACKING).decode(encoding)
    assert shown.replace("×", "x") == "t -1.47, p 1.9 x 10^-9, 10^5, ?"
