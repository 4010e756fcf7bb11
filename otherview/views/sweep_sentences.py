"""The findings of a combined sweep in sentences, for console and page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otherview.views.numbers import count, named, none_or, of_all, plural, verb
from otherview.views.vocabulary import NOUNS, above

Content = Mapping[str, Any]
MAX_NAMED = 8
"""Maximal number of units that are named."""


def answers(group: Content, unit_set: str, *, listing: bool = True) -> Iterator[str]:
    """Yield how many units follow the role and differ in every template; with `listing`, which."""
    result = group["results"][unit_set]

    def listed(units: list[str]) -> str:
        return f": {named(units, MAX_NAMED)}" if units and listing else ""

    items = plural(len(group["items"]), "item")
    of_model = f"of {count(result['units'])} {NOUNS[unit_set]} of {group['model']}"
    role = result.get("role_test")
    if role is not None and role["note"]:
        yield f"This study cannot show that any {of_model} follows the role: {role['note']}."
    elif role is not None:
        wordings = role["wordings"]
        yield (
            f"{none_or(role['called'])} {of_model} {verb(role['called'], 'follows', 'follow')} "
            f"the role over {count(wordings['test'])} test and {count(wordings['control'])} "
            f"control wordings and over {items}{listed(role['called_units'])}."
        )
        if role["frames"] > 1:
            yield (
                "Roles are compared and relabelled within each template and frame of wordings "
                f"({role['frames']} strata)."
            )
    tests = [test for test in result["contrasts"] if "placebo" not in test] or result["contrasts"]
    if note := next((test["note"] for test in tests if test["note"]), ""):
        yield f"This study cannot show that any {of_model} differs between wordings: {note}."
    elif (every := result.get("in_every_template")) is not None:
        templates = len(every["templates"])
        each = f", with one sign, in each of {templates} templates" if templates > 1 else ""
        yield (
            f"{none_or(every['units'])} {of_model} {verb(every['units'], 'differs', 'differ')} "
            f"family-wise{each}{listed(every['called'])}."
        )
    elif role is None:
        first = tests[0]
        yield (
            f"{none_or(first['familywise'])} {of_model} "
            f"{verb(first['familywise'], 'differs', 'differ')} family-wise under "
            f"{first['templates']}, over {items}."
        )
    if role is None:
        yield result.get("role_note", "Whether they follow the role was not tested.")


def comparison(combined: Content, group: Content, unit_set: str) -> str:
    """Return how many units the published reading, null models and placebos call; may be empty."""
    found = group["results"][unit_set]
    contrasts = largest_count(found, placebo=False)
    clauses = []
    if contrasts is not None:
        over = above(found["contrasts"][0]["counts"][0]["threshold"])
        clauses.append(
            f"{over} alone, as in the published reading, would call up to "
            f"{of_all(contrasts, found['units'])} under one template"
        )
    for other in combined["groups"]:
        null = other["results"].get(unit_set, {"contrasts": []})
        largest = largest_count(null, placebo=False)
        if other.get("null_of") != group["model"] or largest is None:
            continue
        called = (
            f", and the role test calls {none_or(null['role_test']['called']).lower()}"
            if "role_test" in null
            else ""
        )
        clauses.append(
            f"{other['model']}, a null model, has up to {count(largest)} of "
            f"{count(null['units'])}{called}"
        )
    placebos = largest_count(found, placebo=True)
    if placebos is not None:
        clauses.append(f"two wordings of the same role give up to {count(placebos)}")
    return f"{'; '.join(clauses)}." if clauses else ""


def other_groups(combined: Content, group: Content) -> str:
    """Return which groups of points are not the one that a page shows."""
    others = [each["title"] for each in combined["groups"] if each["id"] != group["id"]]
    return (
        f"This page is about {group['title']}. For {plural(len(others), 'other group')} of points "
        f"({named(others, MAX_NAMED)}) it has only the figures that compare groups; combined.json "
        "has everything."
    )


def largest_count(result: Content, *, placebo: bool) -> int | None:
    """Return the largest number of units over the lowest threshold, over contrasts or placebos."""
    counts = [
        int(test["counts"][0]["observed"])
        for test in result["contrasts"]
        if ("placebo" in test) == placebo
    ]
    return max(counts, default=None)
