"""What a sweep costs on top of its work: time per point, and the reading of ten thousand points.

    python benchmarks/sweep.py

Three comparisons, each with its peer or limit in the same run.

A sweep of pocket in one process, against its limit: the bare transformer forwards of all points and
one loading of the model; the limit has no tests, whose size `--flips` sets. And against one process
a point, of which a few are run: a plain script, which is what one would have without otherview, and
otherview's own single run, page included.

Composition of 1,000 points, against Hydra's own, of which a few are composed.

`status` and `collect` on 10,000 finished points: copies of one small result under other names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import hydra
import numpy as np
import torch
from collect import copy_point
from figures import environment
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from limits import bare_forwards
from rich.console import Console
from rich.table import Table

from otherview.models import denoiser_loading, hub, weights
from otherview.models.cost import image_tokens
from otherview.models.scene import open_reference
from otherview.study import Study
from otherview.study.compose import compose_study, register_resolvers
from otherview.study.configuration import configuration_folder
from otherview.sweep.points import Point, compose_points
from otherview.sweep.submissions import freeze, read_submissions

MAX_OF_LIMIT = 1.25
MIN_OF_PROCESSES = 5.0
MIN_OF_HYDRA = 3.0
MAX_SECONDS, MAX_BYTES = 60.0, 1 << 30
READING = (
    "import re, sys\n"
    "from pathlib import Path\n"
    "from otherview.sweep.command import main\n"
    "code = main()\n"
    "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
    "sys.stderr.write(peak)\n"
    "sys.exit(code)\n"
)
"""A command on a sweep, and its own peak of memory, without that of its parent."""
KITCHEN = ("+experiment=kitchen", "model=pocket", "capture=heads", "tracking=off")
ROUNDS_OF_FORWARDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=40, help="points of the sweep (40)")
    parser.add_argument(
        "--processes", type=int, default=4, help="single processes timed, of each kind (4)"
    )
    parser.add_argument("--flips", type=int, default=1000, help="sign patterns of the test (1000)")
    parser.add_argument("--finished", type=int, default=10_000, help="finished points (10,000)")
    parser.add_argument("--composed", type=int, default=1000, help="points composed (1,000)")
    given = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "sweep"
        points = new_table("points")
        time_points(points, sweep, given.points, given.processes, given.flips)
        console.print(points)
        composition = new_table("composition")
        time_composition(composition, given.composed)
        console.print(composition)
        finished = new_table("finished points")
        time_reading(finished, sweep, given.finished)
        console.print(finished)
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


def new_table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("")
    for heading in ("measured", "ratio or share", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("reached")
    return table


def time_points(table: Table, sweep: Path, points: int, processes: int, flips: int) -> None:
    nulls = (f"nulls.sign_flips={flips}", "nulls.splits=1")
    study = compose_study([*KITCHEN[:-1], *nulls])
    loading, forwards = loading_and_forwards(study)
    limit = loading + points * forwards
    seeds = f"seed={','.join(str(seed) for seed in range(points))}"
    whole = command_seconds("run", "-m", *KITCHEN, *nulls, seeds, f"hydra.sweep.dir={sweep}")
    starting = command_seconds("run", "--cfg", "job", *KITCHEN)
    single = mean(
        command_seconds("run", *KITCHEN, *nulls, f"seed={seed}", f"hydra.run.dir={sweep}-{seed}")
        for seed in range(processes)
    )
    script = str(Path(__file__).with_name("plain_script.py"))
    plain = mean(
        run_seconds(script, str(seed), f"{sweep}-plain-{seed}.npz") for seed in range(processes)
    )
    table.add_row("bare forwards of a point", f"{forwards:.2f} s")
    table.add_row("one loading of the model", f"{loading:.2f} s")
    table.add_row(f"limit: {points} points", f"{limit:.1f} s", "1.00", end_section=True)
    table.add_row("start of Python and Hydra", f"{starting:.1f} s")
    ratio = whole / limit
    table.add_row(
        f"sweep of {points} points, against the limit", f"{whole:.1f} s", f"{ratio:.2f}",
        f"<= {MAX_OF_LIMIT}", yes(ratio <= MAX_OF_LIMIT),
    )  # fmt: skip
    ratio = points * plain / whole
    table.add_row(
        "a plain script a point, against the sweep", f"{plain:.1f} s each", f"{ratio:.1f}",
        f">= {MIN_OF_PROCESSES:g}", yes(ratio >= MIN_OF_PROCESSES),
    )  # fmt: skip
    table.add_row(
        "a single run a point, against the sweep", f"{single:.1f} s each",
        f"{points * single / whole:.1f}", end_section=True,
    )  # fmt: skip


def mean(seconds: Iterable[float]) -> float:
    """A sweep is a sum over points, so what it is held against is a mean and not a best."""
    return float(np.mean(list(seconds)))


def loading_and_forwards(study: Study) -> tuple[float, float]:
    """Seconds to load the model, and to run the bare forwards of one point."""
    model = study.model
    folder = hub.weights_folder(model)
    device = weights.choose_device(model)
    start = time.perf_counter()
    encoder = denoiser_loading.load_text_encoder(folder, model, device)
    pipeline = denoiser_loading.load_image_side(folder, model, device)
    loading = time.perf_counter() - start
    del encoder
    size = open_reference(study.scenery[0]).size
    image = image_tokens(model, [(size[1], size[0])])
    prompts, batch = len(study.creatures.items) * 2, model.batch_size
    forwards = bare_forwards(pipeline.transformer, prompts, batch, model.text_positions, image)
    times = []
    for _ in range(ROUNDS_OF_FORWARDS):
        start = time.perf_counter()
        forwards()
        times.append(time.perf_counter() - start)
    return loading, min(times)


def time_composition(table: Table, points: int) -> None:
    register_resolvers()
    jobs = [
        [*KITCHEN, f"templates={templates}", f"seed={seed}"]
        for seed in range(points // 2)
        for templates in ("viewpoint", "matched")
    ]
    few = jobs[:10]
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("run", list(KITCHEN), run_mode=RunMode.MULTIRUN)
        start = time.perf_counter()
        compose_points(loader, master, jobs)
        ours = (time.perf_counter() - start) / len(jobs)
        start = time.perf_counter()
        for overrides in few:
            loader.load_sweep_config(master, overrides)
        theirs = (time.perf_counter() - start) / len(few)
    table.add_row(
        f"composing, checking and naming {len(jobs):,} points", f"{ours * len(jobs):.1f} s"
    )
    table.add_row(
        "Hydra composing a point, against ours", f"{theirs * 1000:.0f} ms each",
        f"{theirs / ours:.1f}", f">= {MIN_OF_HYDRA:g}", yes(theirs >= MIN_OF_HYDRA * ours),
        end_section=True,
    )  # fmt: skip


def time_reading(table: Table, sweep: Path, points: int) -> None:
    """Copies a point's folder until there are `points`, and reads them all."""
    submission = read_submissions(sweep)[0][0]
    one = submission.points[0]
    planned = [renamed(one, number) for number in range(points)]
    many = sweep.with_name("many")
    for point in planned:
        copy_point(sweep / one.folder, many / point.folder, point.config["seed"])
    freeze(many, planned, [list(range(points))], {"kind": "sequential", "rerun": "missing"})
    for verb, how in (
        ("status", ""),
        ("status", ", copied"),
        ("status", ", again"),
        ("collect", ""),
    ):
        if how == ", copied":  # what a copy changes too: the times of every file
            for file in many.glob("*/*.*"):
                file.touch()
        seconds, size = reading(verb, many)
        fits = seconds <= MAX_SECONDS and size <= MAX_BYTES
        table.add_row(
            f"{verb} on {points:,} finished points{how}", f"{seconds:.1f} s",
            f"{size / 2**20:.0f} MiB", f"<= {MAX_SECONDS:.0f} s, 1 GiB", yes(fits),
        )  # fmt: skip
    left_out = json.loads((many / "combined.json").read_text())["left_out"]
    if left_out:
        raise SystemExit(f"{len(left_out)} points were not combined: {left_out[0]['reason']}")


def renamed(point: Point, number: int) -> Point:
    digits = f"{number:08x}"
    return replace(
        point,
        folder=f"pocket-viewpoint-seed{number}-{digits}",
        identity=digits,
        config={**point.config, "seed": number},
    )


def reading(verb: str, folder: Path) -> tuple[float, int]:
    """Seconds and peak resident bytes of a command on a sweep."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", READING, verb, str(folder)],
        env={**os.environ, **environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        text=True,
    )
    return time.perf_counter() - start, int(done.stderr.split()[-1]) * 1024


def command_seconds(program: str, *arguments: str) -> float:
    return run_seconds("-m", "otherview", program, *arguments)


def run_seconds(*command: str) -> float:
    """Wall seconds of a Python process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment()},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def yes(reached: bool) -> str:
    return "yes" if reached else "no"


if __name__ == "__main__":
    main()
