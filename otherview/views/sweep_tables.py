"""The tables of a combined sweep, for all views, and what the console shows, from combined.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from otherview.views.console import say
from otherview.views.numbers import (
    DASH,
    count,
    decimal,
    known,
    of_all,
    percent,
    plural,
    significant,
)
from otherview.views.run_tables import DESIGN, design_cells
from otherview.views.sweep_sentences import MAX_NAMED, answers, comparison
from otherview.views.table_model import Table, print_table
from otherview.views.vocabulary import (
    COMPONENTS,
    DIFFERS,
    FOLLOWS,
    LARGEST,
    NOUNS,
    PLACEBO_RATIO,
    SHARED_ITEMS,
    above,
)

Content = Mapping[str, Any]
ALL_TEMPLATES = "all templates"


correlation = partial(decimal, digits=3)


def templates_table(group: Content, unit_sets: Sequence[str]) -> Table:
    """Return one row per template and placebo, and one for all templates together."""
    contrasts = {row["templates"]: row for row in group["contrasts"]}
    rows = []
    for unit_set in unit_sets:
        result = group["results"][unit_set]
        several = f", {NOUNS[unit_set]}" if len(unit_sets) > 1 else ""
        seeds = {row["templates"]: row for row in result["agreement"]["between_seeds"]}
        ratios = {row["templates"]: row for row in result.get("selectivity", [])}
        for test in result["contrasts"]:
            name = test["templates"]
            agreement = seeds.get(name, {}).get("pearson", {})
            kind = f"placebo: {test['placebo']}" if "placebo" in test else "contrast"
            rows.append([f"{name}{several}", *test_cells(test, result["units"]),
                         *(known(agreement.get(of), correlation) for of in ("mean", "lowest")),
                         known(ratios.get(name, {}).get("median_ratio"), decimal),
                         *design_cells(contrasts[name], kind)])  # fmt: skip
        if "pooled" in result:
            cells = test_cells(result["pooled"], result["units"])
            rows.append([f"{ALL_TEMPLATES}{several}", *cells, *[""] * 6])
    return Table(
        "sign flips of items, seeds averaged",
        ["template", "seeds", above(group["thresholds"][0]), DIFFERS, LARGEST, "mean r",
         "lowest r", "× placebo", *DESIGN],
        rows,
        words=DESIGN[:1],
        meanings={"mean r": "Pearson correlation of the t-maps of two seeds, mean over pairs",
                  "× placebo": PLACEBO_RATIO, "wordings": "test + control"},
    )  # fmt: skip


def test_cells(test: Content, units: int) -> list[str]:
    differing = DASH if test["note"] else count(test["familywise"])
    return [count(test["seeds"]), of_all(test["counts"][0]["observed"], units), differing,
            known(test.get("max_abs_t"), decimal)]  # fmt: skip


def chance_table(group: Content, result: Content) -> Table:
    """Return observed counts with their null: one row per test and threshold, pooled ones first."""
    pooled = [(f"over {ALL_TEMPLATES}", result["pooled"])] if "pooled" in result else []
    tests = [*pooled, *((test["templates"], test) for test in result["contrasts"])]
    return Table(
        "observed against chance",
        ["template", "|t| >", "observed", "null mean ± SD", "null p99", "p of the count",
         f"true, with {percent(1 - group['alpha'])} confidence", LARGEST, "critical |t|"],
        [[name, f"{row['threshold']:g}", of_all(row["observed"], result["units"]),
          f"{significant(row['null_mean'])} ± {significant(row['null_sd'])}",
          count(row["null_p99"]), significant(row["p"]), count(row["true_discoveries"]),
          known(test.get("max_abs_t"), decimal), known(test.get("critical_t"), decimal)]
         for name, test in tests for row in test["counts"]],
        keys=2,
    )  # fmt: skip


def variance_table(unit_set: str, result: Content) -> Table:
    """Return the shares of the variance components, with quartiles over units."""
    found = result["variance"]
    return Table(
        f"variance of the differences, {NOUNS[unit_set]}",
        ["component", "median share", "quartiles"],
        [[COMPONENTS[name], percent(share["median"], 1),
          f"{percent(share['low'], 1)} to {percent(share['high'], 1)}"]
         for name, share in found["shares"].items()],
        ", ".join(plural(number, factor) for factor, number in found["levels"].items()),
    )  # fmt: skip


def agreement_table(unit_set: str, result: Content) -> Table:
    """Return the correlation of the t-maps of every two templates."""
    return Table(
        f"agreement of t-maps between templates, {NOUNS[unit_set]}",
        ["one", "other", "Pearson", "Spearman"],
        [[row["one"], row["other"],
          *(known(row.get(name), correlation) for name in ("pearson", "spearman"))]
         for row in result["agreement"]["between_templates"]],
        SHARED_ITEMS,
        keys=2,
        words=["other"],
    )  # fmt: skip


def models_table(models: Sequence[Content], unit_set: str) -> Table | None:
    """Return one row per template and model; None if there are none."""
    shown = [each for each in models if each["unit_set"] == unit_set]
    if not shown:
        return None
    rows = []
    for each in shown:
        for row in each["rows"]:
            null = f" (null model of {row['null_of']})" if "null_of" in row else ""
            rows.append([each.get("templates", ALL_TEMPLATES), f"{row['model']}{null}",
                         *(of_all(over["observed"], row["units"]) for over in row["above"]),
                         count(row["familywise"]),
                         known(row.get("in_every_template"), count),
                         known(row.get("role_called"), count),
                         known(row.get("max_abs_t"), decimal)])  # fmt: skip
    thresholds = [above(over["threshold"]) for over in shown[0]["rows"][0]["above"]]
    return Table(
        f"models side by side, {NOUNS[unit_set]}",
        ["template", "model", *thresholds, DIFFERS, "in every template", FOLLOWS, LARGEST],
        rows,
        keys=2,
        words=["model"],
    )


def print_combined(combined: Mapping[str, Any], directory: Path, console: Console) -> None:
    """Print the main findings of a sweep."""
    groups = combined["groups"]
    console.print(
        f"\n{', '.join(combined['studies'])}  {plural(len(combined['points']), 'point')} in "
        f"{plural(len(groups), 'group')}",
        style="bold",
    )
    if combined["question"]:
        console.print(combined["question"])
    for group in groups[:MAX_NAMED]:
        print_group(combined, group, console)
    if len(groups) > MAX_NAMED:
        console.print(f"\n… {len(groups) - MAX_NAMED} more groups in combined.json")
    if "models" in combined:
        console.print()
        if models := models_table(combined["models"], combined["models"][0]["unit_set"]):
            print_table(models, console)
    say(console, combined["notes"], "yellow")
    left_out = combined["left_out"]
    if left_out:
        console.print(f"{plural(len(left_out), 'point')} left out:", style="yellow")
    for row in left_out[:MAX_NAMED]:
        console.print(f"  {row['point']}: {row['reason']}", style="yellow", soft_wrap=True)
    if len(left_out) > MAX_NAMED:
        console.print(f"  … {len(left_out) - MAX_NAMED} more in combined.json", style="yellow")
    console.print(f"combined result in {directory}", soft_wrap=True)


def print_group(combined: Mapping[str, Any], group: Mapping[str, Any], console: Console) -> None:
    balanced = group["balanced"]
    console.print(
        f"\n{group['title']}  {plural(len(group['items']), 'item')}, "
        f"{plural(len(balanced['templates']), 'template')} with "
        f"{plural(len(balanced['seeds']), 'seed')} in common",
        style="bold",
    )
    null = [f"a null model of {group['null_of']}"] if "null_of" in group else []
    say(console, [*null, *group.get("remarks", [])], "yellow")
    for unit_set in group["results"]:
        say(console, answers(group, unit_set))
    unit_set, first = next(iter(group["results"].items()))
    say(console, [comparison(combined, group, unit_set)])
    print_table(templates_table(group, list(group["results"])), console)
    if first.get("variance", {}).get("shares"):
        print_table(variance_table(unit_set, first), console)
    if first["agreement"]["between_templates"]:
        print_table(agreement_table(unit_set, first), console)
    console.print("What the result covers:")
    say(console, (f"  {row['over']}: {row['answer']}. {row['sentence']}"
                  for row in group["generalises"]))  # fmt: skip
