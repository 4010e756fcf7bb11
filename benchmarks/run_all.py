"""Every figure of speed and memory in one table: figure, goal, measured, machine.

    python benchmarks/run_all.py
    python benchmarks/run_all.py --only start,cache,disk
    python benchmarks/run_all.py --only pocket --rounds 1 --items 4    # a look, in 30 s

What needs a GPU says "not run" where there is none.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
from figures import (
    Figure,
    at_most,
    environment,
    print_figures,
    quiet,
    reported,
)
from gpu_steps import LOADING, STEPS, Bench
from limits import hook_figures, precision_figures, study_figures
from random_models import POCKET, random_transformer, study_of, write_random_pipeline
from scaling import disk_bytes, exponent, measure_all

from otherview.models import hub, weights
from otherview.models.cost import image_tokens
from otherview.models.denoiser_loading import load_image_side
from otherview.models.loaded import free_memory
from otherview.passes.session import Session

GIB = 2**30
WEIGHTS = (
    "import re, torch\n"
    "from pathlib import Path\n"
    "from diffusers import Flux2KleinPipeline, AutoencoderKLFlux2, Flux2Transformer2DModel\n"
    "from otherview.models.denoiser_loading import load_image_side\n"
    "from otherview.study import Model\n"
    "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    "before = peak()\n"
    "model = Model(path={folder!r}, dtype='float32')\n"
    "pipeline = load_image_side(Path({folder!r}), model, 'cpu')\n"
    "total = sum(p.nbytes for m in (pipeline.transformer, pipeline.vae) for p in m.parameters())\n"
    "for p in (*pipeline.transformer.parameters(), *pipeline.vae.parameters()):\n"
    "    p.detach().sum()\n"
    "print((peak() - before) * 1024 / total)\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of whole studies (2)")
    parser.add_argument("--items", type=int, default=30, help="items of the pocket study (30)")
    given = parser.parse_args()
    chosen = given.only.split(",") if given.only else list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise SystemExit(f"no part is called {unknown[0]}; there are: {', '.join(PARTS)}")
    os.environ["OTHERVIEW_CACHE"] = environment()["OTHERVIEW_CACHE"]
    quiet()
    found = []
    parts = PARTS | {"pocket": partial(pocket_figures, items=given.items)}
    for part in chosen:
        found += parts[part](given.rounds)
        free_memory()
    print_figures("otherview at the limit of the hardware", found)


def pocket_figures(rounds: int, items: int = 30) -> list[Figure]:
    """The pocket model on the CPU: the kitchen study, whole with its 30 items."""
    study = study_of("pocket", None, 64, "float32", items, "model.device=cpu")
    model = study.model
    folder = hub.weights_folder(model)
    transformer = load_image_side(folder, model, "cpu").transformer
    image = image_tokens(model, [(64, 64)])
    found = hook_figures("pocket", transformer, image, model.text_positions, 6, items * rounds)
    found += study_figures("pocket", study, (3, 6, 12), rounds, 2.0)
    return found + precision_figures("pocket", study)


def middle_figures(rounds: int) -> list[Figure]:
    """A random model of 768 channels, 4 joint and 8 single blocks, 256 x 256, on the CPU."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "middle"
        write_random_pipeline("middle", folder, "cpu", "float32")
        drawn = ("scene=kitchen", "scene.steps=1", "scene.guidance_scale=1", "model.device=cpu")
        study = study_of("middle", folder, 256, "float32", 2, *drawn)
        image = image_tokens(study.model, [(256, 256)])
        transformer = random_transformer("middle", "cpu", "float32")
        found = hook_figures("middle", transformer, image, 512, 2, 6 * rounds)
        del transformer
        found += study_figures("middle", study, (1, 4), rounds, None)
        found.append(weights_figure(folder))
    return found


def weights_figure(folder: Path) -> Figure:
    done = subprocess.run(
        [sys.executable, "-c", WEIGHTS.format(folder=str(folder))],
        env={**os.environ, **environment()},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    share = float(done.stdout.splitlines()[-1])
    return at_most("middle: resident memory of loaded weights / their size", share, 1.1, "cpu")


def start_figures(rounds: int) -> list[Figure]:
    """From a cold start to the printed result of a study of two pairs, in CPU time."""
    folder = str(weights.shipped_or_own(POCKET))
    loading = [sys.executable, "-c", LOADING.format(folder=folder, dtype="float32", device="cpu")]
    best = {"loading": float("inf"), "first": float("inf")}
    with tempfile.TemporaryDirectory() as name:
        running = [
            sys.executable, "-m", "otherview.run", "+experiment=kitchen", "model=pocket",
            "creatures.items=[a cat,an owl]", "capture=heads", "tracking=off",
            f"hydra.run.dir={name}/run",
        ]  # fmt: skip
        for _ in range(rounds + 1):
            best["loading"] = min(best["loading"], cpu_seconds(loading, None))
            best["first"] = min(best["first"], cpu_seconds(running, "result in"))
    ratio = best["first"] / best["loading"]
    return [
        at_most("pocket: first result from a cold start / loading", ratio, 1.3, "cpu"),
        reported("pocket: CPU seconds of loading alone", f"{best['loading']:.1f} s", "cpu"),
    ]


def cpu_seconds(command: list[str], until: str | None) -> float:
    """CPU time of a process, up to the line that begins with `until`, or whole."""
    with subprocess.Popen(
        command,
        env={**os.environ, **environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        taken = None
        for line in process.stdout:
            if until is not None and line.startswith(until):
                times = psutil.Process(process.pid).cpu_times()
                taken = times.user + times.system
                process.stdout.read()
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode or (until is not None and taken is None):
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime if taken is None else taken


def cache_figures(_rounds: int) -> list[Figure]:
    """Text encodings of a second study of the same prompts, against those of the first."""
    study = study_of("pocket", None, 64, "float32", 30, "model.device=cpu")
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["OTHERVIEW_CACHE"] = name
        for _ in range(2):
            session = Session(study.model)
            start = time.process_time()
            session.encodings(study)
            seconds.append(time.process_time() - start)
        os.environ["OTHERVIEW_CACHE"] = environment()["OTHERVIEW_CACHE"]
        size = sum(file.stat().st_size for file in Path(name).rglob("*.safetensors"))
    return [
        reported(
            "pocket: encoding 60 prompts, first and second study",
            f"{seconds[0]:.2f} s, {seconds[1]:.3f} s",
            "cpu",
        ),
        reported("pocket: 60 encoded prompts on disk", f"{size / 2**20:.1f} MiB", "cpu"),
    ]


def disk_figures(_rounds: int) -> list[Figure]:
    """Responses of Klein 4B on disk, with random numbers; needs 12 GB of memory."""
    size = disk_bytes(3000) / GIB
    return [at_most("Klein 4B: responses of 3,000 pairs on disk", size, 2.0, "cpu", " GiB")]


def scaling_figures(_rounds: int) -> list[Figure]:
    """Exponents of time and memory; scaling.py prints the points."""
    measured = measure_all(1000)
    return [
        reported(
            f"scaling with {varied}",
            f"time n^{exponent(points, 'seconds'):.2f}, memory n^{exponent(points, 'bytes'):.2f}",
            "cpu",
        )
        for varied, points in measured.items()
    ]


GPU_GOALS = {
    "forward with capture / without": "<= 1.01",
    "device memory of capture / an activation": "<= 0.01",
    "host waits that capture adds": "<= 0",
    "whole study / limit": "<= 1.05",
    "plain script / whole study": ">= 2 at 512, >= 1.5 at 1024",
    "share of the bf16 matrix peak": "",
    "change of t, bfloat16 against float32": "",
}


def klein_figures(_rounds: int) -> list[Figure]:
    """Klein 4B on a GPU; without one, what was not run."""
    if torch.cuda.is_available():
        with tempfile.TemporaryDirectory() as name:
            bench = Bench(small=False, folder=Path(name) / "klein")
            return [figure for step in STEPS for figure in step.figures(bench)]
    return [
        Figure(f"klein at 512 and 1024: {name}", "not run", goal, None, "no GPU")
        for name, goal in GPU_GOALS.items()
    ]


PARTS: dict[str, Callable[[int], list[Figure]]] = {
    "pocket": pocket_figures,
    "start": start_figures,
    "cache": cache_figures,
    "middle": middle_figures,
    "disk": disk_figures,
    "scaling": scaling_figures,
    "gpu": klein_figures,
}

if __name__ == "__main__":
    main()
