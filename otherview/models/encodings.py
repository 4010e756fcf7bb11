"""Prompts as the transformer is conditioned on them, encoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.disk.progress import Progress
from otherview.models.denoiser_loading import TEXT_LAYERS
from otherview.models.loaded import LoadedModel
from otherview.models.offloading import runs_on
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet, chat_text, check_lengths

MAX_BYTES = 8 << 30
"""Maximal size of the text encodings in memory. Thirty prompts of FLUX.2 Klein 4B take 0.24 GB."""
ON_DEVICE_BYTES = 1 << 30
"""Size up to which they are kept on the device, where every pass needs them."""

TextGroup = tuple[int, int, tuple[str, ...]]
"""Texts that are encoded together: text length, batch size, texts.

The prompts of one condition are one group, so that an encoding does not depend on which other
conditions are encoded: in low precision it depends on the batch.
"""


@dataclass(frozen=True)
class TextEncodings:
    """Encoded prompts in the order of their texts, each on the device or on the host."""

    embeddings: tuple[Float[Tensor, "tokens channels"], ...]
    tokens: tuple[int, ...]
    """Tokens of every prompt before padding."""

    def take(self, prompts: Sequence[int]) -> TextEncodings:
        """Return the encodings of these prompts, in this order."""
        return TextEncodings(
            tuple(self.embeddings[prompt] for prompt in prompts),
            tuple(self.tokens[prompt] for prompt in prompts),
        )


class TextStore:
    """Encodings of text groups, kept in memory and on disk.

    Groups that are expected are encoded together with the first one that is missing, so that the
    text encoder is loaded once.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._encodings: dict[TextGroup, TextEncodings] = {}
        self._expected: Counter[TextGroup] = Counter()

    def expect(self, groups: Iterable[TextGroup]) -> None:
        """Announce the groups that will be requested, each as often as it will be."""
        self._expected = Counter(groups)

    def take(self, groups: Sequence[TextGroup], progress: Progress) -> list[TextEncodings]:
        """Return the encodings of `groups`, which count as no longer expected."""
        if any(group not in self._encodings for group in groups):
            self._make_room(groups)
            try:
                self._encode(groups, progress)
            finally:
                self._model.free_text_encoder()
        self._expected -= Counter(groups)
        return [self._encodings[group] for group in groups]

    def _encode(self, groups: Sequence[TextGroup], progress: Progress) -> None:
        """Encode missing ones of `groups`, and as many expected groups as fit."""
        missing = [
            g for g in {**dict.fromkeys(groups), **self._expected} if g not in self._encodings
        ]
        done, total = 0, sum(len(texts) for *_, texts in missing)
        for group in missing:
            if group not in groups and self._bytes() > MAX_BYTES:
                break
            length, batch_size, texts = group
            embeddings: list[Tensor] = []
            tokens: list[int] = []
            size = self._bytes()
            for start in range(0, len(texts), batch_size):
                batch = self._batch(texts[start : start + batch_size], length)
                size += batch["embeddings"].nbytes
                where = self._model.device if size <= ON_DEVICE_BYTES else "cpu"
                embeddings += batch["embeddings"].to(where).unbind()
                tokens += batch["tokens"].tolist()
                progress("encoding prompts", done + len(tokens), total)
            self._encodings[group] = TextEncodings(tuple(embeddings), tuple(tokens))
            done += len(texts)

    def _batch(self, texts: tuple[str, ...], length: int) -> dict[str, Tensor]:
        """Return a batch from the cache, else from the text encoder."""

        def encode() -> dict[str, Tensor]:
            encoder, tokenizer = self._model.text_encoder, self._model.tokenizer
            made = encode_texts(encoder, tokenizer, texts, length)
            embeddings = torch.stack(made.embeddings)
            return {"embeddings": embeddings, "tokens": torch.tensor(made.tokens)}

        parts = "text_encoder", "tokenizer"
        content = {"texts": texts, "text_length": length}
        return self._model.cached("text encodings", parts, encode, **content)

    def _make_room(self, groups: Sequence[TextGroup]) -> None:
        """Forget groups that are not expected; if that is not enough, all but `groups`."""
        for wanted in ({*groups, *self._expected}, {*groups}):
            if self._bytes() > MAX_BYTES:
                self._encodings = {k: v for k, v in self._encodings.items() if k in wanted}

    def _bytes(self) -> int:
        return sum(t.nbytes for group in self._encodings.values() for t in group.embeddings)


@torch.no_grad()
def encode_texts(
    encoder: Any, tokenizer: Any, texts: Sequence[str], text_length: int
) -> TextEncodings:
    """Return three hidden states of the text encoder for every position of a batch of texts.

    `encoder` is what `load_text_encoder` returns. Texts are padded to `text_length`.
    They are on the encoder's device. Raises StudyError for a text that is longer.
    """
    lengths = check_lengths(tokenizer, texts, text_length)
    inputs = tokenizer(
        [chat_text(tokenizer, text) for text in texts],
        return_tensors="pt",
        padding="max_length",
        max_length=text_length,
    ).to(runs_on(encoder))
    is_text = torch.arange(text_length) < torch.tensor(lengths)[:, None]
    if not torch.equal(inputs["attention_mask"].cpu().bool(), is_text):
        raise StudyError("the tokenizer does not pad on the right: text and pad would be mixed up")
    output = encoder(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        output_hidden_states=True,
        use_cache=False,
        text_keys=max(lengths),
    )
    encoded = torch.cat([output.hidden_states[layer] for layer in TEXT_LAYERS], dim=-1)
    return TextEncodings(encoded.unbind(), tuple(lengths))


def text_distances(
    means: Float[Tensor, "prompts channels"], prompts: PromptSet
) -> Float[np.ndarray, "contrasts items"]:
    """Return the distance of every item's prompts from the first item's.

    RMS over channels, of `Calls.text_means` averaged over the conditions of each contrast.
    """
    by_condition = means.reshape(len(prompts.items), len(prompts.conditions), -1)
    distances = []
    for contrast in prompts.contrasts:
        of_items = by_condition[:, list(contrast.conditions)].mean(1)
        distances.append((of_items - of_items[0]).square().mean(1).sqrt().numpy())
    return np.stack(distances)
