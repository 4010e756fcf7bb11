"""Settings of a launcher: what was written is what is meant, or one line says why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.errors import HydraException

from otherview.study.configuration import configuration_folder
from otherview.study.errors import StudyError
from otherview.sweep.command import chosen_launcher
from otherview.sweep.jobs import tasks_wanted, visible_gpus
from otherview.sweep.launcher_settings import (
    checked_settings,
    default_settings,
    limit_seconds,
)
from otherview.sweep.launcher_sources import launcher_settings, named_launcher

LAB = """defaults:
  - slurm
  - _self_
partition: gpu
account: mylab
setup: [module load cuda]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder for --config-dir with a launcher as docs/cluster.md shows it."""
    (tmp_path / "mine" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "mine" / "hydra" / "launcher" / "lab.yaml").write_text(LAB)
    return tmp_path / "mine"


def composed(*overrides: str) -> dict[str, Any]:
    """The checked settings that `otherview run` takes from these overrides."""
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = hydra.compose("run", list(overrides), return_hydra_config=True)
    return checked_settings(launcher_settings(config.hydra, config.hydra.launcher))


def slurm(*overrides: str) -> dict[str, Any]:
    return composed("hydra/launcher=slurm", *(f"hydra.launcher.{text}" for text in overrides))


def resumed(*settings: str) -> dict[str, Any]:
    return chosen_launcher(default_settings("slurm"), settings)


@pytest.mark.parametrize("given", [slurm, resumed])
@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("time", "4:00:00", "4:00:00"),
        ("time", "240", 240),
        ("time", "1-12", "1-12"),
        ("account", "012345", "012345"),
        ("account", "12345", 12345),
        ("partition", "on", "on"),
        ("comment", "no", "no"),
        ("comment", "'1e3'", "1e3"),
        ("qos", "null", None),
        ("gres", "gpu:a100:1", "gpu:a100:1"),
        ("python", "apptainer exec --nv image.sif python", "apptainer exec --nv image.sif python"),
        ("setup", "module load cuda", ["module load cuda"]),
        ("setup", "[module load cuda, source env]", ["module load cuda", "source env"]),
        ("additional_parameters", "{reservation: mine, begin: 16:00, exclusive: true}",
         {"reservation": "mine", "begin": "16:00", "exclusive": True}),
        ("wait", "true", True),
    ],
)  # fmt: skip
def test_a_setting_is_what_was_written(
    given: Callable[..., dict[str, Any]], name: str, written: str, value: object
) -> None:
    assert given(f"{name}={written}")[name] == value


@pytest.mark.parametrize("written", ["n[1-3],n5", "a100|h100", "[gpu1&gpu2]", "1e3", "1_000"])
def test_resume_takes_texts_as_they_are(written: str) -> None:
    assert resumed(f"constraint={written}")["constraint"] == written


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("time: 4:00:00", "time: 4:00:00 is read as 14400; quote it: time: '4:00:00'"),
        ("account: 012345", "account: 012345 is read as 5349; quote it: account: '012345'"),
        ("account: 1_000", "account: 1_000 is read as 1000; quote it"),
        ("partition: on", "partition: on is read as true; quote it: partition: 'on'"),
        ("comment: No", "comment: No is read as false; quote it"),
        ("qos: 1e3", "qos: 1e3 is read as 1000.0; quote it"),
        ("mem: 1.50", "mem: 1.50 is read as 1.5; quote it"),
        ("setup: [module load cuda, on]", "setup: on is read as true; quote it"),
        (
            "additional_parameters: {begin: 16:00}",
            "begin: 16:00 is read as 960; quote it: begin: '",
        ),
        ("additional_parameters: {licenses: no}", "licenses: no is read as false; quote it"),
        ("workers: 010", "workers: 010 is read as 8; write the number in plain digits"),
    ],
)
def test_what_yaml_turns_into_something_else_is_refused_with_its_place(
    mine: Path, line: str, said: str
) -> None:
    file = mine / "hydra" / "launcher" / "lab.yaml"
    file.write_text(f"defaults:\n  - slurm\n  - _self_\n{line}\n")
    with pytest.raises(StudyError) as error:
        named_launcher("lab", [str(mine)])
    assert str(error.value).startswith(f"{file}, line 4: {said}")


def test_a_quoted_text_is_what_it_says(mine: Path) -> None:
    file = mine / "hydra" / "launcher" / "lab.yaml"
    file.write_text(f"{LAB}time: '4:00:00'\nqos: \"012\"\ncomment: 'no'\nwait: yes\nmem: 32000\n")
    lab = checked_settings(named_launcher("lab", [str(mine)]))
    assert [lab[name] for name in ("time", "qos", "comment", "wait", "mem", "account")] == [
        "4:00:00", "012", "no", True, 32000, "mylab",
    ]  # fmt: skip


def test_a_trap_is_found_in_every_file_that_sets_the_launcher(mine: Path) -> None:
    folder = mine / "hydra" / "launcher"
    (folder / "base.yaml").write_text("defaults: [slurm, _self_]\nqos: off\n")
    (folder / "lab.yaml").write_text("defaults: [base, _self_]\n")
    with pytest.raises(StudyError, match=r"base.yaml, line 2: qos: off is read as false"):
        named_launcher("lab", [str(mine)])
    (mine / "experiment").mkdir()
    (mine / "experiment" / "own.yaml").write_text(
        "# @package _global_\nname: own\nhydra:\n  launcher:\n    account: 0777\n"
    )
    chosen = ("+experiment=own", f"hydra.searchpath=[{mine}]", "hydra/launcher=slurm")
    with pytest.raises(StudyError, match=r"own.yaml, line 5: account: 0777 is read as 511"):
        composed(*chosen)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("comment=1e3", "comment=1e3 is read as 1000.0; quote it: hydra.launcher.comment="),
        ("account=1_000", "account=1_000 is read as 1000; quote it"),
        ("workers=1_0", "workers=1_0 is read as 10; write the number in plain digits"),
        ("partition=true", "partition=true: this is true or false and no text; quote it"),
        ("qos=[a,b]", r"qos=\['a', 'b'\]: this is a list and no text"),
        ("time=4h", "time=4h: give a limit as Slurm writes it: minutes, minutes:seconds"),
        ("time=1:2:3:4", "time=1:2:3:4: give a limit"),
        ("time=2", r"signal_delay_s=120: a task stops so many seconds before its limit, time=2"),
        ("wait=maybe", "wait=maybe: choose one of false, true"),
        ("pages=1", "pages=1: choose one of false, true"),
        ("workers=0", "workers=0: give a number of tasks, at least 1"),
        ("workers=two", "workers=two: give a number"),
        ("cpus_per_task=0", "cpus_per_task=0: give a whole number, at least 1"),
        ("signal_delay_s=null", "signal_delay_s=None: give a whole number"),
        ("setup=[{a: b}]", "this is a mapping and no line of shell"),
        ("additional_parameters=[a]", "give parameters of sbatch by name"),
        ("additional_parameters={nice: [1]}", r"nice=\[1\]: this is a list and no text"),
        ("comment=''", "comment=: it is empty"),
    ],
)
def test_a_value_that_means_nothing_is_refused(setting: str, said: str) -> None:
    with pytest.raises(StudyError, match=f"^hydra.launcher.*{said}"):
        slurm(setting)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (30, 1800), ("30:10", 1810), ("1:30:10", 5410), ("2-3", 183_600), ("2-3:30", 185_400),
        ("1-0:0:1", 86_401), ("UNLIMITED", float("inf")), (0, float("inf")),
    ],
)  # fmt: skip
def test_limits_are_slurm_s(limit: str | int, seconds: float) -> None:
    assert limit_seconds(limit) == seconds
    assert slurm(f"time={limit}", "signal_delay_s=60")["time"] == limit


def test_unknown_settings_are_named_with_the_nearest(mine: Path) -> None:
    file = mine / "hydra" / "launcher" / "lab.yaml"
    file.write_text(LAB.replace("account", "accont"))
    with pytest.raises(StudyError, match=r"is called accont; did you mean account\?"):
        checked_settings(named_launcher("lab", [str(mine)]))
    with pytest.raises(StudyError, match=r"is called partiton; did you mean partition\?"):
        resumed("partiton=gpu")
    with pytest.raises(StudyError, match=r"is called config_dirs; there are: kind, rerun"):
        resumed("config_dirs=[a]")


@pytest.mark.parametrize("argument", ["workers=[1", "workers=1,2", "workers", "setup={a"])
def test_resume_refuses_what_is_no_value_in_one_line(argument: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(argument)}: [^\n]*$"):
        resumed(argument)


def test_resume_finds_the_launcher_of_the_last_start_s_folder(mine: Path) -> None:
    started = composed(f"hydra.searchpath=[{mine}]", "hydra/launcher=lab")
    assert started["account"] == "mylab"
    assert chosen_launcher(started, ["launcher=local"])["kind"] == "local"
    again = chosen_launcher(started, ["launcher=lab", "time=4:00:00"])
    assert (again["account"], again["time"]) == ("mylab", "4:00:00")
    with pytest.raises(HydraException, match="Could not find 'hydra/launcher/lab'"):
        chosen_launcher(default_settings("slurm"), ["launcher=lab"])
    with pytest.raises(StudyError, match="launcher=basic is none of otherview's"):
        chosen_launcher(started, ["launcher=basic"])
    assert chosen_launcher(default_settings("slurm"), ["launcher=lab"], mine)["account"] == "mylab"
    with pytest.raises(StudyError, match=r"no launcher is called \.\./secret"):
        chosen_launcher(started, ["launcher=../secret"])


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"]),
        ("MIG-1,MIG-GPU-2/1/0", ["MIG-1", "MIG-GPU-2/1/0"]),
        ("2, 3", ["2", "3"]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_are_handed_on_as_they_are_named(
    visible: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == names
    assert tasks_wanted({"workers": "auto"}) == max(1, len(names))
