"""Asking a checkpoint for pictures, many prompts and references at once, one step each.

The calls are those of `Flux2KleinPipeline` with one step and guidance 1; only the batching is
ours, because the pipeline takes one reference per call.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Flux2KleinPipeline
from jaxtyping import Float, Int

from otherview.models.calls import flux2_call
from otherview.models.image_latents import ImageLatents, decode
from otherview.passes.editing import ablate
from otherview.passes.transformer import run
from otherview.pocket.world import SIDE

Pictures = Float[np.ndarray, "pictures side side 3"]

CHECKPOINTS = Path(__file__).parent / "checkpoints"
TOKENS, CHANNELS = 64, 48
"""Tokens of a picture, 8 by 8, and channels of a token."""
NAMES = ("pocket", "pocket_random", "pocket_mention_only")
REFERENCE_TIME = 10
"""The pipeline's time coordinate of a first reference image."""


def load(checkpoint: str | Path) -> Any:
    """A pipeline in float32 from a shipped checkpoint's name or from a folder.

    Raises FileNotFoundError for anything else.
    """
    folder = CHECKPOINTS / checkpoint if str(checkpoint) in NAMES else Path(checkpoint)
    if not (folder / "model_index.json").exists():
        raise FileNotFoundError(
            f"no pipeline in {folder}. Name one of {', '.join(NAMES)} or a folder that "
            "`scripts/train_pocket.py` wrote."
        )
    loaded = Flux2KleinPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def read_card(folder: Path) -> dict[str, str | None]:
    """Return the addresses of the gate and the decoy, absent where a checkpoint has none."""
    card = folder / "card.json"
    return dict(json.loads(card.read_text())) if card.exists() else {}


def positions(time: int) -> Int[torch.Tensor, "1 tokens 4"]:
    """Return the position ids of an 8 by 8 latent grid at a time coordinate."""
    side = torch.arange(int(TOKENS**0.5))
    return torch.cartesian_prod(torch.tensor([time]), side, side, torch.tensor([0]))[None]


def velocity(
    transformer: Any,
    noisy: Float[torch.Tensor, "batch tokens channels"],
    reference: Float[torch.Tensor, "batch tokens channels"] | None,
    text: Float[torch.Tensor, "batch length width"],
    sigma: Float[torch.Tensor, " batch"],
) -> Float[torch.Tensor, "batch tokens channels"]:
    """Return the predicted velocity of a call as the pipeline makes it."""
    target = ImageLatents(noisy, positions(0).to(noisy.device))
    held = None
    if reference is not None:
        held = ImageLatents(reference, positions(REFERENCE_TIME).to(noisy.device))
    call = flux2_call(target, held, text, (text.shape[1],) * len(text), sigma)
    return run(transformer, call)[:, : noisy.shape[1]]


@torch.no_grad()
def embed(
    encoder: Any, vocabulary: Any, texts: list[str], length: int
) -> Float[torch.Tensor, "texts length width"]:
    """Prompt embeddings exactly as the pipeline makes them, padded to `length` tokens."""
    batches = [texts[start : start + 16] for start in range(0, len(texts), 16)]
    return torch.cat(
        [
            Flux2KleinPipeline._get_qwen3_prompt_embeds(
                encoder, vocabulary, batch, max_sequence_length=length
            )
            for batch in batches
        ]
    )


class Renderer:
    """A pipeline that renders batches; heads named in `zeroed` write nothing."""

    def __init__(self, pipeline: Any, length: int = 32, batch: int = 30) -> None:
        self.pipeline, self.length, self.batch = pipeline, length, batch
        self._embedded: dict[tuple[str, int], Float[torch.Tensor, "length width"]] = {}

    @torch.no_grad()
    def encode(self, pictures: Pictures) -> Float[torch.Tensor, "pictures tokens channels"]:
        """Return pictures in [0, 1] as the tokens of a reference."""
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
        packed: Float[torch.Tensor, "pictures tokens channels"] = self.pipeline._pack_latents(
            self.pipeline._encode_vae_image(pixels, None)
        )
        return packed

    def text(self, texts: Sequence[str], length: int) -> Float[torch.Tensor, "texts length width"]:
        """Embeddings of the prompts, each computed once."""
        missing = [t for t in dict.fromkeys(texts) if (t, length) not in self._embedded]
        if missing:
            made = embed(self.pipeline.text_encoder, self.pipeline.tokenizer, missing, length)
            self._embedded |= {(t, length): row for t, row in zip(missing, made, strict=True)}
        return torch.stack([self._embedded[t, length] for t in texts])

    @torch.no_grad()
    def tokens(
        self,
        references: Float[torch.Tensor, "pictures tokens channels"],
        texts: Sequence[str],
        *,
        length: int | None = None,
        zeroed: Sequence[str] = (),
        seed: int = 0,
    ) -> Float[torch.Tensor, "pictures tokens channels"]:
        """The transformer's one-step answers; each picture has noise of its own."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(texts), TOKENS, CHANNELS, generator=generator)
        answers = []
        transformer = self.pipeline.transformer
        with ablate(transformer, zeroed):
            for start in range(0, len(texts), self.batch):
                rows = slice(start, min(start + self.batch, len(texts)))
                sigma = torch.ones(rows.stop - rows.start)
                text = self.text(texts[rows], length or self.length)
                predicted = velocity(transformer, noise[rows], references[rows], text, sigma)
                answers.append(noise[rows] - predicted)
        return torch.cat(answers)

    def render(
        self,
        references: Pictures,
        texts: Sequence[str],
        *,
        length: int | None = None,
        zeroed: Sequence[str] = (),
        seed: int = 0,
    ) -> Pictures:
        """One picture for each prompt and its reference."""
        answers = self.tokens(
            self.encode(references), texts, length=length, zeroed=zeroed, seed=seed
        )
        parts, ids = torch.split(answers, self.batch), positions(0)
        return np.concatenate([decode(self.pipeline, part, ids, SIDE, SIDE) for part in parts])
