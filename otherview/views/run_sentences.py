"""The findings of a run, and what it says of its registration, in sentences for all views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otherview.views.causes_sentences import (
    axis_sentences,
    headline,
    positive_sentence,
    predicted_sentences,
)
from otherview.views.numbers import (
    count,
    named,
    none_or,
    of_all,
    percent,
    plural,
    signed,
    significant,
    verb,
)
from otherview.views.vocabulary import (
    DIFFERS,
    FOLLOWS,
    NO_TEST,
    NOUNS,
    above,
    familywise,
    levels_of,
    main_result,
    patterns,
    row_name,
)

Summary = Mapping[str, Any]
MAX_FOREMOST = 3
"""Units that the answer names."""
MAX_NAMED = 6
"""Settings that a sentence names."""
MAX_TEXT = 160
"""Characters of a setting's value."""


def answer(
    summary: Summary, controls: Summary | None = None, interventions: Summary | None = None
) -> list[str]:
    """Return the answer: the finding, the effect of edits, and the limits of both."""
    unit_set, found, noun = main_result(summary)
    test, items = found["sign_flip"], plural(summary["items"], "item")
    reading = found["published_reading"]["counts"][0]
    of_model = f"of {count(found['units'])} {noun} of {summary['model']}"
    error = f"family-wise error {percent(test['alpha'])}"
    published = (
        f"{above(reading['threshold'])} alone, as in the published reading, would call "
        f"{of_all(reading['observed'], found['units'])}{placebo_clause(controls, unit_set)}"
    )
    if "placebo" in summary["contrast"]:
        role = summary["contrast"]["placebo"]
        first = differing(found, of_model, f"two sets of wordings of the same role ({role})")
        first += f", over {items} ({error})." if not test["note"] else "."
        last = f"This is a placebo, so the difference is due to the wording; {published}."
    elif "role_test" in found:
        role = found["role_test"]
        wordings = role["wordings"]
        scenes = f", {plural(role['scenes'], 'scene')}" if "scenes" in role else ""
        first = (
            f"{none_or(role['called'])} {of_model} {verb(role['called'], 'follows', 'follow')} "
            f"the role rather than the wording, over {wordings['test']} test and "
            f"{wordings['control']} control wordings{scenes} and over {items} ({error})"
            f"{foremost(found)}."
        )
        if role["note"]:
            first = f"This study cannot show that any {of_model} follows the role: {role['note']}."
        last = (
            f"{published}; {count(test['familywise'])} differ between these wordings family-wise, "
            "which any two sets of wordings may do."
        )
        if test["note"]:
            last = f"{published}."
    else:
        differ = "the two roles’ pictures" if "pictures" in summary else "the two wordings"
        first = differing(found, of_model, differ)
        first += f" over {items} ({error}{strongest(found)})." if not test["note"] else "."
        last = f"{summary['role_note']} {published[0].upper()}{published[1:]}."
    expected = expected_sentence(summary, found)
    said = [first, *([expected] if expected else [])]
    said += [*axis_sentences(summary, found), *predicted_sentences(found)]
    if interventions is not None:
        said = [*positive_sentence(interventions), *said, headline(interventions)]
    return [*said, last]


def differing(found: Summary, of_model: str, wordings: str) -> str:
    """Return how many units respond differently to `wordings`, or why none can be shown to."""
    test = found["sign_flip"]
    if test["note"]:
        return (
            f"This study cannot show that any {of_model} responds differently to {wordings}: "
            f"{test['note']}"
        )
    responds = verb(test["familywise"], "responds", "respond")
    return f"{none_or(test['familywise'])} {of_model} {responds} differently to {wordings}"


def foremost(found: Summary) -> str:
    """Return the units that the role test calls with the largest |t|, as the end of a sentence."""
    called = [row_name(row) for row in found["strongest"] if row.get("role_called")][:MAX_FOREMOST]
    more = "; the strongest are" if found["role_test"]["called"] > len(called) else ":"
    return f"{more} {named(called, MAX_FOREMOST)}" if called else ""


def strongest(found: Summary) -> str:
    row: Summary = next(iter(found["strongest"]), {})
    if "t" not in row:
        return ""
    effect = f", g = {signed(row['g'])}" if "g" in row else ""
    return f"; the strongest is {row_name(row)}, t = {signed(row['t'], 1)}{effect}"


def alone(result: Summary) -> int:
    """Return the number of units, however many noise levels each was measured at."""
    return int(result["units"]) // levels_of(result)


def level_sentences(unit_set: str, result: Summary) -> list[str]:
    """Return in one line what is found at each noise level; nothing where there is one."""
    rows = result.get("levels", ())
    if not rows:
        return []
    column, verb_ = ("called", FOLLOWS) if "called" in rows[0] else ("familywise", DIFFERS)
    numbers = [
        f"{count(row[column])} at {row['noise_level']:.4g}"
        f"{' (confounded)' if row['confounded'] else ''}"
        for row in rows
    ]
    noun = NOUNS[unit_set].capitalize()
    return [
        f"{noun} that {verb_}, by noise level (of {count(rows[0]['units'])}): "
        f"{', '.join(numbers)}. All {count(result['units'])} are tested together."
    ]


def placebo_clause(controls: Summary | None, unit_set: str) -> str:
    """Return the count that two wordings of one role give in the published reading, if any."""
    rows = [row for row in (controls or {}).get("contrasts", []) if row["kind"] == "placebo"]
    if not rows:
        return ""
    largest = max(row["results"][unit_set]["observed"] for row in rows)
    units = rows[0]["results"][unit_set]["units"]
    return f"; two wordings of the same role give up to {count(largest)} of {count(units)}"


def reasons(summary: Summary) -> list[tuple[str, str]]:
    """Return why the readings differ: the name of each reason, and the numbers of this run."""
    results, (unit_set, found, noun) = summary["results"], main_result(summary)
    units = NOUNS[unit_set]
    drawn, test = found["published_reading"], found["sign_flip"]
    row, exact = drawn["counts"][0], test["counts"][0]
    given = []
    if "slices16" in results and "heads" in results:
        slices = results["slices16"]
        mlp = slices["units_by_kind"].get("mlp", 0) // levels_of(slices)
        given.append((
            "What is counted.",
            "The published study counts slices of 16 channels of the image path. Here there are "
            f"{count(alone(slices))}, of which {of_all(mlp, alone(slices))} are MLP channels "
            "that belong to no head. All streams together have "
            f"{plural(alone(results['heads']), 'true head')}.",
        ))  # fmt: skip
    low, high = exact["null_p99_interval"]
    spread = "" if low == high else f" (95% interval {count(low)} to {count(high)})"
    beyond = max(round(drawn["flips"] / 100), 1)
    largest = "the largest one of them" if beyond == 1 else f"the largest {beyond} of them"
    given.append((
        "How well the null is known.",
        f"The published null has {plural(drawn['flips'], 'random flip')}, so its 99th percentile "
        f"({count(row['null_p99'])} for {above(row['threshold'])}) rests on {largest}. Over "
        f"{patterns(test)} patterns it is {count(exact['null_p99'])}{spread}: {units} are "
        "correlated, and a pattern that raises one raises its relatives. The ratio of observed to "
        "percentile is not an effect size, because it grows with the number of items.",
    ))  # fmt: skip
    which = (
        f"Corrected for all {count(found['units'])} at once "
        f"({familywise(test['alpha'])}), {count(test['familywise'])} "
        f"{verb(test['familywise'], 'is', 'are')} named."
    )
    if test["note"]:
        which = f"No test can name one: {test['note']}."
    given.append((
        f"Which {noun}.",
        f"A count says how many, not which. {which} Of the {count(row['observed'])} with "
        f"{above(row['threshold'])}, at least {count(exact['true_discoveries'])} are true, with "
        f"{percent(1 - test['alpha'])} confidence.",
    ))  # fmt: skip
    text = (
        "Neither reading can tell them apart with one wording per role: a difference that is in "
        "every pair survives every flip. Networks with random weights show it too."
    )
    if "role_test" in found:
        role = found["role_test"]
        text = (
            "Items are one sample, and wordings are another. One statistic whose standard error "
            f"holds both, over {count(role['items'])} items and {role['wordings']['test']} + "
            f"{role['wordings']['control']} wordings, tests whether a {units[:-1]} follows the "
            f"role: {count(role['called'])} of {count(found['units'])} {noun} do."
        )
        if role["note"]:
            text += f" It cannot call one here: {role['note']}."
    return [*given, ("The role or the wording.", text)]


def control_sentences(summary: Summary, controls: Summary) -> list[str]:
    """Return the findings of the controls that were run."""
    unit_set, found, noun = main_result(summary)
    own = controls["contrasts"][0]["results"][unit_set]
    said = []
    for row in controls["contrasts"]:
        result = row["results"][unit_set]
        if row["kind"] == "placebo":
            said.append(
                f"Two sets of wordings of the same role ({row['name']}): "
                f"{of_all(result['observed'], result['units'])} of {count(result['units'])} "
                f"{noun} have {above(result['threshold'])} all the same."
                f"{equivalence(result, own, noun, found['sign_flip']['alpha'])}"
            )
    for row in controls.get("selectivity", []):
        result = row["results"][unit_set]
        if row["contrast"] == controls["contrasts"][0]["name"]:
            ratio = ""
            if "median_ratio" in result:
                times = significant(result["median_ratio"])
                ratio = f"; the median effect is {times} times that of the placebos"
            said.append(
                f"{count(result['above_placebo'])} of {count(result['units'])} {noun} differ more "
                f"under {row['contrast']} than under the placebos{ratio}. {NO_TEST}"
            )
    if (shuffled := found.get("label_shuffle")) is not None:
        low, high = shuffled["interval"]
        said.append(
            f"With role labels shuffled over {shuffled['over']}, {count(shuffled['called_any'])} "
            f"of {plural(shuffled['shuffles'], 'shuffle')} "
            f"{verb(shuffled['called_any'], 'calls', 'call')} any unit "
            f"({percent(shuffled['rate'])}, 95% interval {percent(low)} to {percent(high)}; "
            f"nominal {percent(shuffled['nominal'])}), while the published reading still calls "
            f"{percent(shuffled['published_share'])} of the units on average."
        )
    if (split := found.get("wording_split")) is not None:
        survival = f" ({percent(split['survival'])})" if "survival" in split else ""
        said.append(
            "On half of the items under half of the wordings, the role test calls "
            f"{significant(split['mean_discovered'])} units on average; on the other halves it "
            f"calls {significant(split['mean_confirmed'])} of them again{survival}, over "
            f"{plural(split['splits'], 'random halving')}."
        )
    if (along := found.get("text_distance")) is not None:
        said.append(
            f"{plural(along['familywise'], 'unit')} "
            f"{verb(along['familywise'], 'has', 'have')} a family-wise trend along the measured "
            f"distance of the prompts in the text encoder, {count(along['both'])} along both axes."
        )
    return said


def equivalence(placebo: Summary, contrast: Summary, noun: str, alpha: float) -> str:
    """Return an upper bound on the differences under a placebo, for comparison with the contrast.

    Empty if either was not computed. The bound holds for all units together: two one-sided tests of
    each (Lakens 2017).
    """
    if "margin" not in placebo or "largest" not in contrast:
        return ""
    return (
        f" With {percent(1 - alpha)} confidence, none of all {noun} differs by more than "
        f"{significant(placebo['margin'])}; the largest difference under the study’s own wordings "
        f"is {significant(contrast['largest'])}."
    )


def registration_sentence(summary: Mapping[str, Any]) -> str | None:
    """Return whether the study of a result is the registered one; None if none was registered."""
    found = summary.get("registration")
    if found is None:
        return None
    when = f"registered {moment(found['registered'])}, SHA-256 {found['sha256'][:16]}…"
    differs = [each["setting"] for each in found["differs"]]
    if differs:
        settings = named(differs, MAX_NAMED)
        said = f"This is not the registered study ({when}): it differs in {settings}."
    elif found["before_measurement"]:
        said = f"Registered before measurement, unchanged ({when})."
    else:
        began = moment(found["measured"])
        said = f"Unchanged, but registered only after measuring had begun on {began} ({when})."
    versions = found.get("versions")
    return f"{said} Made with other versions: {versions}." if versions else said


def registered_differences(summary: Mapping[str, Any]) -> list[str]:
    """Return one line per setting in which a study differs from the registered one."""
    return [
        f"{each['setting']}: registered {short(each['registered'])}, run {short(each['run'])}"
        if "run" in each
        else each["setting"]
        for each in summary.get("registration", {}).get("differs", ())
    ]


def short(value: Any) -> str:
    """Return a setting as text, its middle left out if it is long."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]} … {text[-MAX_TEXT // 2 :]}"


def moment(written: str) -> str:
    """Return a time in UTC as text: 2026-11-26 23:05 UTC."""
    return f"{written[:16].replace('T', ' ')} UTC"


def expected_sentence(summary: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Return how many called units went the way that the study expected; None without one."""
    expected = found.get("expected")
    if expected is None or not expected["called"]:
        return None
    way = "more" if summary["contrast"]["expected"] == "higher" else "less"
    right, called = expected["as_expected"], expected["called"]
    return (
        f"{count(right)} of the {count(called)} {verb(right, 'responds', 'respond')} {way} under "
        "the test role, as the study expected."
    )
