"""What every reading is asked about: organisms, and null models in many seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from otherview.bench.organisms import POCKET_TRANSFORMER, Organism, weights_content
from otherview.models.weights import shipped_or_own
from otherview.study import ROLES, Creatures, Study, Templates
from otherview.study.compose import compose_study

NULLS = {
    "random_weights": "random weights and random vectors of words, drawn again for each seed",
    "mention_only": "the same words, and no operation to ask for; other noise and other creatures "
    "for each seed",
    "labels_dealt": "the planted gate, and wordings that are dealt to the roles at random, item "
    "by item: nothing that is said of the roles is true",
}
"""Models or studies in which every call is false, by name."""
SHIPPED = "otherview:pocket/checkpoints"
OF_NULLS = {
    "random_weights": "pocket",
    "mention_only": "pocket_mention_only",
    "labels_dealt": "pocket",
}
"""The shipped checkpoint that a null begins with; of random weights, its architecture."""
TEXT_LENGTH = 32
BATCH = 24
TEMPLATES = ("nouns", "viewpoint")
SEED = 22
"""Of the drawn creatures and wordings, with the number of a case."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    creatures: int = 12
    """Of the thirty: evenly spread for organisms, drawn for nulls."""
    nouns: int = 8
    """Per role."""
    seeds: int = 20
    """Of each null."""


QUICK = Size(creatures=8, nouns=4, seeds=3)
MIN_SIZE = Size(creatures=3, nouns=2, seeds=1)


@dataclass(frozen=True)
class Case:
    """A model and a study."""

    name: str
    """Of the organism or the null."""
    seed: int
    organism: Organism | None
    """None for a null."""
    size: Size

    @property
    def label(self) -> str:
        """Its name in messages and files."""
        return self.name if self.organism else f"{self.name}-{self.seed}"

    @property
    def weights(self) -> Path:
        """The folder of the transformer."""
        if self.organism:
            return self.organism.weights
        return shipped_or_own(SHIPPED) / OF_NULLS[self.name] / "transformer"

    @property
    def draws_weights(self) -> bool:
        """Whether weights are drawn, and only the config is read."""
        return self.name == "random_weights" and self.organism is None

    def content(self) -> list[Any]:
        """Return what decides the model, as plain JSON."""
        return [weights_content(self.weights), self.draws_weights, self.seed]


def all_cases(organisms: Sequence[Organism], size: Size) -> list[Case]:
    """Return the organisms, then each null in all its seeds."""
    found = [Case(organism.name, 0, organism, size) for organism in organisms]
    return found + [Case(name, seed, None, size) for name in NULLS for seed in range(size.seeds)]


@cache
def kitchen(templates: str) -> Study:
    """Return the kitchen study on the pocket model, which every case changes."""
    return compose_study(
        [
            "+experiment=kitchen", "model=pocket", f"templates={templates}", "capture=both",
            "capture.keep=[energy,mean]", "published=null", "model.device=cpu",
            f"model.text_length={TEXT_LENGTH}", f"model.batch_size={BATCH}",
        ]
    )  # fmt: skip


def studies_of(case: Case) -> tuple[Study, Study]:
    """Return the study of a case with several nouns per role, and with the published pair."""
    generator = np.random.default_rng([case.seed, SEED])
    phrases, many = kitchen("nouns").creatures.items, case.size.creatures
    if case.organism:
        chosen = np.linspace(0, len(phrases) - 1, many).round().astype(int)
    else:
        chosen = np.sort(generator.choice(len(phrases), many, replace=False))
    nouns, pair = (asked_of(case, kitchen(each), chosen, generator) for each in TEMPLATES)
    return nouns, pair


def asked_of(
    case: Case, study: Study, chosen: Int[np.ndarray, " items"], generator: np.random.Generator
) -> Study:
    """Return `study` on the model of a case, with its creatures and as many nouns as its size."""
    own = str(case.weights) if case.organism and case.weights != POCKET_TRANSFORMER else None
    loading = replace(study.model.loading, transformer=own)
    first = {role: getattr(study.templates, role)[: case.size.nouns] for role in ROLES}
    templates = replace(study.templates, test=first["test"], control=first["control"])
    items = [study.creatures.items[place] for place in chosen]
    creatures = replace(study.creatures, items=items)
    if case.name == "labels_dealt" and not case.organism:
        creatures, templates = dealt(creatures, templates, generator)
    model = replace(study.model, name=case.label, loading=loading)
    return replace(study, model=model, creatures=creatures, templates=templates, seed=case.seed)


def dealt(
    creatures: Creatures, templates: Templates, generator: np.random.Generator
) -> tuple[Creatures, Templates]:
    """Return items that bring their own sentences, dealt to the roles of each at random."""
    places = [f"{role}_{n}" for role in ROLES for n in range(len(getattr(templates, role)))]
    wordings = [wording for role in ROLES for wording in templates.texts(role)]
    rows = []
    for creature in creatures.items:
        sentences = [wording.format(**{creatures.placeholder: creature}) for wording in wordings]
        order = generator.permutation(len(wordings))
        rows.append(
            {"name": creature} | {p: sentences[n] for p, n in zip(places, order, strict=True)}
        )
    own = {role: [f"{{{p}}}" for p in places if p.startswith(role)] for role in ROLES}
    return (
        replace(creatures, items=rows),
        replace(templates, test=own["test"], control=own["control"], matched=False),
    )
