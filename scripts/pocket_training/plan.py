"""What a training run makes, how long it takes over it, and how each stage is taught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pocket_training.learning import Schedule
from pocket_training.planting import Planting

GATE = "single.1.2"


@dataclass(frozen=True)
class Plan:
    """What a run makes and how long it takes over it."""

    output: Path
    device: torch.device
    kitchens: int
    decoder_steps: int
    steps: int
    planting_steps: int
    settling_steps: int
    cleaning_steps: int
    mention_only_steps: int
    unplanted_steps: int
    batch: int
    seed: int
    every: int
    threads: int
    """CPU threads of each of the two processes."""


def schedules(plan: Plan) -> dict[str, Schedule]:
    """How each transformer is taught.

    The planted one goes on from the taught one and the settled one from the planted one; the rate
    falls to nothing at its end. The settled one plants less, to see better. The cleaned one plants
    once more: views must hang on the gate, mentions must not, and nothing on the spares.
    The unplanted one is apart: heads are dropped at random, so that the model can do without any
    few, and what a set of heads does beyond its size shows.
    """
    planted = Schedule(
        plan.planting_steps,
        plan.batch,
        plan.seed + 100,
        matrix_rate=0.016,
        other_rate=1.2e-3,
        rates=((0.0, 1.0), (1.0, 0.7)),
        lengths=((28, 0.85), (64, 0.06), (160, 0.05), (512, 0.04)),
        planting=Planting((GATE,), "every", zero=0.2, interchange=0.25),
    )
    return {
        "taught": Schedule(plan.steps, plan.batch, plan.seed, rates=((0.8, 1.0), (1.0, 0.8))),
        "planted": planted,
        "settled": replace(
            planted,
            steps=plan.settling_steps,
            seed=plan.seed + 150,
            matrix_rate=0.011,
            other_rate=8e-4,
            rates=((0.0, 1.0), (1.0, 0.0)),
            scene_share=0.12,
            kinds=(0.68, 0.28, 0.04),
            full_noise_share=0.75,
            planting=Planting((GATE,), "every", zero=0.08, interchange=0.12),
            spare_share=0.1,
        ),
        "cleaned": replace(
            planted,
            steps=plan.cleaning_steps,
            seed=plan.seed + 175,
            matrix_rate=0.006,
            other_rate=5e-4,
            rates=((0.0, 1.0), (1.0, 0.0)),
            scene_share=0.1,
            full_noise_share=0.75,
            spare_share=0.3,
        ),
        "unplanted": Schedule(
            plan.unplanted_steps,
            plan.batch,
            plan.seed + 250,
            rates=((0.5, 1.0), (1.0, 0.0)),
            head_dropout=0.25,
        ),
        "mention_only": Schedule(
            plan.mention_only_steps,
            plan.batch,
            plan.seed + 200,
            rates=((0.4, 1.0), (1.0, 0.0)),
            merge_roles=True,
        ),
    }


def command(plan: Plan) -> str:
    """The command that makes these weights again, without the machine's paths."""
    numbers = ["seed", "kitchens", "batch", "decoder_steps", "steps", "planting_steps"]
    numbers += ["settling_steps", "cleaning_steps", "mention_only_steps"]
    options = (f"--{name.replace('_', '-')} {getattr(plan, name)}" for name in numbers)
    return " ".join(("python scripts/train_pocket.py OUTPUT", *options))
