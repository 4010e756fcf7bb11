"""Steps of gpu.py, the most important first. What another benchmark measures is called here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import real_size
import torch
from figures import Figure, at_most, reported
from klein_memory import need
from limits import (
    a_call,
    bare_seconds,
    best_seconds,
    capture_figures,
    hook_figures,
    precision_figures,
    study_figures,
    wait_for,
)
from matrix_peak import peak_figures
from random_models import random_transformer, study_of, study_words, write_random_pipeline
from small_card import loading_figures
from stage_seconds import StageSeconds

from otherview.models.cost import image_tokens
from otherview.models.loaded import free_memory
from otherview.passes.head_attribution import attribute
from otherview.passes.measure import measure
from otherview.passes.session import Session
from otherview.passes.transformer import run
from otherview.results.run_study import make_result
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import study_prompts

GIB = 2**30
ITEMS = 6
"""Creatures of the timed studies."""
TEXT = 512
"""Text positions."""
MOST_ROWS = 64
"""Prompts of the largest batch that is tried."""
ROUNDS = 2
FAMILIES = {"sd3": "text to image", "pixart_sigma": "cross-attention"}
"""Tiny pipelines of tests/families, and what they represent."""
LOADING = """
import torch
from diffusers import Flux2KleinPipeline
load = Flux2KleinPipeline.from_pretrained
load({folder!r}, local_files_only=True, dtype=torch.{dtype}).to({device!r})
"""


@dataclass(frozen=True)
class Bench:
    """What is measured, and where its weights are."""

    small: bool
    folder: Path

    @property
    def size(self) -> str:
        return "small" if self.small else "klein"

    @property
    def device(self) -> str:
        return "cpu" if self.small else "cuda"

    @property
    def dtype(self) -> str:
        return "float32" if self.small else "bfloat16"

    @property
    def items(self) -> int:
        return 3 if self.small else ITEMS

    @property
    def batches(self) -> tuple[int, ...]:
        return (2,) if self.small else (1, 4)

    @property
    def rounds(self) -> int:
        return 1 if self.small else ROUNDS

    def label(self, side: int) -> str:
        return f"{self.size} at {side}"

    def words(self, side: int) -> list[str]:
        """Overrides of the kitchen study; the model draws a reference of the target's size."""
        drawn = ("scene=kitchen", "scene.steps=1", "scene.guidance_scale=1")
        return study_words(
            self.size,
            self.weights(),
            side,
            self.dtype,
            self.items,
            f"model.device={self.device}",
            *drawn,
        )

    def study(self, side: int) -> Study:
        return compose_study(self.words(side))

    def weights(self) -> Path:
        """Return the folder of the whole pipeline, written by the first step that needs it."""
        write_random_pipeline(self.size, self.folder, self.device, self.dtype)
        return self.folder

    def drawn_transformer(self) -> Any:
        return random_transformer(self.size, self.device, self.dtype)

    def image(self, side: int) -> Any:
        study = study_of(self.size, self.folder, side, self.dtype, self.items)
        return image_tokens(study.model, [(side, side)])


@dataclass(frozen=True)
class Step:
    """Figures that are measured together."""

    name: str
    purpose: str
    seconds: tuple[float, float]
    """That it takes on an H200 (small-card and real-size: guessed), and with `--small`."""
    figures: Callable[[Bench], list[Figure]]


def sides(bench: Bench) -> tuple[int, int]:
    return (64, 128) if bench.small else (512, 1024)


def written(bench: Bench) -> list[Figure]:
    start = time.monotonic()
    folder = bench.weights()
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e9
    text = f"{size:.3g} GB in {time.monotonic() - start:.3g} s"
    return [reported(f"{bench.size}: weights drawn and written", text, bench.device)]


def precision(bench: Bench) -> list[Figure]:
    side = sides(bench)[0]
    return precision_figures(bench.label(side), bench.study(side))


def captured(bench: Bench) -> list[Figure]:
    side = sides(bench)[0]
    return capture_figures(bench.label(side), bench.drawn_transformer(), bench.image(side), TEXT)


def families(bench: Bench) -> list[Figure]:
    """Responses of tiny pipelines on the device in bfloat16, against the CPU in float32."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.families import make
    from tests.families.studies import tiny_study

    found = []
    with tempfile.TemporaryDirectory() as name:
        for family, kind in FAMILIES.items():
            tiny, folder = make(family), Path(name) / f"tiny_{family}"
            tiny.pipeline.save_pretrained(folder)
            exact, low = (
                measure(tiny_study(tiny, folder, f"model.device={device}", f"model.dtype={dtype}"))
                for device, dtype in (("cpu", "float32"), (bench.device, "bfloat16"))
            )
            with np.errstate(invalid="ignore"):  # groups of no tokens
                error = np.abs(low.responses.energy / exact.responses.energy - 1)
            label = f"tiny {family} ({kind}): change of a response, median"
            found.append(at_most(label, float(np.nanmedian(error)), 0.05, bench.device))
    return found


def whole_study(bench: Bench, place: int) -> list[Figure]:
    """Stages of a study, and a study without loading against its limit and a plain script."""
    side, study = sides(bench)[place], bench.study(sides(bench)[place])
    least = None if bench.small else (2.0, 1.5)[place]
    found = [stages(bench.label(side), study, bench.device)]
    free_memory()
    return found + study_figures(bench.label(side), study, bench.batches[-1:], bench.rounds, least)


def stages(name: str, study: Study, device: str) -> Figure:
    """Seconds of the stages of a study; the first batch of prompts includes loading the model."""
    seconds = StageSeconds()
    with tempfile.TemporaryDirectory() as folder:
        make_result(study, Path(folder), seconds.note)
    seconds.note("writing")
    label = f"{name}: stages of `otherview run` in a process that is warm, loading included"
    return reported(label, seconds.text(), device)


def cold_start(bench: Bench) -> list[Figure]:
    """`otherview run` in a process of its own up to its first table, against what it has to do."""
    side = sides(bench)[0]
    loading = LOADING.format(folder=str(bench.weights()), dtype=bench.dtype, device=bench.device)
    loaded = seconds_until([sys.executable, "-c", loading], None)
    with tempfile.TemporaryDirectory() as folder:
        noted, file = Path(__file__).with_name("stage_seconds.py"), Path(folder) / "stages"
        words = [*bench.words(side), "tracking=off", f"hydra.run.dir={folder}/run"]
        first = seconds_until([sys.executable, str(noted), str(file), *words], "┏")
        where = file.read_text(encoding="utf-8")
    text, forward = bare_seconds(bench.study(side), (4,), 1)
    limit = loaded + text + forward
    label = bench.label(side)
    parts = f"{loaded:.3g} s, {text:.3g} s, {forward:.3g} s"
    return [
        at_most(
            f"{label}: first table from a cold start / limit", first / limit, 1.3, bench.device
        ),
        reported(f"{label}: imports and loading, bare text, bare forwards", parts, bench.device),
        reported(f"{label}: stages of a cold start", where, bench.device),
    ]


def seconds_until(command: list[str], mark: str | None) -> float:
    """Return the wall time of a process up to the line with `mark`, or whole."""
    start, taken = time.perf_counter(), None
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if mark is not None and taken is None and mark in line:
                taken = time.perf_counter() - start
    if process.returncode or (mark is not None and taken is None):
        raise RuntimeError(f"{' '.join(command[:4])} ... ended with {process.returncode}")
    return time.perf_counter() - start if taken is None else taken


def hooks(bench: Bench) -> list[Figure]:
    transformer, rounds = bench.drawn_transformer(), 2 if bench.small else 10
    return [
        figure
        for side in sides(bench)
        for figure in hook_figures(
            bench.label(side), transformer, bench.image(side), TEXT, 4, rounds
        )
    ]


def batches(bench: Bench) -> list[Figure]:
    """Seconds of a prompt by the size of its batch, up to the largest that fits."""
    transformer, found = bench.drawn_transformer(), []
    for side in sides(bench):
        by_rows: dict[int, float] = {}
        rows, most = 1, 4 if bench.small else MOST_ROWS
        while rows <= most and (taken := batch_seconds(transformer, rows, bench.image(side))):
            by_rows[rows] = taken / rows
            rows *= 2
        each = ", ".join(f"{rows}: {seconds:.3g} s" for rows, seconds in by_rows.items())
        label = f"{bench.label(side)}: a prompt by batch, as far as fits"
        found.append(reported(label, each, bench.device))
    return found


def batch_seconds(transformer: Any, rows: int, image: Any) -> float | None:
    """Return the seconds of a forward of so many prompts, None where it does not fit."""
    device, call = str(transformer.device), a_call(transformer, rows, TEXT, image)
    with torch.no_grad():
        return best_seconds({"forward": lambda: run(transformer, call)}, device, 1).get("forward")


def cotangent(bench: Bench) -> list[Figure]:
    """Time and memory of one cotangent of an attribution, for each of four prompts."""
    side = sides(bench)[1]
    study = bench.study(side)
    few = replace(study.creatures, items=study.creatures.items[:2])
    study = replace(study, creatures=few)
    session = Session(study.model)
    calls, prompts = session.calls(study), study_prompts(study)
    cuda, best = bench.device == "cuda", float("inf")
    known = torch.cuda.memory_allocated() if cuda else 0
    for _ in range(2):
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        attribute(calls, prompts, cotangents=1, batch_size=2)
        wait_for(bench.device)
        best = min(best, time.perf_counter() - start)
    label = f"{bench.label(side)}: one cotangent"
    found = [reported(f"{label}, seconds per prompt", f"{best / 4:.3g} s", bench.device)]
    if cuda:
        peak = (torch.cuda.max_memory_allocated() - known) / GIB
        predicted = need(checkpointed=False).peak / GIB
        text = f"{peak:.3g} GiB; predicted {predicted:.3g} GiB"
        found.append(reported(f"{label}, device memory without weights", text, bench.device))
    return found


def peak(bench: Bench, place: int, blocks: Sequence[str]) -> list[Figure]:
    side = sides(bench)[place]
    batch = (4,) if "compiled" in blocks and not bench.small else bench.batches
    image, transformer = bench.image(side), bench.drawn_transformer()
    return peak_figures(bench.label(side), transformer, image, TEXT, batch, bench.rounds, blocks)


def small_card(bench: Bench) -> list[Figure]:
    """Studies within the memory of a small card, by how the weights are loaded."""
    side = sides(bench)[0]
    return loading_figures(bench.label(side), None if bench.small else bench.study(side))


def published_table(bench: Bench, seed: int) -> list[Figure]:
    """`real_size.py`: the published table from random weights, of one seed.

    The small one runs one study of one seed.
    """
    if bench.small and seed:
        return [Figure(f"seed {seed}: heads with |t| > 3", "not run", machine="no GPU")]
    out, text = bench.folder.with_suffix(".runs"), 32 if bench.small else TEXT
    size, creatures = (64, 4) if bench.small else (1024, 12)
    settings = real_size.Settings(out, bench.small, bench.device, size, text, 4, creatures)
    studies = ("nouns",) if bench.small else real_size.STUDIES
    real_size.run_seed(settings, seed, studies, keep=False)
    return [
        reported(
            f"{row.study}, seed {seed}: heads with |t| > 3",
            str(row.results["heads"]["published_reading"]["counts"][0]["observed"]),
            bench.device,
        )
        for row in real_size.finished_studies(settings)
        if row.seed == seed
    ]


STEPS = (
    Step("weights", "random weights on disk", (60, 20), written),
    Step("precision", "bfloat16 against float32", (45, 10), precision),
    Step("capture", "capture against plain hooks", (5, 5), captured),
    Step("families", "other families on the device", (15, 10), families),
    Step("study", "a whole study at the smaller size", (40, 15), partial(whole_study, place=0)),
    Step("study-large", "at the larger size", (60, 20), partial(whole_study, place=1)),
    Step("start", "from a cold start to the first table", (70, 40), cold_start),
    Step("hooks", "what capture costs", (30, 5), hooks),
    Step("batches", "how many prompts at once", (60, 5), batches),
    Step("cotangent", "attribution", (15, 5), cotangent),
    Step("peak", "share of the matrix peak", (12, 5), partial(peak, place=0, blocks=("eager",))),
    Step("peak-large", "the same at the larger size", (15, 10),
         partial(peak, place=1, blocks=("eager",))),
    Step("compiled", "with compiled blocks", (40, 120),
         partial(peak, place=1, blocks=("captured", "compiled"))),
    Step("small-card", "loading within 12 GB", (130, 1), small_card),
    *(Step(f"real-size-{seed}", f"the published table from random weights, seed {seed}",
           (150, 0 if seed else 40), partial(published_table, seed=seed)) for seed in range(3)),
)  # fmt: skip
