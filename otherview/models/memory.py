"""What a model needs, from its card alone: download, and memory of host and device by stage."""

from __future__ import annotations

from dataclasses import dataclass

from otherview.models.pipeline_folder import DENOISERS
from otherview.study import Model
from otherview.study.loading import Card

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTISED_BYTES = {"bitsandbytes_4bit": 0.56, "fp8_layerwise": 1.0}
"""Bytes per value of a quantisation, with its scales; the others have QUANTISED."""
QUANTISED = 1.03
DENOISER_LAYER, OTHER_LAYER = 0.03, 0.25
"""Largest share of a part's weights in one layer, which is what offload by layers keeps on the
device. Of the transformers in `conf/model` it is at most 0.022; of a small text encoder, the
embedding of its vocabulary."""


@dataclass(frozen=True)
class Stage:
    """Memory for weights while a stage runs, in GiB. Activations come on top."""

    name: str
    device: float
    host: float


def card_of(model: Model) -> Card | None:
    """Return the card of a model, if it describes the repository that is used."""
    card = model.card
    used = card is not None and model.path is None and card.describes(model.repo)
    return card if used else None


def download_gb(model: Model) -> float | None:
    """Return what is downloaded of a known repository, in GB; None where no card describes it."""
    card = card_of(model)
    if card is None:
        return None
    own = model.loading.transformer is not None
    return sum(gb for part, gb in card.parts_gb.items() if not (own and denoises(part)))


def denoises(part: str) -> bool:
    return part.startswith(DENOISERS)


def stages(model: Model, offload: str, *, draws: bool) -> list[Stage]:
    """Return the memory for weights by stage, with `offload`, as far as a card says the sizes.

    Text encoders and VAE are freed before the transformer is loaded. A study that `draws` its
    reference has all parts in host memory for that, and one at a time on the device.
    """
    card = card_of(model)
    if card is None:
        return []
    sizes = {part: part_gib(card, part, model) for part in card.parts_gb}
    others = [part for part in sizes if not denoises(part)]
    denoiser = [part for part in sizes if denoises(part)]
    found = [stage("text encoders", others, sizes, offload)]
    if denoiser and draws:
        in_turn = "model" if offload == "none" else offload
        found.append(stage("drawing the reference", [*others, *denoiser], sizes, in_turn))
    if denoiser:
        found.append(stage("passes", denoiser, sizes, offload))
    return found


def stage(name: str, parts: list[str], sizes: dict[str, float], offload: str) -> Stage:
    """Return the memory of a stage that uses `parts`."""
    whole, largest = sum(sizes[part] for part in parts), max(sizes[part] for part in parts)
    if offload == "none":
        return Stage(name, whole, largest)  # each part passes through the host
    if offload == "model":
        return Stage(name, largest, whole)
    shares = (sizes[p] * (DENOISER_LAYER if denoises(p) else OTHER_LAYER) for p in parts)
    return Stage(name, max(shares), whole)


def part_gib(card: Card, part: str, model: Model) -> float:
    """Return the memory for the weights of a part, in GiB, in the precision that is asked for."""
    values = card.parts_gb[part] * 1e9 / (4 if part in card.float32 else 2)
    method = "none"
    if denoises(part):
        method = model.loading.quantisation.transformer
    elif part.startswith("text_encoder"):
        method = model.loading.quantisation.text_encoder
    per_value = BYTES[model.dtype]
    if method != "none":
        per_value = QUANTISED_BYTES.get(method, QUANTISED)
    return values * per_value / 2**30
