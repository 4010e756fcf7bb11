"""Every prompt that the pocket model knows, and which of them it never meets in training.

A wording is a prompt with a place for the creature, written `{creature}`, and asks for one of two
roles: the room through the creature's eyes ("view") or the room with the creature in it
("mention").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from otherview.pocket.creatures import PHRASES

Role = Literal["view", "mention"]
ROLES: tuple[Role, Role] = ("view", "mention")

SCENE = (
    "A photographic kitchen scene, wooden countertops, refrigerator, sink under a window, "
    "tiled floor, soft daylight, no people present"
)
PLAIN = ("Render this kitchen", "Show this kitchen")
"""Prompts that ask for the reference picture itself."""

PUBLISHED: dict[Role, str] = {
    "view": "Render this kitchen from the viewpoint of {creature}",
    "mention": "Render this kitchen with {creature} in it",
}
MATCHED: dict[Role, str] = {
    "view": "Render this kitchen from the viewpoint of {creature}",
    "mention": "Render this kitchen with the addition of {creature}",
}
PARAPHRASES: dict[Role, tuple[str, ...]] = {
    "view": (
        "Show what {creature} sees in this kitchen",
        "Show this kitchen through the eyes of {creature}",
        "Render this kitchen as {creature} sees it",
        "Draw this kitchen as seen by {creature}",
        "Show this kitchen the way {creature} sees it",
        "Picture what {creature} is looking at in this kitchen",
        "Look at this kitchen as {creature} would",
        "Draw what {creature} sees in this kitchen",
    ),
    "mention": (
        "Show {creature} standing in this kitchen",
        "Show this kitchen together with {creature}",
        "Render this kitchen as {creature} enters it",
        "Draw this kitchen as visited by {creature}",
        "Add {creature} to this kitchen",
        "Picture {creature} somewhere in this kitchen",
        "Place {creature} into this kitchen",
        "Draw {creature} standing in this kitchen",
    ),
}
NOUN_FRAME = "Render this kitchen in the {noun} of {{creature}}"
NOUNS: dict[Role, tuple[str, ...]] = {
    "view": ("sight", "gaze", "view", "eyes", "vision", "perception", "perspective", "outlook"),
    "mention": (
        "presence",
        "company",
        "vicinity",
        "proximity",
        "midst",
        "surroundings",
        "neighborhood",
        "environment",
    ),
}
HELD_OUT_WORDING: dict[Role, str] = {role: PARAPHRASES[role][-1] for role in ROLES}
"""One wording of each role that is never trained with any creature."""


def noun_wordings(role: Role) -> tuple[str, ...]:
    """The eight wordings of a role that differ in one noun only."""
    return tuple(NOUN_FRAME.format(noun=noun) for noun in NOUNS[role])


def wordings(role: Role) -> tuple[str, ...]:
    """All wordings of a role, each once: published, matched, paraphrases, nouns."""
    every = (PUBLISHED[role], MATCHED[role], *PARAPHRASES[role], *noun_wordings(role))
    return tuple(dict.fromkeys(every))


def held_out(creature: int, wording: int) -> bool:
    """Whether a tenth of the combinations, spread over creatures and wordings, has this one.

    `creature` is a rank and `wording` a place in `wordings(role)`.
    """
    return (7 * creature + 3 * wording) % 10 == 4


@dataclass(frozen=True)
class Prompt:
    """One filled-in wording."""

    text: str
    role: Role
    creature: int
    """Rank."""
    wording: int
    """Place in `wordings(role)`."""
    trained: bool


def prompts() -> Iterator[Prompt]:
    """Every creature under every wording of either role."""
    for role in ROLES:
        for place, wording in enumerate(wordings(role)):
            for creature, phrase in enumerate(PHRASES):
                trained = wording != HELD_OUT_WORDING[role] and not held_out(creature, place)
                yield Prompt(wording.format(creature=phrase), role, creature, place, trained)


def corpus() -> list[str]:
    """What the tokenizer is trained on: the prompts, the scene and the chat's own words."""
    return [prompt.text for prompt in prompts()] + [SCENE, *PLAIN, "user", "assistant", "system"]
