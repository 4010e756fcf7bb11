"""Why the published reading and the corrected ones differ, and what the figures show, in words."""

from __future__ import annotations

from typing import Any

from otherview.views.figures.null_figures import NOUNS
from otherview.views.figures.numbers import count, percent, plural, significant


def reasons(summary: dict[str, Any], unit_set: str) -> list[tuple[str, str]]:
    """Each reason as its name and a sentence or two with this result's numbers."""
    results = summary["results"]
    found = results[unit_set]
    return [
        reason
        for reason in (
            what_is_counted(results),
            how_many_flips(found),
            which_units(found, NOUNS[unit_set]),
            role_or_words(found, NOUNS[unit_set]),
        )
        if reason is not None
    ]


def what_is_counted(results: dict[str, Any]) -> tuple[str, str] | None:
    slices = results.get("slices16")
    if slices is None or "heads" not in results:
        return None
    mlp = slices["units_by_kind"].get("mlp", 0)
    return (
        "What is counted.",
        "The published study counts slices of 16 channels of the image path: "
        f"{count(slices['units'])} "
        f"here, of which {count(mlp)} ({percent(mlp / slices['units'])}) are MLP channels that "
        "belong "
        f"to no head. True heads of all streams are {count(results['heads']['units'])}.",
    )


def how_many_flips(found: dict[str, Any]) -> tuple[str, str]:
    drawn, test = found["published_reading"], found["sign_flip"]
    row, exact = drawn["counts"][0], test["counts"][0]
    low, high = exact["null_p99_interval"]
    spread = "" if low == high else f" (95% interval {count(low)} to {count(high)})"
    patterns = f"{'all' if test['exact'] else 'random'} {count(test['patterns'])}"
    return (
        "How well the null is known.",
        f"The published null has {plural(drawn['flips'], 'random flip')}, so that its 99th "
        "percentile "
        f"({significant(row['null_p99'])} for |t|\u00a0>\u00a0{row['threshold']:g}) rests on "
        f"{beyond_p99(drawn['flips'])}. Over {patterns} patterns it is "
        f"{count(exact['null_p99'])}{spread}: heads are correlated, and a pattern that lifts one "
        "lifts its relatives. The ratio of observed to percentile is no effect size; it grows with "
        "the number of items.",
    )


def beyond_p99(flips: int) -> str:
    beyond = max(round(flips / 100), 1)
    return "the largest one of them" if beyond == 1 else f"the largest {beyond} of them"


def which_units(found: dict[str, Any], noun: str) -> tuple[str, str]:
    test = found["sign_flip"]
    row = test["counts"][0]
    return (
        f"Which {noun}.",
        f"A count says how many, not which. Corrected for all {count(found['units'])} at once "
        f"(family-wise {percent(test['alpha'])}) {count(test['familywise'])} are named; of the "
        f"{count(row['observed'])} with |t|\u00a0>\u00a0{row['threshold']:g} at least "
        f"{count(row['true_discoveries'])} are true, with {percent(1 - test['alpha'])} confidence.",
    )


def role_or_words(found: dict[str, Any], noun: str) -> tuple[str, str]:
    if "role_test" not in found:
        return (
            "The role or the words.",
            "Neither reading can tell them apart here: there is one wording a role, and a "
            "difference "
            "that is in every pair survives every flip. Networks with random weights show it too.",
        )
    role = found["role_test"]
    return (
        "The role or the words.",
        f"Items are one sample, wordings another. Permuting the role labels over "
        f"{role['wordings']['test']} + {role['wordings']['control']} wordings asks whether a head "
        f"follows the role: {count(role['called'])} do, {count(role['fails_wordings'])} "
        f"of the {count(found['units'])} {noun} fail over wordings.",
    )


def count_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of the table of counts: every unit set and threshold, and what a publication reports."""
    rows = []
    for unit_set, found in summary["results"].items():
        title = f"{count(found['units'])} {NOUNS[unit_set]}"
        exact = {row["threshold"]: row for row in found["sign_flip"]["counts"]}
        for row in found["published_reading"]["counts"]:
            test = exact[row["threshold"]]
            rows.append(
                [*published_cells(title, row, found["units"]),
                 f"{significant(test['null_mean'])} ± {significant(test['null_sd'])}",
                 count(test["null_p99"]), significant(test["p"])]
            )  # fmt: skip
    figures = summary.get("published_figures")
    if figures:
        title = f"as published, {count(figures['units'])}"
        rows += [
            [*published_cells(title, row, figures["units"]), "–", "–", "–"]
            for row in figures["counts"]
        ]
    return rows


def published_cells(title: str, row: dict[str, Any], units: int) -> list[str]:
    above = row["null_p99"]
    return [
        title,
        f"{row['threshold']:g}",
        count(row["observed"]),
        percent(row["observed"] / units),
        significant(row["null_mean"]),
        significant(above),
        f"{significant(row['observed'] / above)}×" if above else "–",
    ]


def captions(summary: dict[str, Any], unit_set: str) -> dict[str, str]:
    """What the run's figures show, by the template's name for each."""
    found = summary["results"][unit_set]
    test = found["sign_flip"]
    level = percent(test["alpha"])
    by_role = (
        " A diamond marks heads that follow the role over wordings and items."
        if "role_test" in found
        else ""
    )
    scale = {"rms": "RMS", "log_rms": "log RMS"}[summary["reading"]["response"]]
    critical = (
        f" The dot is the critical |t|: {test['critical_t']:.2f} or more is reached by chance in "
        f"{level} of the patterns."
        if "critical_t" in test
        else ""
    )
    return {
        "head_map_caption": (
            "A column is a block of one stream, in the order of the network; a row is a head. "
            "Colour "
            "is the effect: orange where the response is larger under the test wordings, blue "
            "where "
            "it is larger under the control wordings; linear to 0.5, logarithmic beyond. A dot "
            "marks "
            f"heads that differ family-wise at {level}.{by_role}"
        ),
        "nulls_caption": (
            f"Left to right: {NOUNS[unit_set]} over each threshold, and the largest |t| of all. "
            f"Blue: {'all ' if test['exact'] else 'random '}{count(test['patterns'])} patterns; "
            f"orange: the {found['published_reading']['flips']} random flips of the published "
            f"reading.{critical} The observed pattern is one of the patterns, so that no curve "
            "ends "
            "before it."
            if test["exact"]
            else f"Blue: {count(test['patterns'])} random patterns; orange: the "
            f"{found['published_reading']['flips']} random flips of the published "
            f"reading.{critical}"
        ),
        "axis_caption": (
            f"Difference in {scale}, test less control, of every item for the strongest heads"
            f"{', those that follow the role first' if 'role_test' in found else ''}. Each "
            "head has a "
            "scale of its own."
        ),
    }
