"""How time and memory grow with pairs, resolution, batch and heads.

    python benchmarks/scaling.py --plot docs/figures/scaling.png

Every point is a process of its own, so that its peak of resident memory is its own. Pairs are
those of a whole measurement (text encodings, forwards, responses written) on a small random
model at text length 64; resolution, batch and heads those of a forward with capture. Time is that
of the process on one thread, loading and imports left out. An exponent is the slope of the
three largest points, in logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import environment, quiet
from peak_memory import peak_bytes
from random_models import random_transformer, study_of, write_random_pipeline
from rich.console import Console
from rich.progress import track
from rich.table import Table

from otherview.models.calls import random_call
from otherview.models.cost import responses_bytes
from otherview.models.sites import hook_sites
from otherview.passes.capture import capture
from otherview.passes.measure import measure
from otherview.passes.responses import Responses
from otherview.passes.session import Session
from otherview.passes.transformer import run
from otherview.study.compose import compose_study
from otherview.study.prompts import PromptSet, study_prompts

POINTS: dict[str, tuple[int, ...]] = {
    "pairs": (10, 30, 100, 300, 1000, 3000),
    "resolution": (64, 128, 256, 512),
    "batch": (1, 2, 4, 8),
    "heads": (3, 6, 12, 24),
}
TEXT_LENGTH = 64
"""Of the whole measurements; forwards have 512 positions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=10**9, help="largest number of pairs")
    parser.add_argument("--plot", type=Path, help="file for the plot")
    parser.add_argument("--disk", type=int, metavar="PAIRS", help="only: responses of Klein 4B")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        print(json.dumps(time_point(*json.loads(given.point))))
        return
    if given.disk:
        Console().print(f"{disk_bytes(given.disk) / 2**30:.3f} GiB")
        return
    measured = measure_all(given.largest)
    Console().print(scaling_table(measured))
    if given.plot:
        plot(measured, given.plot)


Measured = dict[str, list[dict[str, float]]]


def measure_all(largest: int) -> Measured:
    """Seconds and peak bytes of every point, by what is varied."""
    wanted = [
        (varied, value)
        for varied, values in POINTS.items()
        for value in values
        if varied != "pairs" or value <= largest
    ]
    measured: Measured = {varied: [] for varied in POINTS}
    for varied, value in track(wanted, "points", transient=True):
        measured[varied].append(in_a_process(varied, value))
    return measured


def in_a_process(varied: str, value: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--point", json.dumps([varied, value])],
        env={**os.environ, **environment()},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"value": value, **found}


def time_point(varied: str, value: int) -> dict[str, float]:
    quiet()
    seconds = study_seconds(value) if varied == "pairs" else forward_seconds(varied, value)
    return {"seconds": seconds, "bytes": peak_bytes()}


def study_seconds(pairs: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "small"
        write_random_pipeline("small", folder, "cpu", "float32")
        length = f"model.text_length={TEXT_LENGTH}"
        study = study_of("small", folder, 64, "float32", pairs, length)
        session = Session(study.model)
        _ = session.pipeline  # loading is not timed
        start = time.process_time()
        measured = measure(study, session=session, unfinished=Path(name) / "unfinished")
        measured.responses.labelled().save(Path(name) / "responses.nc", {})
        return time.process_time() - start


def forward_seconds(varied: str, value: int) -> float:
    """Best of three forwards with capture, of the random model with 768 channels."""
    side = value if varied == "resolution" else 128
    rows = value if varied == "batch" else 1
    if varied == "heads":
        transformer = with_heads(value)
    else:
        transformer = random_transformer("middle", "cpu", "float32")
    tokens = (side // 16) ** 2
    sites = hook_sites(transformer.config)
    call = random_call(transformer, (30,) * rows, 512, tokens, tokens)
    best = math.inf
    with torch.no_grad(), capture(transformer, sites) as recorder:
        for _ in range(3):
            start = time.process_time()
            run(transformer, call, recorder)
            recorder.take()
            best = min(best, time.process_time() - start)
    return best


def with_heads(heads: int) -> Any:
    """The random model with 768 channels, with another number of heads of 64 channels."""
    import random_models

    config = {**random_models.SIZES["middle"]["transformer"], "num_attention_heads": heads}
    random_models.SIZES["middle"]["transformer"] = config
    return random_transformer("middle", "cpu", "float32")


def disk_bytes(pairs: int) -> int:
    """Size of `responses.nc` of Klein 4B with random numbers; refuses what the plan does not say.

    Raises SystemExit where the file is more than 1% off what `otherview.models.cost` promises.
    """
    model = compose_study(["+experiment=kitchen"]).model
    sites = tuple(hook_sites(model.architecture))
    items = ",".join(f"creature number {number}" for number in range(pairs))
    kitchen = ["+experiment=kitchen", "published=null", f"creatures.items=[{items}]"]
    prompts: PromptSet = study_prompts(compose_study(kitchen))
    shape = (pairs, len(prompts.conditions))
    slices = sum(site.slices for site in sites)
    draw = np.random.default_rng(0)
    energy = draw.random((*shape, 1, slices, 4), dtype=np.float32)
    first = 0
    for site in sites:  # as a probe leaves it: nothing where a site does not see a group
        for place, group in enumerate(("text", "pad", "target", "reference")):
            if group not in site.token_groups:
                energy[..., first : first + site.slices, place] = np.nan
        first += site.slices
    responses = Responses(
        prompts, sites, energy, np.full((*shape, 4), 30, np.int32), np.zeros((1, pairs))
    )
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "responses.nc"
        responses.labelled().save(file, {})
        size = file.stat().st_size
    promised = responses_bytes(sites, pairs * shape[1])
    if abs(size / promised - 1) > 0.01:
        raise SystemExit(f"{size} bytes on disk, {promised} were promised")
    return size


def exponent(points: list[dict[str, float]], what: str) -> float:
    """Slope of `what` over the three largest points, in logarithms."""
    last = points[-3:]
    values = [math.log(point["value"]) for point in last]
    return float(np.polyfit(values, [math.log(point[what]) for point in last], 1)[0])


def scaling_table(measured: Measured) -> Table:
    """Every point, and the exponents."""
    table = Table(title="time of one process and one thread, peak of resident memory")
    for heading in ("varied", "value", "seconds", "MiB"):
        table.add_column(heading, justify="right")
    for varied, points in measured.items():
        for point in points:
            table.add_row(
                varied, f"{point['value']:,.0f}", f"{point['seconds']:.3f}",
                f"{point['bytes'] / 2**20:,.0f}",
            )  # fmt: skip
        slopes = [f"n^{exponent(points, what):.2f}" for what in ("seconds", "bytes")]
        table.add_row("", "exponent", *slopes, end_section=True)
    return table


def plot(measured: Measured, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(measured), figsize=(11, 4.6), layout="constrained")
    for column, (varied, points) in enumerate(measured.items()):
        for row, (what, unit) in enumerate((("seconds", 1.0), ("bytes", 2.0**20))):
            place = axes[row][column]
            values = [point["value"] for point in points]
            place.loglog(values, [point[what] / unit for point in points], "o-", color="#1d69b4")
            place.set_title(f"$n^{{{exponent(points, what):.2f}}}$", fontsize=10)
            place.set_xticks(values, [f"{value:g}" for value in values], fontsize=7)
            place.minorticks_off()
            heights = [point[what] / unit for point in points]
            ends = [min(heights), max(heights)]
            place.set_yticks(
                ends,
                [f"{height:,.3g}" if height < 100 else f"{height:,.0f}" for height in ends],
                fontsize=7,
            )
            if row:
                place.set_xlabel(varied)
        axes[0][0].set_ylabel("CPU seconds")
        axes[1][0].set_ylabel("peak memory, MiB")
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
