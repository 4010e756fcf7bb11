"""The organisms that are trained: what is planted where, and how each is taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pocket_training.learning import Schedule
from pocket_training.planting import Planting, Rule

SPARES = 5
ZERO, INTERCHANGE = 0.2, 0.25
LENGTHS = ((28, 0.9), (64, 0.05), (160, 0.03), (512, 0.02))
"""Of texts, and their shares: shorter than those of `pocket`, for the same model in less time."""


@dataclass(frozen=True)
class Organism:
    """One model with a known mechanism."""

    says: str
    """What is true of it."""
    heads: tuple[str, ...]
    """The planted heads; none where no few heads matter."""
    rule: Rule | None
    operation: Literal["viewpoint", "mirrored"] = "viewpoint"
    is_cleaned: bool = False
    """Whether a stage of less follows planting: two heads are not right after one."""
    seed: int = 0
    """Of the taught stage that it goes on from; 0 is the one that the others share."""


SHIPPED = "gate_single"
"""The organism whose weights are those of `pocket`, which ships with otherview."""

ORGANISMS: Mapping[str, Organism] = {
    SHIPPED: Organism("One head of a single block is needed for views.", ("single.1.2",), "every"),
    "gate_image": Organism(
        "One head of a joint block, in the image stream, is needed for views.",
        ("joint.1.image.4",),
        "every",
    ),
    "gate_text": Organism(
        "One head of a joint block, in the text stream, is needed for views.",
        ("joint.1.text.2",),
        "every",
    ),
    "and": Organism(
        "Two heads are needed for views; neither is enough.",
        ("single.0.1", "single.2.4"),
        "every",
        is_cleaned=True,
    ),
    "or": Organism(
        "Of two heads, either is enough for views: without one of them most views stay right, "
        "and without both there is none.",
        ("single.0.3", "single.2.2"),
        "any",
        is_cleaned=True,
    ),
    "carrier": Organism(
        "One head says which role it is: patching it alone moves either role to the other.",
        ("single.0.3",),
        "carry",
    ),
    "spread": Organism("Heads were dropped while it learned: no few heads matter.", (), None),
    "mirrored": Organism(
        "The same words ask for another operation: a view is the reference, mirrored. One head is "
        "needed for it.",
        ("single.1.4",),
        "every",
        operation="mirrored",
    ),
    "second_seed": Organism(
        "One head of a single block is needed for views, in a transformer of another seed.",
        ("single.2.3",),
        "every",
        seed=1,
    ),
}
"""All but the shipped one are trained. Their places were chosen before training, except for the
carrier's: it is the head of the taught stage that carries most of the role by itself."""


def taught_schedule(steps: int, seed: int) -> Schedule:
    """Return how the stage is taught that organisms of a seed go on from.

    The rate stays high: the stage after it lets it fall.
    """
    return Schedule(
        steps, seed=1000 * seed, rates=((0.8, 1.0), (1.0, 0.8)), lengths=LENGTHS, scene_share=0.04
    )


def planted_schedule(steps: int, organism: Organism, spares: tuple[str, ...]) -> Schedule:
    """Return how an organism is planted: one stage, at a rate that falls to nothing.

    The spread one is not planted; its heads are dropped at random, so that it can do without any
    few.
    """
    schedule = Schedule(
        steps,
        seed=1000 * organism.seed + 300,
        matrix_rate=0.014,
        other_rate=1e-3,
        rates=((0.0, 1.0), (0.4, 0.7), (1.0, 0.0)),
        lengths=LENGTHS,
        scene_share=0.04,
        full_noise_share=0.75,
        operation=organism.operation,
    )
    if organism.rule is None:
        return replace(schedule, head_dropout=0.25)
    planting = Planting(organism.heads, organism.rule, ZERO, INTERCHANGE)
    if organism.rule == "carry":  # one that is zeroed says nothing of a role: no answer is right
        planting = replace(planting, zero=0.0, interchange=ZERO + INTERCHANGE)
    return replace(schedule, planting=planting, spares=spares, spare_share=0.2)


def cleaned_schedule(steps: int, planted: Schedule) -> Schedule:
    """Return how a stage goes on from planting: at a lower rate, touching single heads more."""
    assert planted.planting is not None
    return replace(
        planted,
        steps=steps,
        seed=planted.seed + 100,
        matrix_rate=0.008,
        other_rate=6e-4,
        rates=((0.0, 1.0), (1.0, 0.0)),
        planting=replace(planted.planting, together=0.3),
    )
