"""Random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def draw_weights(transformer: Any, seed: int) -> None:
    """Draw the weights of a FLUX.2 transformer in place, so that every head has something to say.

    Matrices are uniform as in Glorot & Bengio (2010). Modulations, which training begins at zero,
    are normal: with zeros a block would pass its input through. The image is embedded by an
    orthonormal matrix and read out by its transpose. Gains are 1 and offsets 0.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in transformer.named_parameters():
        if weight.ndim < 2:
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
        elif "modulation" in name or "norm_out" in name:
            weight.normal_(0, weight.shape[1] ** -0.5, generator=generator)
        else:
            torch.nn.init.xavier_uniform_(weight, generator=generator)
    embedded, read = transformer.x_embedder.weight, transformer.proj_out.weight
    torch.nn.init.orthogonal_(embedded, generator=generator)
    read.copy_(embedded.T * (embedded.shape[1] / embedded.shape[0]) ** 0.5)


@torch.no_grad()
def draw_words(embeddings: Tensor, seed: int) -> None:
    """Draw the vectors of all words in place, standard normal as those of the pocket model.

    The text encoder of the pocket model is random and frozen. With one draw of it for all seeds,
    the same sixteen nouns would fall into the same roles each time: if these happen to lie apart,
    they do in all seeds.
    """
    embeddings.normal_(generator=torch.Generator().manual_seed(seed))
