"""Names, assumptions and notes that all views share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otherview.analysis.analyse import at_level
from otherview.views.numbers import percent, significant

NOUNS = {"heads": "heads", "slices16": "slices"}
"""Units by unit set."""


def noun_of(unit_set: str, levels: int) -> str:
    """Return what the rows of a table of units are: heads, or at several levels heads × levels."""
    return NOUNS[unit_set] if levels == 1 else f"{NOUNS[unit_set]} × levels"


def one_of(noun: str) -> str:
    """Return one row of a table of units by the noun of all: head, slice, head × level."""
    return noun.removesuffix("s").replace("s ×", " ×")


def main_unit_set(content: Mapping[str, Any]) -> str:
    """Return the unit set that an answer is about, of `results`: heads, or the only one."""
    return "heads" if "heads" in content["results"] else next(iter(content["results"]))


def rows_noun(unit_set: str, result: Mapping[str, Any]) -> str:
    """Return `noun_of` an entry of `results` in summary.json."""
    return noun_of(unit_set, levels_of(result))


def main_result(content: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    """Return the main unit set of `results`, its entry, and what the rows of its table are."""
    unit_set = main_unit_set(content)
    found = content["results"][unit_set]
    return unit_set, found, rows_noun(unit_set, found)


def row_name(row: Mapping[str, Any]) -> str:
    """Return the address of a unit, with its noise level where there are several."""
    level = row.get("noise_level")
    return str(row["unit"]) if level is None else at_level(row["unit"], level)


def levels_of(result: Mapping[str, Any]) -> int:
    """Return the number of noise levels of an entry of `results` in summary.json."""
    return len(result.get("levels", ())) or 1


RESPONSES = {"rms": "RMS", "log_rms": "log RMS"}
ROLES = {
    "test": "Test: asks for the operation",
    "control": "Control: names the item without asking for it",
}
PICTURE_ROLES = {"test": "Test", "control": "Control"}
PLACEBO_ROLES = {"test": "First list", "control": "Second list"}

BLOCK_KINDS = {
    "joint": "text and image tokens attend to each other, each through weights of their own",
    "single": "all tokens are one sequence",
    "self": "image tokens attend to each other",
    "cross": "image tokens read the text",
    "text": "text tokens attend to each other",
}
"""What an attention mixes, by kind of block."""

DIFFERS = "differ, family-wise"
FOLLOWS = "follow the role"
CONFIRMED = "found on half, confirmed on the other"
SPLIT_HALF = "split-half r of the t-map"
LARGEST = "largest |t|"
AT_LEAST = "differ, at least"
EVERYWHERE = "differ in every template"
COMPONENTS = {
    "item": "item",
    "template": "template",
    "seed": "seed",
    "item_template": "item × template",
    "item_seed": "item × seed",
    "template_seed": "template × seed",
    "residual": "residual",
}
"""Components of the variance of a difference."""

SYMMETRY = (
    "Without an effect, the difference of an item is as likely as its negative. The test covers "
    "new items under the same wordings, scene and model. It does not cover other wordings."
)
"""Assumption and scope of every sign-flip test."""
EXCHANGEABLE = "If the role has no effect, wordings are exchangeable."
"""Assumption of the role test."""
NO_TEST = "This is a description and not a test, because any two pairs of wordings differ."
PLACEBO_RATIO = (
    "size of the differences over that under the placebos, median over units; not a test"
)
UNEQUAL_TOKENS = (
    "The wordings differ in token count or in the position of the item. Every pair has this "
    "difference, so no sign flip removes it."
)
UNEQUAL_WORDINGS = 1.5
"""Ratio of the roles' SDs between wordings above which the level of the role test is in doubt: with
eight wordings per role, 6% instead of 5% for 48 heads (docs/role_test_level.md)."""
CONFOUNDED = "After the first step the trajectories differ by wording, which confounds the role."
SHARED_ITEMS = "The maps share their items, so agreement says nothing about new items."


def above(threshold: float) -> str:
    """|t| > 3, on one line."""
    return f"|t|\u00a0>\u00a0{threshold:g}"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Return notes on a run that a reader needs before any number, those that decide first."""
    return [*caveats(summary), *picture_notes(summary), *summary.get("remarks", [])]


def caveats(summary: Mapping[str, Any]) -> list[str]:
    """Return what may make the answer of a run wrong."""
    found = []
    if "placebo" in summary["contrast"]:
        found.append(
            f"This is a placebo: both lists hold wordings of the {summary['contrast']['placebo']} "
            "role. Whatever differs is due to the wording."
        )
    tokens = summary["tokens"]
    if not (tokens.get("equal_count", True) and tokens.get("equal_item_position", True)):
        found.append(UNEQUAL_TOKENS)
    for result in summary["results"].values():
        ratio = result.get("role_test", {}).get("wording_sd_ratio", 1.0)
        if max(ratio, 1 / ratio) > UNEQUAL_WORDINGS:
            role = "test" if ratio > 1 else "control"
            found.append(
                f"Wordings of the {role} role vary {significant(max(ratio, 1 / ratio))} times as "
                "much as those of the other (SD). The role test assumes that they vary equally; if "
                "they do not, it calls too many units."
            )
            break
    return found


SCENES_ARE = {
    "sample": "The role test asks whether the role holds over scenes like these; every other test "
    "averages over them.",
    "strata": "Every test averages over exactly these scenes: nothing is said of others.",
}


def picture_notes(summary: Mapping[str, Any]) -> list[str]:
    """Return notes on scenes, and on what the pictures of the two roles differ in."""
    found = []
    if "scenes" in summary:
        names = summary["scenes"]["names"]
        found.append(
            f"Every condition was measured on {len(names)} scenes ({', '.join(names)}). "
            f"{SCENES_ARE[summary['scenes']['are']]}"
        )
    pictures = summary.get("pictures", {})
    if "test" in pictures and "control" in pictures:
        sides = [pictures[role] for role in ("test", "control")]
        parts = [
            f"{name} {' and '.join(f'{side[name]:.1f}' for side in sides)}"
            for name in ("brightness", "contrast")
        ]
        colours = (" ".join(f"{value:.0f}" for value in side["colour"]) for side in sides)
        parts.append(f"mean colour {' and '.join(colours)}")
        said = f"Pictures of the test and the control role, from 0 to 255: {', '.join(parts)}"
        if "rms_difference" in pictures:
            said += f"; test and control differ by {pictures['rms_difference']:.1f} (RMS)"
        found.append(
            f"{said}. No sign flip removes such a difference; a placebo with mirrored pictures or "
            "with noise shows what it can do."
        )
    return found


def patterns(test: Mapping[str, Any]) -> str:
    """All 536,870,912, or random 10,000: the sign patterns of a test."""
    return f"{'all' if test['exact'] else 'random'} {test['patterns']:,}"


def familywise(alpha: float) -> str:
    """Return the level of a family-wise error."""
    return f"family-wise {percent(alpha)}"
