"""The kitchen study on pocket from outside: what is printed, and what lies on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xarray
from hydra.core.hydra_config import HydraConfig
from PIL import Image

from otherview.cli import main
from otherview.passes.capture import Recorder
from otherview.study.errors import StudyError
from tests.conftest import SHORT, THREE_CREATURES, Program

SMALL = ("+experiment=kitchen", "model=pocket", SHORT, THREE_CREATURES, "tracking=off")
Run = tuple[Path, subprocess.CompletedProcess[str]]


def test_a_run_prints_its_table_and_its_directory(kitchen_run: Run) -> None:
    folder, done = kitchen_run
    assert "48 heads" in done.stdout
    assert "108 slices" in done.stdout
    assert f"result in  outputs/kitchen/{folder.name}\n" in done.stdout
    assert done.stderr == ""


def test_a_run_leaves_whole_files_only(kitchen_run: Run) -> None:
    folder, _ = kitchen_run
    assert {path.name for path in folder.iterdir()} == {
        ".hydra", "examples.png", "heads.parquet", "nulls.parquet", "reference.png", "report.html",
        "responses.nc", "slices16.parquet", "status.json", "summary.json", "wandb",
    }  # fmt: skip
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    with Image.open(folder / "reference.png") as reference:
        assert reference.size == (64, 64)


def test_responses_open_with_xarray_and_explain_themselves(kitchen_run: Run) -> None:
    folder, _ = kitchen_run
    with xarray.open_dataset(folder / "responses.nc") as dataset:
        assert dataset.head_rms.dims == ("item", "condition", "step", "head", "head_tokens")
        assert dataset.role.values.tolist() == ["test", "control"]
        text_head = dataset.head_rms.sel(head="joint.1.text.3", item="a cat")
        assert bool(text_head.sel(head_tokens="target").isnull().all())
        assert bool(text_head.sel(head_tokens="all").notnull().all())
        assert dataset.tokens.sum("token_group").values.tolist() == [[160, 160]] * 12


def test_the_tables_agree_with_the_responses(kitchen_run: Run) -> None:
    folder, _ = kitchen_run
    heads = pl.read_parquet(folder / "heads.parquet")
    with xarray.open_dataset(folder / "responses.nc") as dataset:
        rms = dataset.head_rms.sel(head_tokens="all", step=0).astype(float)
        difference = rms.sel(condition="test.0") - rms.sel(condition="control.0")
        t = difference.mean("item") / (difference.std("item", ddof=1) / np.sqrt(12))
        assert dataset["head"].values.tolist() == heads["unit"].to_list()
    np.testing.assert_allclose(heads["t"].to_numpy(), t.values, rtol=1e-3)
    summary = json.loads((folder / "summary.json").read_text())
    counts = summary["results"]["heads"]["published_reading"]["counts"]
    assert counts[0]["observed"] == heads.filter(pl.col("t").abs() > 3).height
    nulls = pl.read_parquet(folder / "nulls.parquet")
    per_null = nulls.group_by("unit_set", "null", "statistic").agg(pl.col("patterns").sum())
    assert set(per_null.filter(null="published")["patterns"]) == {200}


def test_the_summary_says_how_it_was_made(kitchen_run: Run) -> None:
    folder, _ = kitchen_run
    summary = json.loads((folder / "summary.json").read_text())
    provenance = summary["provenance"]
    assert provenance["model_revision"].startswith("sha256:")
    assert provenance["libraries"].keys() >= {"torch", "diffusers", "transformers", "numpy"}
    assert summary["seed"] == 0
    assert summary["tokens"]["equal_item_position"] is False


def test_the_published_figures_stand_beside_the_published_study_only(kitchen_run: Run) -> None:
    from rich.console import Console

    from otherview.study.compose import compose_study
    from otherview.views.run_tables import counts_table
    from otherview.views.table_model import print_table

    assert compose_study(["+experiment=kitchen"]).repeats_published
    for other in ("model=pocket", "creatures.items=[a,b]", "capture.tokens=pad", "scene.steps=9"):
        assert not compose_study(["+experiment=kitchen", other]).repeats_published
    folder, done = kitchen_run
    assert "12,091" not in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    figures = compose_study(["+experiment=kitchen"]).published
    assert figures is not None
    summary["published_figures"] = {
        "units": figures.units,
        "max_abs_t": figures.max_abs_t,
        "counts": [vars(count) for count in figures.counts],
    }
    printed = StringIO()
    print_table(counts_table(summary), Console(width=100, file=printed))
    text = printed.getvalue()
    assert "12,091" in text
    assert "18×" in text  # as printed there, and not 18.5


def test_the_plan_counts_units_without_weights(program: Program, tmp_path: Path) -> None:
    done = program("plan", "+experiment=kitchen", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for figure in ("720", "16,320", "11,520", "76.7 TFLOP", "were not checked"):
        assert figure in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_checks_tokens_with_a_tokenizer_that_is_here(
    program: Program, tmp_path: Path
) -> None:
    done = program("plan", "+experiment=kitchen", "model=pocket", THREE_CREATURES, cwd=tmp_path)
    assert "For 3 of 3 items the wordings differ" in done.stdout


BAD_SETTINGS: list[tuple[list[str], str]] = [
    (["model=poket"], "no model is called poket; did you mean pocket? There are: any, "),
    (["model=zzz"], "no model is called zzz; there are: any, "),
    (["sed=3"], "no setting is called sed; did you mean seed?"),
    (["+sed=3"], "no setting is called sed; did you mean seed?"),
    (["++sed=3"], "no setting is called sed; did you mean seed?"),
    (["+model.hight=3"], "no setting is called model.hight; did you mean model.height?"),
    (["creatures.items=[a cat]"], "creatures.items has only 'a cat'"),
    (["creatures.items=[]"], "creatures.items is empty"),
    (["creatures.items=[a cat,a cat]"], "creatures.items names 'a cat' twice"),
    (["templates.control=[with a cat]"], "templates.control has no {creature}: 'with a cat'"),
    (["scene=[none]"], "scenes.none has neither a prompt nor an image"),
    (["templates=[viewpoint,matched]"], "templates=[viewpoint,matched]: a study has one option"),
    (["templates.test=['as {cat}']"], "templates.test has the unknown placeholder {cat}"),
    (["templates.test=['{creature}','{creature}']"], "templates.test repeats a wording"),
    (["templates.test=[true]"], "templates.test[0] is True: write a prompt in quotes"),
    (
        ["templates.test=[{prompt: '{creature}', frame: a}]"],
        "templates.control names no frame for 'Render this kitchen with {creature} in it'",
    ),
    (
        [
            "templates.test=[{prompt: '{creature}', frame: a}]",
            "templates.control=[{prompt: 'no {creature}', frame: b}]",
        ],
        "templates: no frame has wordings of both roles (test: a; control: b)",
    ),
    (["+templates.placebo=mention"], "templates.placebo=mention: choose one of test, control"),
    (["+model.null_of=pocket"], "model.null_of=pocket is the model itself"),
    (["sampling.guidance_scale=4"], "sampling.guidance_scale=4.0: guidance runs the transform"),
    (["sampling.steps=2"], "sampling.steps=2"),
    (["seed=x"], "seed: Value 'x'"),
    (["seed=99999999999999999999"], "seed=99999999999999999999 is not between"),
    (["nulls.thresholds=[3,3]"], "nulls.thresholds=[3.0, 3.0] repeats a value"),
    (["model.height=100"], "model.height=100 is not a multiple of the 8 pixels of a token"),
    (["model.batch_size=0"], "model.batch_size=0 is too small: use at least 1"),
    (["+model.call.height=64"], "model.call.height: set model.height instead"),
    (["model.batch_size=auto"], "model.batch_size: Value 'auto'"),
    (
        ["model.compile=true", "model.loading.offload=group"],
        "model.compile=True does not go with model.loading.offload=group",
    ),
    (["model.dtype=float8"], "model.dtype=float8: choose one of bfloat16, float16, float32"),
]
"""What is added to the kitchen study on pocket, and how the answer begins."""
RUN_EACH = """
import contextlib, io, json, sys
from otherview.cli import main
ends = {}
for words in json.loads(sys.argv[1]):
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        try:
            code = main(["run", "+experiment=kitchen", "model=pocket", *words])
        except SystemExit as end:
            code = 1
            print(end.code, file=sys.stderr)
    ends[str(words)] = (code, error.getvalue())
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and errors of a run with each of BAD_SETTINGS, in one process without torch."""
    cwd = tmp_path_factory.mktemp("bad")
    (cwd / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = subprocess.run(
        [sys.executable, "-c", RUN_EACH, json.dumps([words for words, _ in BAD_SETTINGS])],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{cwd}:{os.environ['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (cwd / "outputs").exists()
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("overrides", "answer"), BAD_SETTINGS)
def test_bad_settings_are_answered_in_one_line_before_torch_is_imported(
    ends: dict[str, tuple[int, str]], overrides: list[str], answer: str
) -> None:
    code, error = ends[str(overrides)]
    assert code == 1
    assert error.startswith(f"error: {answer}"), error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        (["model=pocket", "model.device=cuda:7"], "model.device=cuda:7 does not exist"),
        (["model=pocket", "scene.image=no.png"], "scene.image=no.png does not exist"),
        (["model=pocket", "scene.image=text.png"], "scene.image=text.png is not an image"),
        (["model=pocket", "scene.image=tiny.png"], "scene.image=tiny.png has 8 x 8 pixels"),
        (["model=pocket", "scene.image=long.png"], "scene.image=long.png has 64 x 700 pixels"),
        (["model=pocket", "hydra.run.dir=text.png/x"], "Not a directory"),
        (["model=pocket", "model.path=nowhere"], "model.path=nowhere is not a folder of a diff"),
        ([], "the weights of black-forest-labs/FLUX.2-klein-base-4B are not on this machine"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(
    program: Program, tmp_path: Path, overrides: list[str], answer: str
) -> None:
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    Image.new("RGB", (64, 700)).save(tmp_path / "long.png")
    done = program("run", "+experiment=kitchen", *overrides, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {answer}"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("unseen_page")
def test_a_study_of_the_user_s_own_is_one_file(program: Program, tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "hats.yaml").write_text(
        "# @package _global_\n"
        "name: hats\n"
        "creatures: {name: hats, placeholder: hat, axis: null, items: [a fez, a beret, a cap]}\n"
        "templates:\n"
        "  name: wearing\n"
        "  test: ['A kitchen worn as {hat}']\n"
        "  control: ['A kitchen beside {hat}']\n"
    )
    words = ("--config-dir", "own", "+experiment=hats", "model=pocket", SHORT, "tracking=off")
    done = program("run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hats" in done.stdout
    (folder,) = (tmp_path / "outputs" / "hats").iterdir()
    with xarray.open_dataset(folder / "responses.nc") as dataset:
        assert dataset["item"].values.tolist() == ["a fez", "a beret", "a cap"]
        assert "rank" not in dataset.coords


def test_an_error_in_a_user_s_file_names_the_file(program: Program, tmp_path: Path) -> None:
    (tmp_path / "own" / "templates").mkdir(parents=True)
    (tmp_path / "own" / "templates" / "mine.yaml").write_text(
        "name: mine\ntest: ['as {creature}']\ncontrol: ['with a cat']\n"
    )
    done = program(
        "plan", "--config-dir", "own", "+experiment=kitchen", "templates=mine", cwd=tmp_path
    )
    assert "templates.control has no {creature}: 'with a cat'" in done.stderr
    assert "(from own/templates/mine.yaml)" in done.stderr


def test_tracebacks_are_shown_to_those_who_ask(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(StudyError, match=r"^scene\.image=no\.png does not exist"):
        program("run", "+experiment=kitchen", "model=pocket", "scene.image=no.png", cwd=tmp_path)


def test_an_error_in_an_experiment_names_the_experiment(program: Program, tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\ntemplates: {name: mine, test: ['as a cat']}\n"
    )
    done = program("plan", "--config-dir", "own", "+experiment=mine", cwd=tmp_path)
    assert "templates.test has no {creature}: 'as a cat'" in done.stderr
    assert "(from own/experiment/mine.yaml)" in done.stderr


def test_broken_yaml_is_answered_in_one_line_with_its_file(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "own" / "templates").mkdir(parents=True)
    (tmp_path / "own" / "templates" / "mine.yaml").write_text("name: [mine\n")
    done = program(
        "plan", "--config-dir", "own", "+experiment=kitchen", "templates=mine", cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "mine.yaml" in done.stderr
    assert done.stderr.count("\n") == 1


def test_brackets_in_a_name_are_printed_as_they_are(program: Program, tmp_path: Path) -> None:
    items = "creatures.items=['a [bold]cat[/]','an [/b] owl']"
    done = program("plan", "+experiment=kitchen", "model=pocket", items, cwd=tmp_path)
    assert "a [bold]cat[/]" in done.stdout, done.stderr


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing_half_written(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    is_lost: bool,
) -> None:
    record = Recorder.record

    def interrupted(*arguments: Any) -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if is_lost:  # as in a callback of HDF5
                raise TypeError("Operation not defined for data type class") from None
            raise
        record(*arguments)

    monkeypatch.setattr(Recorder, "record", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = program("run", *SMALL, cwd=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "interrupted\n"
    (folder,) = (tmp_path / "outputs" / "kitchen").iterdir()
    assert {path.name for path in folder.iterdir()} == {".hydra", "status.json"}
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["signal"]) == ("interrupted", number.name)


@pytest.mark.usefixtures("unseen_page")
def test_a_full_disk_is_said_and_costs_nothing_that_was_measured(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("underlying IO error: No space left on device")

    words = ("run", *SMALL, "hydra.run.dir=here")
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        done = program(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"error: the disk of {tmp_path}/here is full: free some space and run the same again. "
        "What was measured is kept there."
    )
    assert program(*words, cwd=tmp_path).returncode == 0


def test_a_closed_pipe_costs_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    reader, writer = os.pipe()
    os.close(reader)
    words = [*SMALL, "hydra.run.dir=here"]
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["run", *words]) == 1
    assert (tmp_path / "here" / "report.html").is_file()


def test_a_command_leaves_the_environment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    with pytest.raises(SystemExit, match="seed"):
        main(["plan", "+experiment=kitchen", "model=pocket", "seed=x"])
    assert "HYDRA_FULL_ERROR" not in os.environ
