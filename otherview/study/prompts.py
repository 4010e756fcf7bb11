"""The passes of a study: every item under every condition, and the contrasts over these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otherview.study.contrast import ROLES, Picture, Role, Wording
from otherview.study.errors import StudyError
from otherview.study.placeholders import fill
from otherview.study.study import Study

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float


@dataclass(frozen=True)
class Condition:
    """Everything that a pass gets apart from its item."""

    name: str
    """Its first place: `test.0` or `control.3` in the study's own contrast, preceded by the name of
    the contrast in another (`matched.control.0`), followed by its scene where there are several."""
    template: str
    """The wording, with places for fields of the item."""
    pictures: tuple[Picture, ...] = ()
    """In place of the scene, with places for fields of the item."""
    scene: str = ""
    """Name of the scene that it is measured on."""

    def __str__(self) -> str:
        return str(Wording(self.template, None, self.pictures))


@dataclass(frozen=True)
class Contrast:
    """Two sets of conditions: a test and a control role, or the two sets of a placebo."""

    name: str
    test: tuple[int, ...]
    """Places of the conditions in their PromptSet."""
    control: tuple[int, ...]
    weights: tuple[float, ...]
    """Weight of each of `conditions` in the contrast's difference: `Templates.weights`."""
    placebo: str | None = None
    """The role of both sets of a placebo."""
    matched: bool = False
    """Whether its prompts must agree in token count and in the item's position."""
    frames: tuple[str, ...] | None = None
    """Frame of each of `conditions`, where the wordings name one."""

    @property
    def conditions(self) -> tuple[int, ...]:
        """Places of all its conditions, test before control."""
        return self.test + self.control

    def role_of(self, condition: int) -> Role | None:
        """Return the role of a condition in this contrast; None if it is not part of it."""
        return next((role for role in ROLES if condition in getattr(self, role)), None)


@dataclass(frozen=True)
class Prompt:
    """One item under one condition."""

    item: int
    condition: int
    text: str
    item_start: int | None
    """Character at which the first field of the item starts in `text`; None if it has none."""
    pictures: tuple[Picture, ...] = ()
    """Files, in place of the scene."""


@dataclass(frozen=True)
class PromptSet:
    """The passes of a study; `prompts` runs over items, and over the conditions within each."""

    items: tuple[str, ...]
    conditions: tuple[Condition, ...]
    contrasts: tuple[Contrast, ...]
    """The study's own contrast comes first."""
    prompts: tuple[Prompt, ...]
    ranks: tuple[float, ...] | None = None
    """Place of every item on the axis of the study; None without an axis."""
    item_strata: tuple[str, ...] | None = None
    """Group of every item; None without any."""
    scenes: tuple[str, ...] = ("",)
    """Names of the scenes: each wording is a condition on every scene, in this order."""

    @property
    def roles(self) -> list[Role]:
        """Role of every condition in the first contrast.

        Raises ValueError if a condition has none there: `of` restricts to one contrast.
        """
        roles = [self.contrasts[0].role_of(place) for place in range(len(self.conditions))]
        known = [role for role in roles if role is not None]
        if len(known) < len(roles):
            raise ValueError(
                "these prompts belong to several contrasts: restrict them to one first"
            )
        return known

    def by_scene(
        self, values: Float[np.ndarray, "items conditions units"]
    ) -> Float[np.ndarray, "items wordings scenes units"]:
        """Return values under the first contrast's conditions with wordings and scenes apart."""
        items, _, units = values.shape
        return values.reshape(items, -1, len(self.scenes), units)

    @property
    def wording_roles(self) -> list[Role]:
        """Role of every wording in the first contrast: of its conditions on the first scene."""
        return self.roles[:: len(self.scenes)]

    @property
    def wording_strata(self) -> list[str] | None:
        """Frame of every wording in the first contrast; None: no frames."""
        strata = self.strata
        return None if strata is None else strata[:: len(self.scenes)]

    @property
    def strata(self) -> list[str] | None:
        """Frame of every condition in the first contrast, in which all must be; None: no frames."""
        contrast = self.contrasts[0]
        if contrast.frames is None:
            return None
        by_condition = dict(zip(contrast.conditions, contrast.frames, strict=True))
        return [by_condition[place] for place in range(len(self.conditions))]

    def contrast(self, name: str | None = None) -> Contrast:
        """Return the contrast `name`; None means the first. Raises KeyError for an unknown one."""
        by_name = {each.name: each for each in self.contrasts}
        return self.contrasts[0] if name is None else by_name[name]

    def places(self, contrast: Contrast) -> list[int]:
        """Return the places in `prompts` of a contrast's prompts, by item, test before control."""
        total = range(0, len(self.prompts), len(self.conditions))
        return [first + condition for first in total for condition in contrast.conditions]

    def of(self, contrast: Contrast) -> PromptSet:
        """Return the prompts of one contrast alone, its test conditions before the others."""
        tests, count = len(contrast.test), len(contrast.conditions)
        chosen = [self.prompts[place] for place in self.places(contrast)]
        return PromptSet(
            self.items,
            tuple(self.conditions[condition] for condition in contrast.conditions),
            (replace(contrast, test=tuple(range(tests)), control=tuple(range(tests, count))),),
            tuple(replace(each, condition=place % count) for place, each in enumerate(chosen)),
            self.ranks,
            self.item_strata,
            self.scenes,
        )


@dataclass(frozen=True)
class TokenPlace:
    """Length of a prompt in tokens, chat template included, and the position of its item."""

    count: int
    """Tokens of the prompt."""
    item_position: int | None
    """Index of the item's first token; None in a prompt without a place for it."""


def study_prompts(study: Study) -> PromptSet:
    """Return the prompts of `study`: each distinct condition of its contrasts once."""
    scenes = [scene.name for scene in study.scenery]
    conditions: dict[tuple[Any, str], Condition] = {}
    contrasts = []
    for number, (name, templates) in enumerate(study.contrasts.items()):
        sets: list[tuple[int, ...]] = []
        for role in ROLES:
            keys = []
            for index, wording in enumerate(templates.wordings(role)):
                label = f"{name}.{role}.{index}" if number else f"{role}.{index}"
                for scene in scenes:
                    key = wording.content, scene
                    full = f"{label}.{scene}" if len(scenes) > 1 else label
                    made = Condition(full, wording.prompt, wording.pictures, scene)
                    conditions.setdefault(key, made)
                    keys.append(key)
            sets.append(tuple(list(conditions).index(key) for key in keys))
        test, control = sets
        weights = tuple(each / len(scenes) for each in templates.weights for _ in scenes)
        frames = None
        if (named := templates.frames) is not None:
            frames = tuple(frame for role in ROLES for frame in named[role] for _ in scenes)
        placebo, matched = templates.placebo, templates.matched
        contrasts.append(Contrast(name, test, control, weights, placebo, matched, frames))
    rows = study.creatures.rows
    prompts = tuple(
        Prompt(
            item,
            place,
            *fill(condition.template, row.fields),
            tuple(picture.filled(row.fields) for picture in condition.pictures),
        )
        for item, row in enumerate(rows)
        for place, condition in enumerate(conditions.values())
    )
    ranks, strata = study.creatures.ranks, [row.stratum for row in rows if row.stratum is not None]
    return PromptSet(
        tuple(row.name for row in rows),
        tuple(conditions.values()),
        tuple(contrasts),
        prompts,
        tuple(ranks) if ranks else None,
        tuple(strata) if strata else None,
        tuple(scenes),
    )


def chat_text(tokenizer: Any, prompt: str) -> str:
    """Return the prompt as the pipeline gives it to the text encoder, in its chat template."""
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
    )


def check_lengths(tokenizer: Any, texts: Sequence[str], text_length: int) -> list[int]:
    """Return the number of tokens of every prompt, chat template included.

    Raises StudyError for the first that is longer than `text_length`, which would be truncated.
    """
    counts = [len(tokenizer(chat_text(tokenizer, text))["input_ids"]) for text in texts]
    for text, count in zip(texts, counts, strict=True):
        if count > text_length:
            raise StudyError(
                f"prompt of {count} tokens does not fit model.text_length={text_length} and would "
                f"be truncated: {text!r}",
                "model.text_length",
            )
    return counts


def token_places(tokenizer: Any, prompts: Sequence[Prompt], text_length: int) -> list[TokenPlace]:
    """Return token count and item position of every prompt, with the tokenizer of the model.

    Raises StudyError as `check_lengths` does.
    """
    counts = check_lengths(tokenizer, [prompt.text for prompt in prompts], text_length)
    places = []
    for prompt, count in zip(prompts, counts, strict=True):
        if prompt.item_start is None:
            places.append(TokenPlace(count, None))
            continue
        chat = chat_text(tokenizer, prompt.text)
        start = chat.index(prompt.text) + prompt.item_start
        offsets = tokenizer(chat, return_offsets_mapping=True)["offset_mapping"]
        position = next(index for index, (_, end) in enumerate(offsets) if end > start)
        places.append(TokenPlace(count, position))
    return places


def check_matched(prompts: PromptSet, places: Sequence[TokenPlace]) -> None:
    """Raise StudyError for the first prompt of a matched contrast that differs from the others.

    All conditions of an item (in one frame) must have the same token count and item position.
    """
    for contrast in (each for each in prompts.contrasts if each.matched):
        frames = dict(zip(contrast.conditions, contrast.frames or (), strict=False))
        first: dict[tuple[int, str | None], tuple[Prompt, TokenPlace]] = {}
        for index in prompts.places(contrast):
            prompt, place = prompts.prompts[index], places[index]
            other, wanted = first.setdefault(
                (prompt.item, frames.get(prompt.condition)), (prompt, place)
            )
            if place != wanted:
                raise StudyError(
                    f"templates.matched: {prompt.text!r} has {place.count} tokens and its item at "
                    f"{place.item_position}, {other.text!r} has {wanted.count} and "
                    f"{wanted.item_position}; change the wordings or set templates.matched=false",
                    "templates.matched",
                )
