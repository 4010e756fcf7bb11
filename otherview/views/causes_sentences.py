"""What edits of heads do, and what gradients predict of them, in sentences for console and page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from otherview.causes.verdicts import (
    ON_THE_WAY,
    POSITIVE,
    SENTENCES,
    VERDICTS,
    WITHOUT_EFFECT,
    Effect,
    Verdict,
)
from otherview.views.numbers import (
    count,
    decimal,
    named,
    none_or,
    percent,
    plural,
    significant,
    verb,
)

Summary = Mapping[str, Any]

DONE = {
    "ablate": "Ablating ({})",
    "scale": "Scaling (factor {})",
    "patch": "Patching (another {})",
    "steer": "Steering ({})",
}
EDITED = {"ablate": "Ablated", "scale": "Scaled", "patch": "Patched", "steer": "Steered"}
WITHOUT = {
    Effect.TEST: ("control",),
    Effect.CONTROL: ("test",),
    Effect.NOTHING: ("test", "control"),
}
"""Roles on which single heads have no effect of their own, by their verdict."""
COMPARED = {"steer": "random axes"}
"""What selected heads are compared with, by kind of edit; random heads otherwise."""
CORRELATED = {
    "signed_role_t": "t of the role test",
    "role_t": "|t| of the role test",
    "signed_t": "published t",
    "t": "published |t|",
}
"""What is correlated with specificity."""
AGREEING = {
    "toward_test": "way of the test role",
    "toward_control": "way of the control role",
    "specificity": "specificity",
    "change_test": "test role",
    "change_control": "control",
}
"""What is predicted and measured."""


def positive_sentence(interventions: Summary) -> list[str]:
    """Return the heads that differ and whose edits show that the role depends on them, if any."""
    by_effect = {
        verdict.effect: heads
        for key, heads in interventions["verdicts"].items()
        if (verdict := VERDICTS[key]).positive
    }
    said = [
        f"{'each of ' if len(heads) > 1 else ''}{named(heads, 5)} {SENTENCES[effect]}"
        for effect in POSITIVE
        if (heads := by_effect.get(effect))
    ]
    edited, variant = EDITED[interventions["kind"]], interventions["variants"][0]
    return [f"{edited} alone ({variant}), {'; '.join(said)}."] if said else []


def predicted_sentences(found: Summary) -> list[str]:
    """Return what zeroing heads is predicted to do, and where the prediction fails; or nothing."""
    predicted = found.get("predicted_change")
    if predicted is None:
        return []
    called, floor = predicted["called_units"], percent(predicted["floor"])
    said = (
        "Zeroed alone, by gradients, "
        f"{none_or(len(called)).lower()} of {count(found['units'])} heads "
        f"{verb(len(called), 'changes', 'change')} the roles differently by more than {floor} of "
        "the prediction"
        f"{f' ({named(called, 5)})' if called else ''}."
    )
    if sites := predicted.get("first_order_fails_at"):
        these = verb(len(sites), "this site changes", "these sites change")
        said += (
            f" First order does not hold at {named(sites, 8)}: zeroed whole, {these} "
            "the prediction by less than half or more than twice of what is predicted, so that a "
            f"small prediction says nothing of {verb(len(sites), 'its', 'their')} heads."
            f"{zeroed_alone(predicted)}"
        )
    return [said, *toward_sentences(found)]


def zeroed_alone(predicted: Summary) -> str:
    """Return which heads of those sites fail when zeroed alone; empty where none was."""
    if "zeroed_alone" not in predicted:
        return ""
    fail = predicted["first_order_fails_for"]
    return (
        f" Zeroed alone, {none_or(len(fail)).lower()} of these {count(predicted['zeroed_alone'])} "
        f"heads {verb(len(fail), 'does', 'do')} so{f' ({named(fail, 8)})' if fail else ''}."
    )


def toward_sentences(found: Summary) -> list[str]:
    """Return which heads are predicted to carry the role under a patch; nothing without."""
    toward = found.get("predicted_toward")
    if toward is None:
        return []
    far = [r for r in toward["farthest"] if max(r["test"], r["control"]) >= ON_THE_WAY]
    if not far:
        return [
            "By gradients, a patch from the other role moves neither role a quarter of the way to "
            f"the other, whichever of the {count(found['units'])} heads is patched."
        ]
    ways = [f"{r['unit']} by {decimal(r['test'])} and {decimal(r['control'])}" for r in far]
    return [
        "By gradients, a patch from the other role moves the predictions of test and control role "
        f"toward each other’s (1 is all the way): {'; '.join(ways)}."
    ]


def axis_sentences(summary: Summary, found: Summary) -> list[str]:
    """Return whether heads hold an axis of the role that is separable from the other role."""
    axes = found.get("axes")
    if axes is None:
        return []
    contrast, called = summary["contrast"], axes["called"]
    asked = (
        f"A representational axis of “{contrast['test'][0]}”, separable from "
        f"“{contrast['control'][0]}”"
    )
    if len(contrast["test"]) > 1:
        asked += " (and of the other wordings of the two roles)"
    tested = f"over items and wordings (family-wise error {percent(axes['alpha'])})"
    if not called:
        why = ""
        if axes["smallest_p"] > axes["alpha"]:
            why = f"; with these wordings no p can be below {significant(axes['smallest_p'])}"
        return [f"{asked}, is not shown in any of {count(found['units'])} heads, {tested}{why}."]
    said = (
        f"{asked}, is found in {count(called)} of {count(found['units'])} heads, {tested}: "
        f"{named(axes['called_units'], 3)}."
    )
    if "median_decoding_of_called" in axes:
        said += (
            " On items and wordings on which it was not found, it tells the roles apart in "
            f"{percent(axes['median_decoding_of_called'])} of the responses (median of these "
            f"heads; lowest {percent(axes['lowest_decoding_of_called'])}; half is chance), and "
            "axes from other items and wordings have a cosine of "
            f"{decimal(axes['median_cosine_of_called'])} (median)."
        )
    return [f"{said} That heads write it does not say that the prediction uses it."]


def edge_sentences(edges: Summary | None) -> list[str]:
    """Return through which later heads the traced heads act, one sentence per head; or nothing."""
    if edges is None:
        return []
    if not edges["sources"]:
        return ["No head is called by its predicted change, so no edges were traced."]
    said = []
    for source in edges["sources"]:
        role = max(source["toward"], key=lambda each: source["toward"][each])
        way, rows = source["toward"][role], source["edges"]
        strongest = sorted(rows, key=itemgetter(role), reverse=True)[:3]
        through = ", ".join(
            f"{row['head']} ({significant(row[role])})" for row in strongest if row[role] > 0
        )
        said.append(
            f"{source['head']}, patched, moves the {role} role {significant(way)} of the way to "
            f"the other role’s prediction"
            + (f", first of all through {through}." if through else ", through no later head.")
        )
    if (more := edges["called"] - len(edges["sources"])) > 0:
        said.append(f"{plural(more, 'more called head')} {verb(more, 'was', 'were')} not traced.")
    return said


def headline(found: Summary) -> str:
    """Return the effect of editing the selected heads, from `interventions.json`."""
    heads, main = found["selection"]["heads"], found["variants"][0]
    if not heads:
        return f"No head was selected ({selecting(found['selection'])}), so no set was edited."
    if found["kind"] == "steer":
        return steering_sentence(found)
    wanted = ("selected", main, "change")
    sets, (more,) = (
        [row for row in found[kind] if (row["set"], row["variant"], row["measure"]) == wanted]
        for kind in ("sets", "specificity")
    )
    roles = " and of the ".join(f"{row['role']} role by {with_null(row)}" for row in sets)
    counted = f"{len(heads)} heads ({named(heads, 3)})" if len(heads) > 1 else heads[0]
    return (
        f"{DONE[found['kind']].format(main)} {counted} changes the prediction of the {roles}; "
        f"difference {with_null(more)}."
    )


def selecting(selection: Summary) -> str:
    """Return the rule that selected heads, and on how many of the items where not on all."""
    chose, measured = len(selection["discovery_items"]), len(selection["measured_items"])
    on = f" on {chose} of {chose + measured} items" if selection.get("disjoint") else ""
    return f"{selection['rule']}{on}"


def steering_sentence(found: Summary) -> str:
    """Return what the axes of the selected heads did, where they were found and measured."""
    heads, main, axes = found["selection"]["heads"], found["variants"][0], found["axes"]
    rows = {
        (row["role"], row["measure"]): row
        for row in found["sets"]
        if (row["set"], row["variant"]) == ("selected", main)
    }
    ways = [
        f"{said} goes {significant(rows[role, 'toward']['value'])} of the way to the other role’s "
        f"prediction ({other_axes(rows[role, 'toward'])})"
        for role, said in (
            ("test", "taken away, the test role"), ("control", "added, the control role")
        )
    ]  # fmt: skip
    text = f"The axes of {named(heads, 3)} ({main}): {'; '.join(ways)}."
    pictures = [
        f"{percent(rows[role, measure]['value'])} of the {role} role’s pictures become {what} "
        f"({other_axes(rows[role, measure], percent)})"
        for role, measure, what in (
            ("test", "reference", "the plain reference"),
            ("test", "other", "the other role’s picture"),
            ("control", "other", "the other role’s picture"),
            ("control", "other_role", "a picture of the other role, of this or another item"),
        )
        if (role, measure) in rows
    ]  # fmt: skip
    if pictures:
        text += f" {'; '.join(pictures)}."
    held = "other" if axes["wordings_held_out"] else "the same"
    wordings = {role: len(own) for role, own in axes["wordings"].items()}
    measured = {role: len(own) for role, own in axes["measured_wordings"].items()}
    return (
        f"{text} The axes were found on {plural(len(axes['items']), 'item')} and "
        f"{wordings['test']} + {wordings['control']} wordings, and measured on "
        f"{plural(len(found['selection']['measured_items']), 'other item')} and {held} "
        f"{measured['test']} + {measured['control']} wordings."
    )


def other_axes(row: Summary, form: Callable[[float], str] = significant) -> str:
    """Return what other axes of the same length do: random ones and placebos."""
    said = []
    if "null_mean" in row:
        said.append(f"random axes {form(row['null_mean'])}, p = {significant(row['p'])}")
    if "placebo_mean" in row:
        said.append(f"placebo axes {form(row['placebo_mean'])}")
    return "; ".join(said)


def with_null(row: Summary) -> str:
    value = significant(row["value"])
    if "p" not in row:
        return value
    return f"{value} (random sets: {significant(row['null_mean'])}, p = {significant(row['p'])})"


def verdict_rows(found: Summary) -> list[tuple[str, str]]:
    """Return each verdict with its heads and bounds: those of the answer, other effects, none."""

    def standing(verdict: Verdict, heads: list[str]) -> tuple[int, int]:
        if verdict.positive:
            return 0, POSITIVE.index(verdict.effect)
        return 2 if verdict.effect in WITHOUT_EFFECT else 1, len(heads)

    rows = [(VERDICTS[key], heads) for key, heads in found["verdicts"].items()]
    rows.sort(key=lambda row: standing(*row))
    said = {True: "differs; ", False: "does not differ; ", None: ""}
    return [
        (
            f"{said[verdict.differs]}{SENTENCES[verdict.effect]} ({len(heads)})",
            named(heads, 12) + no_effect_above(found, verdict),
        )
        for verdict, heads in rows
    ]


def no_effect_above(found: Summary, verdict: Verdict) -> str:
    """Return an upper bound on the effects that a verdict denies; empty where there is none."""
    roles, bounds = WITHOUT.get(verdict.effect, ()), found["bounds"].get(verdict.key)
    if not roles or bounds is None:
        return ""
    confidence, bound = percent(1 - found["alpha"]), max(bounds[role] for role in roles)
    return f". No {' or '.join(roles)} effect above {significant(bound)} ({confidence} confidence)"


def correlations(found: Summary) -> str:
    """Return the rank correlations of the statistics with the specificity of edits."""
    of = found["correlation"]
    said = [f"{decimal(of[name])} for {title}" for name, title in CORRELATED.items() if name in of]
    title = f"Rank correlation with specificity over {of.get('heads')} heads"
    return f"{title}: {'; '.join(said)}." if said else ""


def agreement_sentence(found: Summary) -> str:
    """Return how predicted and measured changes correlate; empty without a prediction."""
    of = found["agreement"]
    said = [
        f"{title} Spearman {decimal(of[name]['spearman'])}, Pearson {decimal(of[name]['pearson'])}"
        for name, title in AGREEING.items()
        if name in of
    ]
    title = f"Predicted and measured changes of {of.get('heads')} heads"
    return f"{title}: {'; '.join(said)}." if said else ""
