"""The training pictures: many kitchens, each with every view and every mention, as latents."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from otherview.pocket import world
from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import CHANNELS, TOKENS
from otherview.pocket.world import kitchen_pictures
from pocket_training.codec import Codec, fit

SHARD = 50


@dataclass(frozen=True)
class Pool:
    """Latents in float16, memory-mapped.

    `pictures[kitchen, 0]` is the reference, then come the views and the mentions of all creatures
    in order of rank.
    """

    pictures: Float[np.ndarray, "kitchens pictures tokens channels"]
    mirrored: Float[np.ndarray, "kitchens tokens channels"]
    """The reference, left and right exchanged."""

    @property
    def kitchens(self) -> int:
        return len(self.pictures)


def fit_codec(kitchens: int = 24) -> Codec:
    """A codec for the pictures of the first kitchens."""
    return fit(np.concatenate([kitchen_pictures(seed) for seed in range(kitchens)]))


def fill(directory: Path, codec: Codec, kitchens: int, tick: Callable[[int], None]) -> Pool:
    """Make (or finish making) the pool in `directory`; `tick` is told how many kitchens it has."""
    directory.mkdir(parents=True, exist_ok=True)
    stored, progress = directory / "pictures.npy", directory / "progress.json"
    shape = (kitchens, 1 + 2 * len(CREATURES), TOKENS, CHANNELS)
    done = json.loads(progress.read_text())["kitchens"] if progress.exists() else 0
    if stored.exists() and np.load(stored, mmap_mode="r").shape != shape:
        raise ValueError(
            f"{stored} holds another number of kitchens than {kitchens}. Delete {directory}."
        )
    mode = "r+" if stored.exists() else "w+"
    pictures = np.lib.format.open_memmap(stored, mode=mode, dtype=np.float16, shape=shape)
    for start in range(done, kitchens, SHARD):
        stop = min(start + SHARD, kitchens)
        for seed in range(start, stop):
            pictures[seed] = codec.encode(kitchen_pictures(seed))
        pictures.flush()
        progress.write_text(json.dumps({"kitchens": stop}))
        tick(stop)
    return Pool(pictures, mirror_references(directory, codec, kitchens))


def mirror_references(
    directory: Path, codec: Codec, kitchens: int
) -> Float[np.ndarray, "kitchens tokens channels"]:
    stored = directory / "mirrored.npy"
    if not stored.exists():
        references = (world.reference(world.kitchen(seed)) for seed in range(kitchens))
        mirrored = np.stack([codec.encode(one[None, :, ::-1])[0] for one in references])
        unfinished = stored.with_suffix(".partial.npy")
        np.save(unfinished, mirrored.astype(np.float16))
        unfinished.replace(stored)
    loaded: Float[np.ndarray, "kitchens tokens channels"] = np.load(stored, mmap_mode="r")
    return loaded
