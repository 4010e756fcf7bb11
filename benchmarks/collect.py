"""Time and memory of combining many finished points, against a bare read of the same files.

    python benchmarks/collect.py --points 10000

Two contrasts of the kitchen study are measured on the pocket model and copied, one seed per copy.
The bare read opens every file that a combination needs and looks at nothing. Both run in a process
of their own, which reports its CPU time (imports included) and peak memory; the limits are 60 s and
1 GiB for 10,000 points.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import polars as pl
from omegaconf import OmegaConf
from peak_memory import peak_bytes
from rich.console import Console
from rich.progress import track
from rich.table import Table

from otherview.results.integrity import read_sealed, sealed
from otherview.results.status import write_status
from otherview.sweep.combine import combine

TEMPLATES = ("viewpoint", "matched")
SECONDS_A_POINT = 60 / 10_000
MAX_BYTES = 2**30
UNIT_TABLES = ("heads.parquet", "slices16.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000, help="points (default 10000)")
    parser.add_argument("--folder", type=Path, help="sweep to make here and to keep")
    parser.add_argument("--only", choices=list(SUBJECTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        report(SUBJECTS[arguments.only], arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not any(folder.glob("*/summary.json")):
            make_points(folder, arguments.points)
        figures = {name: in_own_process(name, folder) for name in SUBJECTS}
    print_table(figures, arguments.points)


def make_points(folder: Path, points: int) -> None:
    """Makes finished points of pocket in `folder`: both contrasts, equally many seeds of each."""
    for number, templates in enumerate(TEMPLATES):
        first = folder / f"pocket-{templates}-seed0-{number:08x}"
        measured_point(first, templates)
        copies = range(1, points // len(TEMPLATES))
        for seed in track(copies, f"copying {templates}", transient=True):
            name = f"pocket-{templates}-seed{seed}-{len(TEMPLATES) * seed + number:08x}"
            copy_point(first, folder / name, seed)


def measured_point(folder: Path, templates: str) -> None:
    # Imported here, so that the processes that are timed do not load torch.
    from otherview.analysis.analyse import analyse
    from otherview.passes.measure import measure
    from otherview.results.writing import write_analyses, write_measurement
    from otherview.study.compose import compose_study

    study = compose_study(["+experiment=kitchen", "model=pocket", f"templates={templates}"])
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.structured(study), folder / ".hydra" / "config.yaml")
    measurement = measure(study)
    write_measurement(folder, study, measurement)
    write_analyses(folder, study, measurement, analyse(measurement.responses, study))


def copy_point(point: Path, folder: Path, seed: int) -> None:
    """Copy a finished point of seed 0 as one of another seed, hashed and finished as by a run."""
    shutil.copytree(point, folder)
    with h5py.File(folder / "responses.nc", "r+") as file:
        file.attrs.modify("seed", [seed])
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"seed": seed, "settings": {**summary["settings"], "seed": seed}}
    del summary["sha256"]
    sealed_summary = sealed(summary, folder, list(summary.pop("files")))
    (folder / "summary.json").write_text(json.dumps(sealed_summary, indent=2))
    _, stamps = read_sealed(folder / "summary.json", {})
    write_status(folder, "finished", stamps=stamps)


def combine_all(folder: Path) -> None:
    combine(folder)


def bare_read(folder: Path) -> None:
    for point in folder.glob("*/summary.json"):
        json.loads(point.read_text())
        (point.parent / ".hydra" / "config.yaml").read_text()
        with h5py.File(point.parent / "responses.nc") as file:
            file["sum_of_squares"][...]
        for name in UNIT_TABLES:
            pl.read_parquet(point.parent / name)


SUBJECTS: dict[str, Callable[[Path], None]] = {"bare read": bare_read, "combine": combine_all}


def report(subject: Callable[[Path], None], folder: Path) -> None:
    start = time.perf_counter()
    subject(folder)
    seconds = time.perf_counter() - start
    figures = {"seconds": seconds, "cpu": time.process_time(), "bytes": peak_bytes()}
    sys.stdout.write(json.dumps(figures))


def in_own_process(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def print_table(figures: dict[str, dict[str, float]], points: int) -> None:
    table = Table(title=f"combining {points:,} finished points of pocket")
    table.add_column("")
    for heading in (
        "seconds", "of the limit", "of bare read", "CPU s", "peak MiB", "of the limit",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    bare = figures["bare read"]["seconds"]
    for name, figure in figures.items():
        table.add_row(
            name,
            f"{figure['seconds']:.1f}",
            f"{figure['seconds'] / (SECONDS_A_POINT * points):.2f}",
            f"{figure['seconds'] / bare:.2f}",
            f"{figure['cpu']:.1f}",
            f"{figure['bytes'] / 2**20:.0f}",
            f"{figure['bytes'] / MAX_BYTES:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
