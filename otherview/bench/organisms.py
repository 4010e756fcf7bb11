"""Organisms: models whose planted heads are known, as their folders and cards say."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from otherview.disk.file_content import content_of
from otherview.models.sites import heads, hook_sites
from otherview.models.weights import shipped_or_own
from otherview.study.checks import check_name
from otherview.study.errors import UserError

PACKAGE = "otherview_organisms"
"""The data package of the repository, whose `FOLDER` has a folder for each organism."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
CARD = "card.json"
POCKET_TRANSFORMER = shipped_or_own("otherview:pocket/checkpoints/pocket/transformer")
OPERATIONS = ("viewpoint", "mirrored")


@dataclass(frozen=True)
class Organism:
    """A model, and what is true of it."""

    name: str
    weights: Path
    """Folder of the transformer."""
    planted: tuple[str, ...]
    """Heads that do it; none where no few heads matter."""
    decoy: str | None
    """A head that looks like one of them and does nothing."""
    operation: str
    """What the planted heads do: viewpoint, or another operation that the same words ask for."""
    says: str
    """What is true, in a sentence."""
    checks: int = 0
    """What was measured of it by brute force, as its card says."""
    missed: int = 0
    """How many of these checks do not hold."""

    @property
    def counts(self) -> bool:
        """Whether it is part of the mean: it has planted heads, and they do what is asked about."""
        return bool(self.planted) and self.operation == OPERATIONS[0]


def installed_folder() -> Path:
    """Return the folder of the data package. Raises UserError where it is not installed."""
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        raise UserError(
            "the organisms are not installed: `pip install -e organisms/` in a checkout, or name "
            "their folder with --organisms"
        ) from error
    return Path(package.FOLDER)


def read_organisms(folder: Path) -> list[Organism]:
    """Return the organisms in a folder. Raises UserError for a card that is wrong.

    Those with few planted heads come first, after all of them those that do not count for the mean.
    """
    cards = sorted(folder.glob(f"*/{CARD}"))
    if not cards:
        raise UserError(f"{folder} has no organism: a folder with a {CARD} for each")
    found = [read_organism(card) for card in cards]
    return sorted(found, key=lambda each: (not each.counts, not each.planted, len(each.planted)))


def read_organism(card: Path) -> Organism:
    """Return the organism of a card. Raises UserError for a card that is wrong."""
    name = card.parent.name
    check_name(name, str(card.parent), "organisms")
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        truth = content["truth"]
        planted, decoy = tuple(map(str, truth["heads"])), content["decoy"]
        operation, says = str(truth["operation"]), str(truth["says"])
        checks = [bool(check["met"]) for check in content.get("measured", {}).get("checks", [])]
        stored = content.get("weights")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{card} is no card of an organism: {error!r}") from error
    if operation not in OPERATIONS:
        raise UserError(f"{card}: the operation {operation!r} is none of {', '.join(OPERATIONS)}")
    own = card.parent / "transformer"
    weights = own if own.is_dir() else POCKET_TRANSFORMER
    config = weights / "config.json"
    for file in (config, weights / WEIGHTS):
        if not file.is_file():
            raise UserError(f"the organism {name} has no {file}")
    if stored is not None and content_of(weights / WEIGHTS) != stored:
        raise UserError(f"{weights / WEIGHTS} is not the file that {card} is about")
    try:
        known = {unit.address for unit in heads(hook_sites(json.loads(config.read_text("utf-8"))))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{config} is no config of a transformer: {error!r}") from error
    try:
        with safe_open(weights / WEIGHTS, framework="numpy"):
            pass
    except SafetensorError as error:
        raise UserError(f"{weights / WEIGHTS} is damaged: {error}") from error
    for head in (*planted, *([] if decoy is None else [decoy])):
        if head not in known:
            raise UserError(f"{card} names the head {head!r}, which its transformer does not have")
    missed = len(checks) - sum(checks)
    return Organism(name, weights, planted, decoy, operation, says, len(checks), missed)


def weights_content(transformer: Path) -> str:
    """Return a hash of the weights and the config of the transformer in a folder."""
    files = (content_of(transformer / file, times=False) for file in ("config.json", WEIGHTS))
    return " ".join(files)
