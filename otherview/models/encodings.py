"""Prompts as the transformer is conditioned on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.models.weights import TEXT_LAYERS
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet, chat_text, check_lengths


@dataclass(frozen=True)
class TextEncodings:
    """Encoded prompts in the order of their texts, kept on the host."""

    embeddings: tuple[Float[Tensor, "tokens channels"], ...]
    tokens: tuple[int, ...]
    """Tokens of every prompt before padding."""

    def take(self, prompts: Sequence[int]) -> TextEncodings:
        """Return the encodings of these prompts, in this order."""
        return TextEncodings(
            tuple(self.embeddings[prompt] for prompt in prompts),
            tuple(self.tokens[prompt] for prompt in prompts),
        )


@torch.inference_mode()
def encode_texts(
    encoder: Any, tokenizer: Any, texts: Sequence[str], text_length: int, batch_size: int
) -> TextEncodings:
    """Return three hidden states of the text encoder for every position of every text.

    `encoder` is what `weights.load_text_encoder` returns. Texts are padded to `text_length`.
    Raises StudyError for a text that is longer.
    """
    if not texts:
        raise ValueError("there are no texts to encode")
    lengths = check_lengths(tokenizer, texts, text_length)
    chats = [chat_text(tokenizer, text) for text in texts]
    embeddings: Tensor | None = None
    for start in range(0, len(chats), batch_size):
        rows = slice(start, start + batch_size)
        inputs = tokenizer(
            chats[rows], return_tensors="pt", padding="max_length", max_length=text_length
        ).to(encoder.device)
        is_text = torch.arange(text_length) < torch.tensor(lengths[rows])[:, None]
        if not torch.equal(inputs["attention_mask"].cpu().bool(), is_text):
            raise StudyError("the tokenizer does not pad on the right: text and pad would be mixed")
        output = encoder(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            output_hidden_states=True,
            use_cache=False,
            text_keys=max(lengths[rows]),
        )
        encoded = torch.cat([output.hidden_states[k] for k in TEXT_LAYERS], dim=-1)
        if embeddings is None:  # one allocation, since the encodings can be gigabytes
            embeddings = encoded.new_empty((len(chats), *encoded.shape[1:]), device="cpu")
        embeddings[rows] = encoded.cpu()
    assert embeddings is not None
    return TextEncodings(embeddings.unbind(), tuple(lengths))


def text_distances(
    encodings: TextEncodings, prompts: PromptSet
) -> Float[np.ndarray, "contrasts items"]:
    """Return the distance of every item's prompts from the first item's.

    RMS over channels, of means over text tokens (without pads) and the conditions of each contrast.
    """
    of_prompts = [
        embedded[:length].double().mean(0)
        for embedded, length in zip(encodings.embeddings, encodings.tokens, strict=True)
    ]
    by_condition = torch.stack(of_prompts).reshape(len(prompts.items), len(prompts.conditions), -1)
    distances = []
    for contrast in prompts.contrasts:
        means = by_condition[:, list(contrast.conditions)].mean(1)
        distances.append((means - means[0]).square().mean(1).sqrt().numpy())
    return np.stack(distances)
