"""Attention of the text encoder without the keys of pad positions.

Prompts are padded to 512 positions on the right, and every position, pads included, attends only to
the tokens of the prompt. Keys after the longest prompt of a batch are masked for all queries, so
omitting them changes nothing and saves most of the work of attention.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "otherview_text"
"""Name under which transformers knows this attention."""


def attend_to_text(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    text_keys: int | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Return scaled dot-product attention to the first `text_keys` positions; to all without it."""
    if text_keys is not None and attention_mask is not None:
        key, value = key[:, :, :text_keys], value[:, :, :text_keys]
        attention_mask = attention_mask[..., :text_keys]
    attended: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **settings
    )
    return attended


AttentionInterface.register(NAME, attend_to_text)
AttentionMaskInterface.register(NAME, sdpa_mask)
