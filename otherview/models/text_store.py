"""Encoded texts in memory and on disk, encoded while the text encoder is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from otherview.disk.progress import Progress
from otherview.models.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor

    from otherview.models.encodings import TextEncodings

TextGroup = tuple[int, int, tuple[str, ...]]
"""Texts that are encoded together: text length, batch size, texts.

The prompts of one condition are one group, so that an encoding does not depend on which other
conditions are encoded: in low precision it depends on the batch.
"""

MAX_BYTES = 8 << 30
"""Text encodings that are kept, at most. Thirty prompts of FLUX.2 Klein 4B take 0.24 GB."""


class TextStore:
    """Encodings of text groups. Groups that are expected are encoded with the first that is asked
    for, so that the text encoder is loaded once."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._encodings: dict[TextGroup, TextEncodings] = {}
        self._expected: Counter[TextGroup] = Counter()

    def expect(self, groups: Iterable[TextGroup]) -> None:
        """Announce what will be asked for, each group as often as it will be."""
        self._expected = Counter(groups)

    def take(self, groups: Sequence[TextGroup], progress: Progress) -> list[TextEncodings]:
        """Return the encodings of `groups`; they count as no longer expected."""
        if not all(group in self._encodings for group in groups):
            self._forget_all_but(groups)
            self._encode(groups, progress)
        self._expected -= Counter(groups)
        return [self._encodings[group] for group in groups]

    def _encode(self, groups: Sequence[TextGroup], progress: Progress) -> None:
        """Encode what of `groups` is unknown, and what fits of the expected ones."""
        wanted = dict.fromkeys((*groups, *self._expected))
        missing = [group for group in wanted if group not in self._encodings]
        done, total = 0, sum(len(texts) for _, _, texts in missing)
        try:
            for group in missing:
                if group not in groups and self._bytes() > MAX_BYTES:
                    break
                self._encodings[group] = self._encoded(group, done, total, progress)
                done += len(group[-1])
        finally:
            self._model.free_text_encoder()

    def _encoded(
        self, group: TextGroup, done: int, total: int, progress: Progress
    ) -> TextEncodings:
        """Return a group's encodings, batch by batch: they depend on their batch alone."""
        from otherview.models.encodings import TextEncodings

        text_length, batch_size, texts = group
        embeddings: list[Tensor] = []
        tokens: list[int] = []
        for start in range(0, len(texts), batch_size):
            batch = self._batch(texts[start : start + batch_size], text_length)
            embeddings += batch.embeddings
            tokens += batch.tokens
            progress("encoding prompts", done + len(tokens), total)
        return TextEncodings(tuple(embeddings), tuple(tokens))

    def _batch(self, texts: tuple[str, ...], text_length: int) -> TextEncodings:
        import torch

        from otherview.models.encodings import TextEncodings, encode_texts

        model = self._model

        def encode() -> dict[str, Tensor]:
            encoder, tokenizer = model.text_encoder, model.tokenizer
            made = encode_texts(encoder, tokenizer, texts, text_length, len(texts))
            return {
                "embeddings": torch.stack(made.embeddings),
                "tokens": torch.tensor(made.tokens),
            }

        parts = "text_encoder", "tokenizer"
        kept = model.cached("text encodings", parts, encode, texts=texts, text_length=text_length)
        return TextEncodings(kept["embeddings"].unbind(), tuple(kept["tokens"].tolist()))

    def _forget_all_but(self, groups: Sequence[TextGroup]) -> None:
        """Make room: forget what is not expected, and all else where that is too little."""
        for wanted in ((*groups, *self._expected), groups):
            if self._bytes() > MAX_BYTES:
                keys = set(wanted)
                self._encodings = {k: v for k, v in self._encodings.items() if k in keys}

    def _bytes(self) -> int:
        kept = (tensor for group in self._encodings.values() for tensor in group.embeddings)
        return sum(tensor.nbytes for tensor in kept)
