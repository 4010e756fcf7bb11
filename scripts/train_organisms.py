"""Make the organisms, models with known mechanisms, from nothing.

Stages: the pictures of many kitchens; a transformer taught for each seed; and each organism, which
goes on from it, with a card of what is true of it. Every stage leaves a file in the output folder;
a run that was interrupted goes on where it stopped. VAE, text encoder and tokenizer are those of
the pocket model that ships with otherview.
"""

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from otherview.disk.atomic import write_json
from otherview.disk.file_content import content_of
from otherview.pocket.rendering import Renderer, load
from otherview.pocket.scoring import unseen_kitchens
from pocket_training import organism_card
from pocket_training.decoys import head_contrasts, kept_spares
from pocket_training.organisms import (
    ORGANISMS,
    SHIPPED,
    SPARES,
    Organism,
    cleaned_schedule,
    planted_schedule,
    taught_schedule,
)
from pocket_training.planting import head_addresses
from pocket_training.stages import Materials, Tell, make_materials, make_transformer
from pocket_training.truth import Truth, check_truth, idle_decoy, single_losses

KITCHENS, LOSS_KITCHENS = 3, 2
"""Unseen kitchens for the checks, and for the loss of every single head."""
WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Plan:
    """What a run makes, and how long it takes over it."""

    output: Path
    device: str
    kitchens: int
    taught_steps: int
    planted_steps: int
    cleaned_steps: int
    every: int


def log_to(plan: Plan, name: str) -> Tell:
    """Return what writes the lines of a stage to the console and to its log.

    It ends a process whose parent is gone: the next run would write the same files.
    """

    def tell(_: int, line: str) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise SystemExit(f"{name}: the run that began this ended")
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
    tell, materials, seed = log_to(plan, name), materials_of(plan), 1000 * organism.seed
    planted = make_transformer(materials, name, schedule, seed, taught, tell)
    if not organism.is_cleaned:
        return planted
    cleaned = cleaned_schedule(plan.cleaned_steps, schedule)
    return make_transformer(materials, f"{name}_cleaned", cleaned, seed, planted, tell)


def spares_file(plan: Plan, name: str) -> Path:
    return plan.output / f"{name}.spares.json"


def choose_spares(plan: Plan, name: str, taught: Any) -> tuple[str, ...]:
    """Return the heads that planting makes dispensable."""
    whole = load("pocket")
    whole.transformer = taught
    return kept_spares(spares_file(plan, name), whole, SPARES, ORGANISMS[name].heads)


def assemble(plan: Plan, name: str) -> None:
    """Write an organism's transformer in float16 and its card, measured on what was written."""
    folder = plan.output / "organisms" / name
    organism, card_file = ORGANISMS[name], folder / "card.json"
    whole, weights = load("pocket"), None
    if name != SHIPPED:
        planted = plant(plan, name).to(torch.float16)
        planted.save_pretrained(folder / "transformer", safe_serialization=True)
        whole.transformer = type(planted).from_pretrained(folder / "transformer").float()
        weights = content_of(folder / "transformer" / WEIGHTS)
    if card_file.exists() and json.loads(card_file.read_text())["weights"] == weights:
        return
    tell = log_to(plan, name)
    tell(0, "every head zeroed, on unseen kitchens")
    measured, decoy = measure(Renderer(whole), organism)
    for check in measured["checks"]:
        met = "met" if check["met"] else "MISSED"
        tell(0, f"{check['name']}: {check['value']:g}, {check['goal']}: {met}")
    said = ("says", "heads", "rule", "operation")
    truth = {key: value for key, value in asdict(organism).items() if key in said}
    card = {"name": name, "truth": truth, "decoy": decoy, "weights": weights, "measured": measured}
    if name != SHIPPED:
        card["training"] = {
            "command": "python scripts/train_organisms.py OUTPUT",
            "taught_steps": plan.taught_steps,
            "planted_steps": plan.planted_steps,
            "cleaned_steps": plan.cleaned_steps if organism.is_cleaned else 0,
            "kitchens": plan.kitchens,
            "seed": organism.seed,
            "spares": json.loads(spares_file(plan, name).read_text()) if organism.rule else [],
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(organism_card.markdown(card))
    write_json(card_file, card)


def measure(renderer: Renderer, organism: Organism) -> tuple[dict[str, Any], str | None]:
    """Return what the card says was measured, and the decoy."""
    heads = head_addresses(renderer.pipeline.transformer)
    rooms = unseen_kitchens(KITCHENS)
    losses = single_losses(Truth(renderer, rooms[:LOSS_KITCHENS], organism), heads)
    contrasts = head_contrasts(renderer, rooms[0, 0])
    decoy = idle_decoy(contrasts, losses, organism.heads)
    checks = check_truth(Truth(renderer, rooms, organism), losses)
    measured: dict[str, Any] = {
        "kitchens": KITCHENS,
        "checks": [asdict(check) for check in checks],
        "zeroed": losses,
        "published_t": {head: round(t, 3) for head, t in contrasts.items()},
    }
    if decoy is not None:
        ranked = sorted(heads, key=lambda head: -abs(contrasts[head]))
        measured["decoy"] = {
            "rank": 1 + ranked.index(decoy),
            "heads": len(heads),
            "t": round(contrasts[decoy], 1),
            "loss": max(map(abs, losses[decoy].values())),
        }
    return measured, decoy


def train(plan: Plan, names: Sequence[str], processes: int) -> None:
    """Teach the seeds that the organisms need, and make each as soon as its seed is taught."""
    materials_of(plan)  # once, before processes read it
    seeds = sorted({ORGANISMS[name].seed for name in names if name != SHIPPED})
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, torch.set_num_threads, (1,)) as pool:
        running: dict[Future[Any], int | None] = {
            pool.submit(finish, teach_seed, plan, seed): seed for seed in seeds
        }
        if SHIPPED in names:
            running[pool.submit(assemble, plan, SHIPPED)] = None
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
                taught = running.pop(future)
                after = [
                    name
                    for name in names
                    if name != SHIPPED and taught is not None and ORGANISMS[name].seed == taught
                ]
                running |= {pool.submit(assemble, plan, name): None for name in after}


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
    parser.add_argument("--planted-steps", type=int, default=1500, help="steps of each organism")
    parser.add_argument("--cleaned-steps", type=int, default=900, help="steps after two heads")
    parser.add_argument("--every", type=int, default=200, help="steps between saves")
    parser.add_argument("--processes", type=int, default=2, help="organisms at a time")
    parser.add_argument("--device", help="cpu or cuda; by default a GPU where there is one")
    chosen = vars(parser.parse_args(arguments))
    for name, value in chosen.items():
        if isinstance(value, int) and value < 1:
            parser.error(f"--{name.replace('_', '-')} {chosen[name]} must be at least 1.")
    names, processes = chosen.pop("only") or list(ORGANISMS), chosen.pop("processes")
    chosen["device"] = chosen["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    train(Plan(**chosen), names, processes)


if __name__ == "__main__":
    main()
