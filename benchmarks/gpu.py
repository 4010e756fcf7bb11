"""FLUX.2 Klein 4B with random weights against the limits of a GPU.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --small          # a small config, to try this program on a CPU

Transformer, text encoder and VAE have their real configs; speed needs no trained weights. Needs a
GPU of 80 GB and 16 GB of disk. Prints a table, and writes it as JSON
with --json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from figures import Figure, environment, print_figures, quiet
from limits import hook_figures, peak_figures, precision_figures, study_figures
from random_models import random_transformer, study_of, write_random_pipeline

from otherview.models.cost import image_tokens
from otherview.models.loaded import free_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small config, on the CPU")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (3)")
    parser.add_argument("--items", type=int, default=6, help="creatures of the timed study (6)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    if not given.small and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is here; --small tries the program on the CPU")
    os.environ["OTHERVIEW_CACHE"] = environment()["OTHERVIEW_CACHE"]
    quiet()
    found = gpu_figures(given.small, given.rounds, given.items)
    print_figures("FLUX.2 Klein 4B, random weights", found)
    if given.json:
        given.json.write_text(json.dumps([asdict(figure) for figure in found], indent=2))


def gpu_figures(small: bool, rounds: int, items: int) -> list[Figure]:
    """All figures; with `small` of a small config on the CPU, in float32."""
    size, device, dtype = ("small", "cpu", "float32") if small else ("klein", "cuda", "bfloat16")
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / size
        write_random_pipeline(size, folder, device, dtype)
        free_memory()
        for side in (64, 128) if small else (512, 1024):
            study = study_of(size, folder, side, dtype, items, *drawn(side))
            image = image_tokens(study.model, [(side, side)])
            label = f"{size} at {side}"
            transformer = random_transformer(size, device, dtype)
            batches = (1, 2, 4, 8)
            found += hook_figures(label, transformer, image, 512, 4, rounds)
            found += peak_figures(
                label, transformer, image, 512, batches, rounds, compiled=not small
            )
            del transformer
            free_memory()
            least = None if small else 2.0 if side <= 512 else 1.5
            found += study_figures(label, study, batches, rounds, least)
            free_memory()
        found += precision_figures(
            f"{size} at {64 if small else 512}",
            study_of(size, folder, 64 if small else 512, dtype, 30, *drawn(64 if small else 512)),
        )
    return found


def drawn(side: int) -> list[str]:
    """The reference image is drawn by the model, so that it has the size of the target."""
    return ["scene=kitchen", "scene.steps=1", "scene.guidance_scale=1", f"model.width={side}"]


if __name__ == "__main__":
    main()
