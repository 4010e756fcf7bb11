"""A comparison of two models in sentences, for console and page."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from otherview.views.numbers import (
    count,
    decimal,
    none_or,
    percent,
    plural,
    significant,
    verb,
)
from otherview.views.vocabulary import RESPONSES, main_result, main_unit_set, row_name, rows_noun

Content = Mapping[str, Any]
"""Content of comparison.json, or a part of it."""
UNEQUAL_LEVELS = 1.25
"""Typical ratio of the levels of two models from which their scales count as different."""
MAX_NAMED = 6
"""Items, sites and names that a sentence lists."""
MAX_VALUE = 80
"""Characters of a setting's value."""


def labels(comparison: Content) -> tuple[str, str]:
    """Return what A and B are called: by model, or with a letter if both have one name."""
    a, b = comparison["a"]["model"], comparison["b"]["model"]
    return (a, b) if a != b else (f"A ({a})", f"B ({b})")


def comparison_answer(comparison: Content) -> list[str]:
    """Return the finding, its strongest unit, and whether scale may explain it."""
    contrast = comparison["contrasts"][0]
    _, found, noun = main_result(contrast)
    return [
        headline(comparison, contrast),
        *between_wordings(found, noun),
        *strongest_sentence(comparison, found),
        scale_sentence(comparison, found),
    ]


def headline(comparison: Content, contrast: Content) -> str:
    """Return how many units have effects that differ, and in which model they are larger."""
    (_, found, noun), (a, b) = main_result(contrast), labels(comparison)
    test, of_units = found.get("role_test", found), f"of {count(found['units'])} {noun}"
    if note := found["note"] or test["note"]:
        return (
            f"This comparison cannot show that any {of_units} has another role effect in {a} than "
            f"in {b}: {note}."
        )
    if test is found:
        number, over = found["familywise"], ""
        differs = f"{verb(number, 'has', 'have')} an effect of {contrast['name']} that differs"
        differs += f" between {a} and {b}"
    else:
        number, wordings = test["called"], test["wordings"]
        differs = f"{verb(number, 'follows', 'follow')} the role differently in {a} and {b}"
        over = f"over {wordings['test']} test and {wordings['control']} control wordings"
        over += f", over {count(test['scenes'])} scenes and " if "scenes" in test else " and "
    return (
        f"{none_or(number)} {of_units} {differs}, {over}over "
        f"{plural(len(comparison['items']), 'item')} (family-wise error "
        f"{percent(test['alpha'])}).{directions(test, number, (a, b))}"
    )


def directions(found: Content, number: int, names: tuple[str, str]) -> str:
    """Return in which model the effects that differ are larger; empty if none differs."""
    if number == 0:
        return ""
    sizes = [
        f"larger in {model} in {count(found[key])}"
        for key, model in zip(("larger_in_a", "larger_in_b"), names, strict=True)
        if found[key]
    ]
    opposite = (
        f"; in {count(found['opposite'])} the signs are opposite" if found["opposite"] else ""
    )
    return f" The effect is {' and '.join(sizes)}{opposite}."


def strongest_sentence(comparison: Content, found: Content) -> list[str]:
    """Return the first of the strongest units, with both effects; nothing if none has a t."""
    if not found["strongest"]:
        return []
    row, (a, b) = found["strongest"][0], labels(comparison)
    effects = [significant(row[f"effect_{which}"]) for which in "ab"]
    name = "role_t" if "role_t" in row else "t"
    return [
        f"The surest difference is that of {row_name(row)}: {effects[0]} in {a}, {effects[1]} in "
        f"{b} ({name.replace('_', ' ')} = {decimal(row[name], 1)})."
    ]


def between_wordings(found: Content, noun: str) -> list[str]:
    """Return how many units differ over items alone, where wordings are tested, too."""
    if "role_test" not in found or found["note"]:
        return []
    number = found["familywise"]
    return [
        f"{none_or(number)} of {count(found['units'])} {noun} {verb(number, 'differs', 'differ')} "
        "over items alone, between these wordings: any two models may, under any wordings."
    ]


def scale_sentence(comparison: Content, found: Content) -> str:
    """Return whether the scale of activations may explain the differences."""
    a, b = labels(comparison)
    if comparison["reading"]["response"] == "log_rms":
        return (
            "The response is log RMS: effects are relative changes, so the scale of a model's "
            "activations does not matter."
        )
    ratio = found.get("level_ratio")
    if ratio is None:
        return ""
    spread = f"{significant(ratio['low'])} to {significant(ratio['high'])} for nine in ten"
    if ratio["typical"] < UNEQUAL_LEVELS:
        return (
            f"Responses have about one scale in both models (ratio {a} to {b}: median "
            f"{significant(ratio['median'])}; {spread})."
        )
    return (
        f"The responses themselves are {significant(ratio['median'])} times as large in {a} as in "
        f"{b} (median over {count(found['units'])}; {spread}), so the same relative effect is "
        "larger where responses are. --response log_rms compares relative effects."
    )


def contrast_sentences(comparison: Content) -> list[str]:
    """Return what the placebos say of the differences: two wordings of one role."""
    said = []
    lead = comparison["contrasts"][0]
    unit_set = main_unit_set(lead)
    for contrast in comparison["contrasts"]:
        found = contrast["results"][unit_set]
        if "placebo" in contrast and contrast is not lead and not found["note"]:
            number = found["familywise"]
            said.append(
                f"Under {contrast['name']}, two sets of wordings of the same role, the effects of "
                f"{count(number)} of {count(found['units'])} {rows_noun(unit_set, found)} "
                "differ between the models, too: so many differ without any role."
            )
    return said


def mismatch_sentences(comparison: Content) -> list[str]:
    """Return what differs between the two results besides the model, one sentence each."""
    return [SENTENCES[row["kind"]](row) for row in comparison["mismatches"]]


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def value(given: Any) -> str:
    """Return a setting's value as one writes it, shortened."""
    written = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return textwrap.shorten(written, MAX_VALUE, placeholder=" …")


def of_setting(row: Content) -> str:
    said = f"{row['setting']} is {value(row['a'])} in A and {value(row['b'])} in B"
    if row["setting"] == "seed":
        return f"{said}: each has noise of its own."
    if row["setting"] in ("capture.response", "capture.tokens"):
        return f"{said}: both are read as A."
    if row["setting"].startswith("nulls."):
        return f"{said}: the comparison uses that of A."
    return f"{said}."


def only_in(row: Content, form: Callable[[Any], str] = str, *, counted: bool = False) -> str:
    """Return what only one of two results has, by `only_a` and `only_b` of a mismatch."""
    return "; ".join(
        f"{count(len(row[key])) + ' ' if counted else ''}only in {model}: "
        f"{listed([form(each) for each in row[key]])}"
        for key, model in (("only_a", "A"), ("only_b", "B"))
        if row[key]
    )


def in_both(row: Content, form: Callable[[Any], str] = str) -> str:
    """Return two mappings as text: torch 2.8.0 in A, torch 2.9.0 in B."""
    return ", ".join(
        f"{', '.join(f'{name} {form(each)}' for name, each in row[which].items())} in {model}"
        for which, model in (("a", "A"), ("b", "B"))
    ).replace("_", " ")


SENTENCES: Mapping[str, Callable[[Content], str]] = {
    "setting": of_setting,
    "items": lambda row: (
        f"The items differ: the {count(row['shared'])} that both have are compared "
        f"({only_in(row, counted=True)})."
    ),
    "item_prompts": lambda row: (
        f"{plural(len(row['items']), 'item')} with the same name and other prompts left out: "
        f"{listed(row['items'])}."
    ),
    "item_order": lambda _: "The items are in another order in B: they are matched by name.",
    "wordings": lambda row: (
        f"The wordings of {row['contrast']} differ between the results: it is left out."
    ),
    "contrasts_only_a": lambda row: f"Only A has {listed(row['contrasts'])}: left out.",
    "contrasts_only_b": lambda row: f"Only B has {listed(row['contrasts'])}: left out.",
    "own_contrast": lambda row: (
        f"The studies' own contrasts differ: {row['a']} in A, {row['b']} in B."
    ),
    "sites": lambda row: (
        f"The architectures differ: the {count(row['shared'])} sites that are alike in both are "
        f"compared ({only_in(row)})."
    ),
    "token_groups": lambda row: (
        f"Sites see other tokens ({listed(row['sites'])}): {', '.join(row['a'])} in A, "
        f"{', '.join(row['b'])} in B."
    ),
    "units_only_a": lambda row: f"Only A has {listed(row['units'])}: left out.",
    "units_only_b": lambda row: f"Only B has {listed(row['units'])}: left out.",
    "reference": lambda row: (
        f"The reference pictures differ{', because each model draws its own' * row['drawn']}: a "
        "difference may be one of the pictures, and not of the models. scene.image=FILE gives both "
        "one picture."
    ),
    "reference_missing": lambda row: (
        f"{row['result']} has no reference picture and the other result has one."
    ),
    "step": lambda row: (
        f"The measured steps differ: {in_both(row, lambda each: significant(each, 4))}."
    ),
    "levels": lambda row: (
        "The noise levels differ: those that both have are compared "
        f"({only_in(row, lambda level: significant(level, 4))})."
    ),
    "own_latents": lambda _: (
        "The steps are those of trajectories: after the first, the latents differ by wording and "
        "by model, so effects there also differ by where a trajectory went."
    ),
    "same_model": lambda _: "Both results are of one model, with the same weights and settings.",
    "code": lambda _: "The results were measured by different versions of otherview's code.",
    "libraries": lambda row: f"Library versions differ: {in_both(row)}.",
    "device_name": lambda row: (
        f"The machines differ: {value(row['a'])} for A, {value(row['b'])} for B. Low precision "
        "rounds differently on each."
    ),
    "changed": lambda row: f"{row['result']}: {row['reason']}.",
}
"""By kind of mismatch."""
NO_MISMATCH = "Nothing but the model differs between the results."


def reading_words(comparison: Content) -> str:
    """Return what is compared: RMS over all tokens."""
    reading = comparison["reading"]
    return f"{RESPONSES[reading['response']]} over {reading['tokens']} tokens"
