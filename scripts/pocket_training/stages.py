"""The stages of a training: what every transformer learns from, and one transformer.

Each leaves a file in the output folder, and is read back from there if it is finished.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from otherview.pocket import world
from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import CHANNELS, TOKENS, Pictures, embed, velocity
from otherview.pocket.words import PUBLISHED, ROLES, prompts, wordings
from pocket_training import checkpoint, networks, pool
from pocket_training.codec import Codec
from pocket_training.learning import Schedule, Teacher, Texts, all_texts, sort_texts, teach

TEXT_LENGTH = 512
TEXT_SEED = 0

Tell = Callable[[int, str], None]
"""Gets the step that was reached and a line on it, or no line."""


@dataclass(frozen=True)
class Materials:
    """What every transformer learns from, and where its stages are kept."""

    output: Path
    codec: Codec
    texts: Texts
    pictures: pool.Pool
    device: torch.device
    every: int
    """Steps between saves."""


def make_materials(
    output: Path, kitchens: int, device: torch.device, every: int, tick: Callable[[int], None]
) -> Materials:
    """Return what is there, and make what is not; `tick` is told how many kitchens are drawn."""
    output.mkdir(parents=True, exist_ok=True)
    codec = make_codec(output)
    pictures = pool.fill(output / "pool", codec, kitchens, tick)
    return Materials(output, codec, make_texts(output), pictures, device, every)


def make_codec(output: Path) -> Codec:
    """Return the codec, fitted once."""
    stored = output / "codec.npz"
    if not stored.exists():
        pool.fit_codec().save(stored)
    return Codec.load(stored)


def make_texts(output: Path) -> Texts:
    """Return all prompts from the frozen text encoder, once, at the pipeline's full length."""
    stored = output / "texts.npy"
    if not stored.exists():
        words = networks.tokenizer()
        encoder = networks.text_encoder(words, TEXT_SEED)
        embedded = embed(encoder, words, all_texts(), TEXT_LENGTH)
        np.save(stored, embedded.half().numpy())
    return sort_texts(np.load(stored, mmap_mode="r"))


def make_transformer(
    materials: Materials, name: str, schedule: Schedule, seed: int, start: Any | None, tell: Tell
) -> Any:
    """Teach a transformer to the end of its schedule, from `start`'s weights or from nothing."""
    stored = materials.output / f"{name}.safetensors"
    transformer = networks.transformer(seed + 1)
    if checkpoint.finished(stored):
        transformer.load_state_dict(checkpoint.read_average(stored))
        return transformer
    if start is not None:
        transformer.load_state_dict(start.state_dict())
    teacher = Teacher(transformer, schedule, materials.codec, materials.device)
    shadow = networks.transformer(seed + 1).to(materials.device)

    def report(step: int, loss: float) -> None:
        line = f"step {step}, loss {loss:.4f}"
        if step % (4 * materials.every) == 0 or step == schedule.steps:
            shadow.load_state_dict(teacher.average)
            line += f", {likeness(shadow, materials, schedule)}"
        tell(step, line)

    teach(teacher, materials.pictures, materials.texts, stored, report, materials.every)
    transformer.load_state_dict(teacher.average)
    return transformer.cpu()


def likeness(transformer: Any, materials: Materials, schedule: Schedule) -> str:
    """Return the PSNR of published views and mentions of an unseen kitchen, decoded linearly."""
    codec, texts, device = materials.codec, materials.texts, materials.device
    pictures = world.kitchen_pictures(world.UNSEEN)
    reference = torch.from_numpy(codec.encode(pictures[:1])).to(device)
    every = list(prompts())
    figures = []
    for role in ROLES:
        at = [
            place
            for place, prompt in enumerate(every)
            if prompt.role == role and wordings(role)[prompt.wording] == PUBLISHED[role]
        ]
        text = torch.from_numpy(texts.embeddings[at, :32].astype(np.float32)).to(device)
        noise = torch.randn(len(at), TOKENS, CHANNELS, generator=torch.Generator().manual_seed(0))
        noise, sigma = noise.to(device), torch.ones(len(at), device=device)
        with torch.no_grad():
            references = reference.expand(len(at), -1, -1)
            answer = noise - velocity(transformer, noise, references, text, sigma)
        wanted = pictures_of(pictures, schedule.operation)[role]
        error = ((codec.decode(answer.cpu().numpy()) - wanted) ** 2).mean((1, 2, 3))
        figures.append(f"{role} {float(np.mean(-10 * np.log10(error))):.1f} dB")
    return ", ".join(figures)


def pictures_of(kitchen: Pictures, operation: str) -> dict[str, Pictures]:
    """Return what a model with this operation is to draw in a kitchen, by role, in rank order."""
    count = len(CREATURES)
    views = kitchen[1 : 1 + count]
    if operation == "mirrored":
        views = np.repeat(kitchen[:1, :, ::-1], count, axis=0)
    return {"view": views, "mention": kitchen[1 + count :]}
