"""Tokenizers made on the spot: single bytes or characters, and the words of these tests.

Every one has the class that the pipelines name, so that it is saved and loaded as a real one.
"""

from __future__ import annotations

from typing import Any

import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

TEXT = """
a an the in of by as seen to and is are on with from for this that image picture user text prompt
describe kitchen dog cat owl ant horse chair lamp table large small shape size color texture
quantity spatial relationships objects background following content system video aspects actions
main theme events temporal physical movement changes light style camera used Render viewpoint
addition sight gaze view eyes vision perception perspective outlook presence company vicinity
proximity midst surroundings neighborhood environment
"""
WORDS = TEXT.split()
"""What the tokenizers know as whole words."""

CHATML = """{%- for m in messages -%}
<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content -%}
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}\
{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor -%}
{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""

QWEN_SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    *("<think>", "</think>"),
]


def merged(
    letters: list[str], words: list[str], end: str = ""
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return a BPE vocabulary of `letters` and of what builds up `words`, and its merges.

    `end` closes the last letter of every word, as CLIP's tokenizer does.
    """
    tokens = dict.fromkeys([*letters, *(letter + end for letter in letters)])
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        parts = [*word[:-1], word[-1] + end]
        built = parts[0]
        for part in parts[1:]:
            merges[built, part] = None
            built += part
            tokens[built] = None
    return {token: i for i, token in enumerate(tokens)}, list(merges)


def extended(vocab: dict[str, int], tokens: list[str]) -> dict[str, int]:
    return vocab | {token: len(vocab) + i for i, token in enumerate(tokens)}


def clip(pad_token: str = "<|endoftext|>") -> Any:
    vocab, merges = merged(sorted(ByteLevel.alphabet()), WORDS, end="</w>")
    vocab = extended(vocab, ["<|startoftext|>", "<|endoftext|>"])
    return transformers.CLIPTokenizer(
        vocab=vocab, merges=merges, pad_token=pad_token, model_max_length=77
    )


def t5(model_max_length: int = 512) -> Any:
    letters = [chr(i) for i in range(33, 127)]
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    scores += [("▁" + word, -3.0) for word in WORDS] + [(letter, -9.0) for letter in letters]
    return transformers.T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=model_max_length)


def byte_level(special: list[str], *, cls: str = "TokenizersBackend", **settings: Any) -> Any:
    """Return a tokenizer of bytes and words, with and without a space before them."""
    space = ByteLevel(add_prefix_space=False).pre_tokenize_str(" ")[0][0]
    words = [*WORDS, *(space + word for word in WORDS)]
    vocab, merges = merged(sorted(ByteLevel.alphabet()), words)
    vocab = extended(vocab, special)
    settings |= {"extra_special_tokens": special, "model_max_length": 4096}
    if cls != "TokenizersBackend":
        return getattr(transformers, cls)(vocab=vocab, merges=merges, **settings)
    backend = Tokenizer(BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **settings)


def qwen() -> Any:
    """Return Qwen's tokenizer, with its chat markers and a template like its own."""
    return byte_level(QWEN_SPECIAL, cls="Qwen2Tokenizer", chat_template=CHATML)


def characters(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return a BPE vocabulary of `special`, all bytes, characters and words after `▁`."""
    pairs, merges = merged([chr(i) for i in range(33, 127)] + ["▁"], ["▁" + w for w in WORDS])
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pairs]
    return {token: i for i, token in enumerate(tokens)}, merges


def gemma(model_max_length: int = 4096) -> Any:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    vocab, merges = characters(special)
    return transformers.GemmaTokenizer(
        vocab=vocab, merges=merges, model_max_length=model_max_length
    )


def llama(model_max_length: int = 4096) -> Any:
    """Return Llama's first tokenizer: characters, bytes where there is none, `▁` for a space."""
    special = ["<unk>", "<s>", "</s>"]
    vocab, merges = characters(special)
    return transformers.LlamaTokenizer(
        vocab=vocab, merges=merges, pad_token="<unk>", model_max_length=model_max_length
    )


def llama3() -> Any:
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    ends = {"bos_token": special[0], "eos_token": special[1], "pad_token": special[1]}
    return byte_level(special, **ends)


def glm() -> Any:
    special = ["<|endoftext|>", "[gMASK]", "<sop>", "<|user|>"]
    return byte_level(
        special, eos_token=special[0], pad_token=special[0], padding_side="left", bos_token=None
    )


def bert() -> Any:
    letters = [chr(i) for i in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
    tokens += [word for word in WORDS if word not in letters]
    vocab = {token: i for i, token in enumerate(tokens)}
    return transformers.BertTokenizer(vocab=vocab, model_max_length=77)


def byt5() -> Any:
    """Return the tokenizer of ByT5, which needs no vocabulary: every byte is a token."""
    return transformers.ByT5Tokenizer()


MISTRAL_TEMPLATE = """{{ bos_token }}{%- for m in messages -%}
{%- set text = m.content if m.content is string else m.content[-1].text -%}
{%- if m.role == 'system' -%}[SYSTEM_PROMPT]{{ text }}[/SYSTEM_PROMPT]
{%- else -%}[INST]{{ text }}[/INST]{%- endif -%}{%- endfor -%}"""

MISTRAL_SPECIAL = [
    *("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    *("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
]


def mistral() -> Any:
    return byte_level(
        MISTRAL_SPECIAL,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        padding_side="left",
        chat_template=MISTRAL_TEMPLATE,
    )
