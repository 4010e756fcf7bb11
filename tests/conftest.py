"""What many tests share: the pocket model's parts and one whole run of the kitchen study."""

from __future__ import annotations

import fcntl
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

gc.disable()  # until all is imported: collections take half of that time
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of two threads are slower than of one
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

# Processes of tests find the checkout, and libraries where the path pointed before.
paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

if TYPE_CHECKING:  # the process that hands out tests runs none, and needs no torch
    from otherview.passes.measure import Measurement
    from otherview.study import Study

Program = Callable[..., subprocess.CompletedProcess[str]]
Once = Callable[[str, Callable[[Path], object]], Path]

THREE_CREATURES = "creatures.items=[a cat,an owl,an ant]"
TWELVE_CREATURES = (
    "creatures.items=[an adult human,a child,a chimpanzee,a small dog,a cat,a horse,an owl,a frog,"
    "a snake,an octopus,an ant,a fly]"
)
SHORT = "model.text_length=32"
"""As little padding as the pocket models were trained with: passes of a quarter of the tokens."""
WAITING = ("slurm", "sweep", "tracking")
"""Folders of tests that wait for other programs, those that wait longest first."""
LONG = ("test_run.py", "test_real_size.py", "test_intervene.py", "test_page_in_a_browser.py",
        "test_figure.py", "test_report.py", "test_studies.py", "test_attribution.py")  # fmt: skip
"""Files whose tests compute longest: one of them as the last would leave cores idle."""


def pytest_configure(config: pytest.Config) -> None:
    """Have `--dist loadfile` hand out files in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that wait, so that they share the cores with tests that compute."""

    def place(item: pytest.Item) -> int:
        order, folder = (*WAITING, *LONG), item.path.parent.name
        name = folder if folder in WAITING else item.path.name
        return order.index(name) if name in order else len(order)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Leave what was imported out of later collections."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def once(shared: Path) -> Once:
    """Have a folder made by the first worker that asks for its name; tests only read it."""

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def own_cache(shared: Path) -> Iterator[None]:
    """Keeps text encodings and reference latents out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTHERVIEW_CACHE", str(shared / "cache"))
        yield


@pytest.fixture(scope="session")
def process() -> Program:
    """Run `python -m otherview <name> <arguments>` in a folder, as a shell would."""

    def run(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "otherview", name, *arguments],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def program() -> Program:
    """Run `otherview <name> <arguments>` in a folder, in this process.

    A process of its own takes 5 CPU seconds to load torch and diffusers; use `process` where it is
    what a test is about.
    """

    from hydra.core.hydra_config import HydraConfig

    from otherview.cli import main

    def run(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch, chdir(cwd), mock.patch.dict(os.environ):
            patch.setenv("COLUMNS", "100")
            patch.setattr(sys, "argv", [*sys.argv])
            patch.setattr(HydraConfig.instance(), "cfg", None)
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    code = main([name, *arguments])
                except SystemExit as end:
                    code = exit_code(end)
        return subprocess.CompletedProcess([name, *arguments], code, out.getvalue(), err.getvalue())

    return run


def exit_code(end: SystemExit) -> int:
    """Do what Python does at the end of a process: a text is written to stderr and means 1."""
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


@pytest.fixture
def unseen_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs make no page: it takes as long as the run, and the test does not look at it."""
    from otherview.views import making

    monkeypatch.setattr(making, "make_views", partial(making.make_views, views=making.TRACKING))


@pytest.fixture(scope="session")
def kitchen_run(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The result directory of the kitchen study on pocket, and what was printed."""
    cwd = tmp_path_factory.mktemp("kitchen")
    done = program("run", "+experiment=kitchen", "model=pocket", SHORT, TWELVE_CREATURES, cwd=cwd)
    assert done.returncode == 0, done.stderr
    (folder,) = (cwd / "outputs" / "kitchen").iterdir()
    return folder, done


@pytest.fixture(scope="session")
def controlled_run(once: Once) -> Path:
    """A run with controls and an intervention."""
    from otherview.programs import run_study
    from otherview.study.compose import compose_study

    study = compose_study(
        [
            "+experiment=kitchen_controlled", "model=pocket", "nulls.label_shuffle=20",
            "creatures.items=[an adult human,a cat,an owl,an ant]", "intervention.heads=strongest",
            SHORT, "intervention.draws=4", "intervention.curve_draws=2",
            "intervention.pictures=1", "sampling.levels=[1.0,0.5]",
        ]
    )  # fmt: skip
    return once("controlled", lambda folder: run_study(study, folder, {}))


@pytest.fixture(scope="session")
def traced_run(once: Once) -> Path:
    """A run with an attribution, and the edges of the heads that it calls without a floor."""
    from otherview.programs import run_study
    from otherview.study.compose import compose_study

    study = compose_study(
        ["+experiment=kitchen", "model=pocket", "capture=heads", "model.text_length=32",
         "attribution=change", "attribution.cotangents=4", "attribution.edges=true",
         "attribution.toward_items=2", "attribution.check_items=0", "attribution.floor=0.0"]
    )  # fmt: skip
    few = replace(study.creatures, items=study.creatures.items[:24:2])
    study = replace(study, creatures=few)
    return once("traced", lambda folder: run_study(study, folder, {}))


@pytest.fixture(scope="session")
def small_study() -> Study:
    """The kitchen study on pocket with three creatures."""
    from otherview.study.compose import compose_study

    return compose_study(["+experiment=kitchen", "model=pocket", SHORT, THREE_CREATURES])


@pytest.fixture(scope="session")
def small_measurement(small_study: Study) -> Measurement:
    from otherview.passes.measure import measure

    return measure(small_study)


@pytest.fixture(scope="session")
def pocket_folder(small_study: Study) -> Path:
    from otherview.models import hub

    return hub.weights_folder(small_study.model)


@pytest.fixture
def pocket_pipeline(small_study: Study, pocket_folder: Path) -> Any:
    """The image side of the pocket pipeline, fresh for every test."""
    from otherview.models.denoiser_loading import load_image_side

    return load_image_side(pocket_folder, small_study.model, "cpu")


@pytest.fixture(scope="session")
def sweep_folder() -> Path:
    """A combined sweep of pocket and a null model over four templates and two seeds."""
    return Path(__file__).parent / "report" / "sweep_of_pocket"
