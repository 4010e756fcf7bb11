"""FLUX.2 Klein 4B with random weights on a GPU: right, fast, and within memory.

    python benchmarks/gpu.py --minutes 9 --json gpu.json
    python benchmarks/gpu.py --small --minutes 2 --json small.json   # tries this program on a CPU

Transformer, text encoder and VAE have their real configs; speed needs no trained weights. The most
important figures come first. Each step is printed and written when it is done, none is started that
would not end in time, and the same command continues where the last one stopped. A step that fails
costs its own figures and is tried again by the next call. Needs no network, a GPU of 80 GB and
16 GB of disk for the weights, which are kept next to the file of figures until all steps are done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from figures import Figure, environment, machine, print_figures, quiet
from gpu_steps import STEPS, Bench, Step

from otherview.disk.atomic import write_json
from otherview.models.loaded import free_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9, help="time that it may take (9)")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file for the figures")
    parser.add_argument("--only", help="steps, with commas between; default: all")
    parser.add_argument("--small", action="store_true", help="a small config, on the CPU")
    given = parser.parse_args()
    if not given.small and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is here; --small tries the program on the CPU")
    os.environ |= environment()  # of every process that a step starts
    quiet()
    bench = Bench(given.small, given.json.with_suffix(".weights"))
    steps = chosen(given.only)
    kept = kept_figures(given.json, bench)
    try:
        left = run_steps(steps, bench, kept, given.json, given.minutes * 60)
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; the same command continues") from None
    if left:
        raise SystemExit(f"not run: {', '.join(left)}; the same command continues")
    shutil.rmtree(bench.folder, ignore_errors=True)


def chosen(only: str | None) -> Sequence[Step]:
    """Return the steps of these names, with commas between, in the order of STEPS."""
    names = [step.name for step in STEPS]
    wanted = names if only is None else only.split(",")
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise SystemExit(f"no step is called {unknown[0]}; there are: {', '.join(names)}")
    return [step for step in STEPS if step.name in wanted]


def kept_figures(file: Path, bench: Bench) -> dict[str, Any]:
    """Return the content of `file`, which an earlier call wrote, or that of a new one.

    Raises SystemExit if the figures are of another machine, size or version.
    """
    here = {
        "machine": machine(bench.device),
        "size": bench.size,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
    }
    if not file.exists():
        return {**here, "steps": {}, "failed": {}}
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    differs = [name for name, value in here.items() if kept.get(name) != value]
    if differs:
        raise SystemExit(f"{file} has figures of another {differs[0]}: name a new file")
    return kept


def run_steps(
    steps: Sequence[Step], bench: Bench, kept: dict[str, Any], file: Path, seconds: float
) -> list[str]:
    """Run the steps that `kept` lacks and that end within `seconds`; return the names of others.

    What a step takes is expected from `Step.seconds`, times how much longer earlier ones took; the
    first of a call starts also where that is more than `seconds`, since it would never run. A step
    that failed is among the others; `kept` says why.
    """
    end, left, ran = time.monotonic() + seconds, [], False
    for step in steps:
        done = kept["steps"].get(step.name)
        if done is not None:
            print_step(step, [Figure(**figure) for figure in done["figures"]])
            continue
        start = time.monotonic()
        first = not ran and step.seconds[bench.small] <= seconds
        if start + expected(step, bench, kept) > end and not first:
            left.append(step.name)
            continue
        ran = True
        try:
            figures = step.figures(bench)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            reason = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            kept["failed"][step.name] = reason
            write_json(file, kept)
            print_step(step, [Figure(step.name, reason, machine=machine(bench.device))])
            left.append(step.name)
            continue
        finally:
            free_memory()
        taken = time.monotonic() - start
        kept["failed"].pop(step.name, None)
        kept["steps"][step.name] = {
            "seconds": taken, "expected": step.seconds[bench.small],
            "figures": [asdict(figure) for figure in figures],
        }  # fmt: skip
        write_json(file, kept)
        print_step(step, figures)
    return left


def expected(step: Step, bench: Bench, kept: dict[str, Any]) -> float:
    """Return the seconds that a step will take, as far as is known."""
    done = kept["steps"].values()
    taken, wanted = (sum(each[name] for each in done) for name in ("seconds", "expected"))
    slower: float = taken / wanted if done else 1.0
    return step.seconds[bench.small] * max(1.0, slower)


def print_step(step: Step, figures: Sequence[Figure]) -> None:
    print_figures(f"{step.name}: {step.purpose}", figures)


if __name__ == "__main__":
    main()
