"""Every item under every wording of both roles, and where the item stands among the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from otherview.study import Study
from otherview.study.errors import StudyError

Role = Literal["test", "control"]


@dataclass(frozen=True)
class Wording:
    """A prompt with a place for the item."""

    name: str
    """test.0, test.1, ..., control.0, ..."""
    role: Role
    template: str


@dataclass(frozen=True)
class Prompt:
    """One item under one wording."""

    item: int
    wording: int
    text: str
    item_start: int
    """Character at which the item starts in `text`."""


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a study; `prompts` runs over the items, and over the wordings within each."""

    items: tuple[str, ...]
    wordings: tuple[Wording, ...]
    prompts: tuple[Prompt, ...]
    ranks: tuple[int, ...] | None = None
    """Place of every item on the study's axis, where it has one."""

    @property
    def roles(self) -> list[Role]:
        """Role of every wording."""
        return [wording.role for wording in self.wordings]


@dataclass(frozen=True)
class TokenPlace:
    """Where a prompt lies among the tokens that the text encoder sees, chat template included."""

    count: int
    """Tokens of the prompt."""
    item_position: int
    """Index of the item's first token."""


def study_prompts(study: Study) -> PromptSet:
    """The prompts of `study`."""
    templates, creatures = study.templates, study.creatures
    by_role: dict[Role, list[str]] = {"test": templates.test, "control": templates.control}
    wordings = [
        Wording(f"{role}.{index}", role, template)
        for role, written in by_role.items()
        for index, template in enumerate(written)
    ]
    prompts = []
    for item, phrase in enumerate(creatures.items):
        for index, wording in enumerate(wordings):
            before = wording.template.split("{" + creatures.placeholder + "}", 1)[0]
            text = wording.template.format(**{creatures.placeholder: phrase})
            prompts.append(Prompt(item, index, text, len(before.format())))
    ranks = creatures.ranks
    return PromptSet(
        tuple(creatures.items), tuple(wordings), tuple(prompts), tuple(ranks) if ranks else None
    )


def chat_text(tokenizer: Any, prompt: str) -> str:
    """The prompt as the pipeline gives it to the text encoder, in its chat template."""
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
    )


def check_lengths(tokenizer: Any, texts: Sequence[str], text_length: int) -> list[int]:
    """Tokens of every prompt, chat template included.

    Raises StudyError for the first that is longer than `text_length`: its tail would be cut in
    silence.
    """
    counts = [len(tokenizer(chat_text(tokenizer, text))["input_ids"]) for text in texts]
    for text, count in zip(texts, counts, strict=True):
        if count > text_length:
            raise StudyError(
                f"prompt of {count} tokens does not fit model.text_length={text_length} and would "
                f"be cut: {text!r}",
                "model.text_length",
            )
    return counts


def token_places(tokenizer: Any, prompts: Sequence[Prompt], text_length: int) -> list[TokenPlace]:
    """Token count and item position of every prompt, by the model's own tokenizer.

    Raises StudyError as `check_lengths` does.
    """
    counts = check_lengths(tokenizer, [prompt.text for prompt in prompts], text_length)
    places = []
    for prompt, count in zip(prompts, counts, strict=True):
        chat = chat_text(tokenizer, prompt.text)
        start = chat.index(prompt.text) + prompt.item_start
        offsets = tokenizer(chat, return_offsets_mapping=True)["offset_mapping"]
        position = next(index for index, (_, end) in enumerate(offsets) if end > start)
        places.append(TokenPlace(count, position))
    return places


def check_matched(prompts: PromptSet, places: Sequence[TokenPlace]) -> None:
    """Raises StudyError for the first prompt that is not like the others of its item.

    All wordings of an item must have as many tokens, and the item at the same position.
    """
    first: dict[int, tuple[Prompt, TokenPlace]] = {}
    for prompt, place in zip(prompts.prompts, places, strict=True):
        other, wanted = first.setdefault(prompt.item, (prompt, place))
        if place != wanted:
            raise StudyError(
                f"templates.matched: {prompt.text!r} has {place.count} tokens and its item at "
                f"{place.item_position}, {other.text!r} has {wanted.count} and "
                f"{wanted.item_position}; change the wordings, or say templates.matched=false",
                "templates.matched",
            )
