"""Make the organisms, models with known mechanisms, from nothing.

Stages: the pictures of many kitchens; a transformer taught for each seed; and each organism, which
goes on from it. Every stage leaves a file in the output folder; a run that was interrupted goes on
where it stopped. VAE, text encoder and tokenizer are those of the pocket model that ships with
otherview.
"""

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from otherview.pocket import world
from otherview.pocket.rendering import Renderer, load
from pocket_training.decoys import strongest_heads
from pocket_training.organisms import (
    ORGANISMS,
    SPARES,
    planted_schedule,
    taught_schedule,
)
from pocket_training.stages import Materials, Tell, make_materials, make_transformer


@dataclass(frozen=True)
class Plan:
    """What a run makes, and how long it takes over it."""

    output: Path
    device: str
    kitchens: int
    taught_steps: int
    planted_steps: int
    every: int


def log_to(plan: Plan, name: str) -> Tell:
    """Return what writes the lines of a stage to the console and to its log."""

    def tell(_: int, line: str) -> None:
        if line:
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            with (plan.output / f"{name}.log").open("a") as log:
                log.write(f"{now} {line}\n")
            print(f"{now} {name}: {line}", flush=True)

    return tell


def materials_of(plan: Plan) -> Materials:
    tell = log_to(plan, "kitchens")
    return make_materials(
        plan.output,
        plan.kitchens,
        torch.device(plan.device),
        plan.every,
        lambda drawn: tell(drawn, f"{drawn} of {plan.kitchens} drawn"),
    )


def taught_name(seed: int) -> str:
    return f"taught_{seed}"


def teach_seed(plan: Plan, seed: int) -> Any:
    """Return the taught transformer of a seed."""
    name, schedule = taught_name(seed), taught_schedule(plan.taught_steps, seed)
    return make_transformer(
        materials_of(plan), name, schedule, 1000 * seed, None, log_to(plan, name)
    )


def plant(plan: Plan, name: str) -> Any:
    """Return the transformer of an organism."""
    organism = ORGANISMS[name]
    taught = teach_seed(plan, organism.seed)
    spares = choose_spares(plan, name, taught) if organism.rule else ()
    schedule = planted_schedule(plan.planted_steps, organism, spares)
    tell = log_to(plan, name)
    return make_transformer(materials_of(plan), name, schedule, 1000 * organism.seed, taught, tell)


def choose_spares(plan: Plan, name: str, taught: Any) -> tuple[str, ...]:
    """Return the heads that planting makes dispensable: the strongest of the published probe."""
    stored = plan.output / f"{name}.spares.json"
    if stored.exists():
        return tuple(json.loads(stored.read_text()))
    whole = load("pocket")
    whole.transformer = taught
    reference = world.kitchen_pictures(world.UNSEEN)[0]
    spares = strongest_heads(Renderer(whole), reference, SPARES, ORGANISMS[name].heads)
    stored.write_text(json.dumps(spares) + "\n")
    return spares


def train(plan: Plan, names: Sequence[str], processes: int) -> None:
    """Teach the seeds that the organisms need, and plant each as soon as its seed is taught."""
    materials_of(plan)  # once, before processes read it
    seeds = sorted({ORGANISMS[name].seed for name in names})
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, torch.set_num_threads, (1,)) as pool:
        running: dict[Future[Any], int | None] = {
            pool.submit(finish, teach_seed, plan, seed): seed for seed in seeds
        }
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
                taught = running.pop(future)
                after = [n for n in names if taught is not None and ORGANISMS[n].seed == taught]
                running |= {pool.submit(finish, plant, plan, name): None for name in after}


def finish(stage: Any, *arguments: Any) -> None:
    """Run a stage for what it leaves on disk."""
    stage(*arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the stages")
    parser.add_argument("--only", nargs="+", choices=list(ORGANISMS), metavar="NAME")
    parser.add_argument("--kitchens", type=int, default=3000, help="kitchens to learn from")
    parser.add_argument("--taught-steps", type=int, default=3200, help="steps before planting")
    parser.add_argument("--planted-steps", type=int, default=1800, help="steps of each organism")
    parser.add_argument("--every", type=int, default=200, help="steps between saves")
    parser.add_argument("--processes", type=int, default=2, help="organisms at a time")
    parser.add_argument("--device", help="cpu or cuda; by default a GPU where there is one")
    chosen = vars(parser.parse_args(arguments))
    for name in ("kitchens", "taught_steps", "planted_steps", "every", "processes"):
        if chosen[name] < 1:
            parser.error(f"--{name.replace('_', '-')} {chosen[name]} must be at least 1.")
    names, processes = chosen.pop("only") or list(ORGANISMS), chosen.pop("processes")
    chosen["device"] = chosen["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    train(Plan(**chosen), names, processes)


if __name__ == "__main__":
    main()
