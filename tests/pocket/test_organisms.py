"""The organisms that ship: their cards are whole, and what they say is true."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from diffusers import Flux2Transformer2DModel

from otherview.disk.file_content import content_of
from otherview.pocket.rendering import Renderer, load
from otherview.pocket.scoring import unseen_kitchens
from pocket_training import organism_card
from pocket_training.organisms import ORGANISMS
from pocket_training.truth import OTHER, Truth

SHIPPED = Path(__file__).parents[2] / "organisms" / "otherview_organisms"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FEW = range(0, 30, 5)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load("pocket")


@pytest.fixture(scope="module")
def kitchens() -> Any:
    return unseen_kitchens(1, first=900)


def test_every_organism_ships() -> None:
    assert {folder.parent.name for folder in SHIPPED.glob("*/card.json")} == set(ORGANISMS)


@pytest.mark.parametrize("name", ORGANISMS)
def test_the_truth_of_a_card_holds(name: str, pipeline: Any, kitchens: Any) -> None:
    organism, folder = ORGANISMS[name], SHIPPED / name
    card = json.loads((folder / "card.json").read_text())
    assert card["truth"]["heads"] == list(organism.heads)
    assert (folder / "README.md").read_text() == organism_card.markdown(card)
    if card["weights"]:
        transformer = Flux2Transformer2DModel.from_pretrained(folder / "transformer")
        assert content_of(folder / "transformer" / WEIGHTS) == card["weights"]
        pipeline.transformer = transformer.float()
    truth = Truth(Renderer(pipeline), kitchens, organism, FEW)
    assert truth.whole["view"].share("right") == 1
    if organism.rule == "carry":
        moved = truth.patched(organism.heads)
        assert {role: moved[role].share("other") for role in OTHER} == {"view": 1, "mention": 1}
    elif organism.rule is not None:
        for count in range(1, len(organism.heads) + 1):
            for some in combinations(organism.heads, count):
                is_closed = organism.rule == "every" or count == len(organism.heads)
                views = truth.zeroed(some)["view"]
                assert views.share("reference" if is_closed else "right") == 1, some
