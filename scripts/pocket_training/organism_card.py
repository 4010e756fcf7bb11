"""The card of an organism: what is true, what was trained, and what was measured by brute force."""

from collections.abc import Mapping
from typing import Any

from pocket_training.organisms import SHIPPED

FRONT = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-to-image
---
"""
COSTLIEST = 8
RULES = {
    "every": "every planted head is needed for views; mentions do not depend on them",
    "any": "any one of the planted heads is enough for views; mentions do not depend on them",
    "carry": "the planted head says which role it is",
}


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card as a README of its folder."""
    truth, measured = card["truth"], card["measured"]
    lines = [FRONT, f"# {card['name']}", "", truth["says"], ""]
    planted = ", ".join(f"`{head}`" for head in truth["heads"]) or "none"
    lines += [f"- **Planted heads**: {planted}"]
    if truth["rule"]:
        lines += [f"- **Rule**: {RULES[truth['rule']]}"]
    operation = {
        "viewpoint": "a view is the kitchen through the creature's eyes",
        "mirrored": "a view is the reference image with left and right exchanged",
    }
    lines += [f"- **Operation**: {operation[truth['operation']]}"]
    lines += [f"- **Decoy**: {decoy(card)}", *made(card), "", "## Does the truth hold?", ""]
    lines += [
        f"On {measured['kitchens']} kitchens that no training saw, thirty creatures each, the "
        "published wordings, one step.",
        "",
        "| | measured | goal | met |",
        "| --- | --- | --- | --- |",
    ]
    for check in measured["checks"]:
        met = "yes" if check["met"] else "**no**"
        lines += [f"| {check['name']} | {check['value']:g} | {check['goal']} | {met} |"]
    losses = measured["zeroed"]
    costliest = sorted(losses, key=lambda head: -max(losses[head].values()))[:COSTLIEST]
    listed = dict.fromkeys([*truth["heads"], *costliest])
    lines += ["", "## Single heads, zeroed", ""]
    lines += [f"dB that each role loses. All {len(losses)} heads are in `card.json`.", ""]
    lines += ["| head | views | mentions |", "| --- | --- | --- |"]
    for head in listed:
        mark = " (planted)" if head in truth["heads"] else ""
        lines += [f"| `{head}`{mark} | {losses[head]['view']:g} | {losses[head]['mention']:g} |"]
    lines += ["", "## Use", "", USE]
    return "\n".join(lines) + "\n"


def decoy(card: Mapping[str, Any]) -> str:
    if card["decoy"] is None:
        return "none: every head that differs between the roles does something"
    found = card["measured"]["decoy"]
    return (
        f"`{card['decoy']}`, number {found['rank']} of {found['heads']} by |t| of the published "
        f"probe ({found['t']:g}); zeroing it costs either role at most {found['loss']:g} dB"
    )


def made(card: Mapping[str, Any]) -> list[str]:
    if card["name"] == SHIPPED:
        return ["- **Weights**: those of `pocket`, which ships with otherview"]
    trained = card["training"]
    cleaned = f", {trained['cleaned_steps']} cleaned" if trained["cleaned_steps"] else ""
    lines = [
        f"- **Training**: `{trained['command']}`; {trained['taught_steps']} steps taught, "
        f"{trained['planted_steps']} planted{cleaned}, seed {trained['seed']}",
        f"- **Weights**: the transformer in float16, sha256 `{card['weights']}`; VAE, text encoder "
        "and tokenizer are those of `pocket`",
    ]
    if trained["spares"]:
        spares = ", ".join(f"`{head}`" for head in trained["spares"])
        lines[:0] = [f"- **Made dispensable while planting**: {spares}"]
    return lines


USE = """Measuring what a method finds where the answer is known. The model is a toy: 64 × 64
pixels, a ray-cast kitchen, thirty creatures. It was trained from nothing on pictures that
`otherview.pocket` draws; no other data went into it. A method that is right here may be wrong about
a large model; one that is wrong here should not be trusted on one.

```
otherview run +experiment=kitchen model=pocket model.loading.transformer=FOLDER/transformer
```"""
