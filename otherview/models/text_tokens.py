"""Which text positions hold a prompt's tokens and which are pads, and where its item is.

Known from what the pipeline's own text encoders were given, without its chat template: the ids, the
mask if it passes one, and the tokenizer, which turns ids back into text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from otherview.models.arguments import Arguments, tensors
from otherview.models.interception import EncoderInput
from otherview.models.pipeline_inputs import TEXT_LENGTH, accepted
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, TokenPlace

CLIP_LENGTH = 77
"""Positions of CLIP's text encoder, whatever is asked for."""
HEAD = 12
"""First characters of a prompt by which it is recognised where its end is missing."""


def tokenizer_of(pipeline: Any, encoder: str) -> Any:
    """Return the tokenizer that belongs to a text encoder of a pipeline; None if there is none."""
    own = getattr(pipeline, encoder.replace("text_encoder", "tokenizer"), None)
    own = own or getattr(pipeline, "tokenizer", None) or getattr(pipeline, "processor", None)
    return getattr(own, "tokenizer", own)


def real_tokens(given: EncoderInput, tokenizer: Any) -> Bool[np.ndarray, " ids"]:
    """Return which ids are tokens of the prompt, template and end token included, not pads."""
    if given.mask is not None:
        return np.array(given.mask)
    ids = np.array(given.ids)
    pad, end = getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None)
    real = np.asarray(ids != pad)
    if pad == end and not real.all():  # CLIP pads with its end token: the first one ends the prompt
        real[int(np.flatnonzero(~real)[0])] = True
    return real


def text_positions(
    length: int, arguments: Arguments, real: Mapping[str, Bool[np.ndarray, " ids"]]
) -> Bool[np.ndarray, " positions"] | None:
    """Return which of `length` text positions of the transformer are tokens, not pads.

    `real` has the tokens of every text encoder. Known from a mask among the arguments of the call,
    else from the text encoders: one of them, several
    in a row (SD3: 77 of CLIP, then those of T5), or one whose template is cut off at the start.
    Returns None if none of these has that length.
    """
    for path, tensor in tensors(arguments).items():
        if "mask" in path and tensor.ndim == 2 and tensor.shape[1] == length:
            values = tensor[0].float().cpu().numpy()
            return np.asarray(values > (-1.0 if values.min() < 0 else 0.0))
    by_length = sorted(real.values(), key=len, reverse=True)
    for each in by_length:
        if len(each) == length:
            return each
    in_a_row = list({len(each): each for each in real.values()}.values())
    for parts in (in_a_row, list(real.values())):
        if parts and sum(map(len, parts)) == length:
            return np.concatenate(parts)
    for each in by_length:
        if each.sum() >= length:
            return np.ones(length, dtype=bool)  # pads and a part of the template are left out
        if len(each) > length:
            return each[len(each) - length :]
    if len(by_length) == 1:  # the pipeline pads what is encoded
        return np.concatenate([by_length[0], np.zeros(length - len(by_length[0]), dtype=bool)])
    return None


def token_place(
    pipeline: Any, prompt: Prompt, encoders: Sequence[EncoderInput]
) -> TokenPlace | None:
    """Return the prompt's number of tokens and the position of its item, in the longest input.

    None if no tokenizer turns the ids back into the prompt. Raises StudyError for a prompt that is
    truncated; CLIP's may be, where another encoder reads it.
    """
    text, readers = plain(prompt.text), []
    for given in sorted(encoders, key=lambda each: -len(each.ids)):
        tokenizer = tokenizer_of(pipeline, given.encoder)
        if tokenizer is not None and hasattr(tokenizer, "decode"):
            whole = plain(tokenizer.decode(given.ids))
            if text[:HEAD] in whole:
                readers.append((given, tokenizer, whole))
    readers = [each for each in readers if len(each[0].ids) != CLIP_LENGTH] or readers
    for given, _, whole in readers:
        if text not in whole:
            chosen = TEXT_LENGTH in accepted(type(pipeline))
            longer = "a larger model.text_length or " if chosen else ""
            raise StudyError(
                f"the prompt does not fit into {len(given.ids)} tokens and would be truncated: "
                f"{prompt.text!r}; use {longer}shorter wordings",
                "model.text_length" if chosen else "templates",
            )
    if not readers:
        return None
    given, tokenizer, _ = readers[0]
    count = int(real_tokens(given, tokenizer).sum())
    start = prompt.item_start
    position = None if start is None else item_position(tokenizer, given.ids, prompt.text, start)
    return TokenPlace(count, position)


def item_position(tokenizer: Any, ids: Sequence[int], text: str, item_start: int) -> int:
    """Return the index of the first token that holds characters from `item_start` of a prompt."""
    whole = plain(tokenizer.decode(ids))
    start = whole.rindex(plain(text)) + len(plain(text[:item_start]))

    def characters(tokens: int) -> int:
        return len(plain(tokenizer.decode(ids[: tokens + 1])))

    return bisect_left(range(len(ids)), start + 1, key=characters)


def plain(text: str) -> str:
    """Return `text` without blanks and case, which tokenizers change."""
    return "".join(text.split()).casefold()
