"""The tables of a combined sweep, for every view, from the content of `combined.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otherview.views.numbers import (
    count,
    decimal,
    known,
    of_all,
    percent,
    plural,
    significant,
)
from otherview.views.table_model import Heading, Table
from otherview.views.vocabulary import DIFFERS, FOLLOWS, LARGEST, NOUNS, SHARED_ITEMS, above

Content = Mapping[str, Any]
ALL_TEMPLATES = "all templates"
COMPONENTS = {
    "item": "item",
    "template": "template",
    "seed": "seed",
    "item_template": "item × template",
    "item_seed": "item × seed",
    "template_seed": "template × seed",
    "residual": "residual",
}
"""Components of the variance."""


def templates_table(group: Content, unit_sets: Sequence[str]) -> Table:
    """One row per template and placebo, and one for all templates together."""
    contrasts = {row["templates"]: row for row in group["contrasts"]}
    rows = []
    for unit_set in unit_sets:
        result = group["results"][unit_set]
        several = f", {NOUNS[unit_set]}" if len(unit_sets) > 1 else ""
        seeds = {row["templates"]: row for row in result["agreement"]["between_seeds"]}
        ratios = {row["templates"]: row for row in result.get("selectivity", [])}
        for test in result["contrasts"]:
            name = test["templates"]
            contrast, agreement = contrasts[name], seeds.get(name, {}).get("pearson", {})
            same = contrast["equal_count"] and contrast["equal_item_position"]
            rows.append(
                [
                    f"{name}{several}",
                    *test_cells(test, result["units"]),
                    known(agreement.get("mean"), lambda value: decimal(value, 3)),
                    known(agreement.get("lowest"), lambda value: decimal(value, 3)),
                    known(ratios.get(name, {}).get("median_ratio"), decimal),
                    f"placebo: {test['placebo']}" if "placebo" in test else "contrast",
                    f"{len(contrast['test'])} + {len(contrast['control'])}",
                    "yes" if same else "no",
                ]
            )
        if "pooled" in result:
            cells = test_cells(result["pooled"], result["units"])
            rows.append([f"{ALL_TEMPLATES}{several}", *cells, *[""] * 6])
    return Table(
        "sign flips of items, seeds averaged",
        [
            Heading("template", is_words=True),
            Heading("seeds"),
            Heading(above(group["thresholds"][0])),
            Heading(DIFFERS),
            Heading(LARGEST),
            Heading("mean r", "Pearson correlation of the t-maps of two seeds, mean over pairs"),
            Heading("lowest r", "the lowest of these"),
            Heading("× placebo", "size of the differences over that under the placebos, median "
                                 "over units; a description and not a test"),
            Heading("kind", is_words=True),
            Heading("wordings", "test + control"),
            Heading("tokens and position equal"),
        ],
        rows,
    )  # fmt: skip


def test_cells(test: Content, units: int) -> list[str]:
    return [
        count(test["seeds"]),
        of_all(test["counts"][0]["observed"], units),
        count(test["familywise"]),
        known(test.get("max_abs_t"), decimal),
    ]


def chance_table(group: Content, result: Content) -> Table:
    """Observed counts against their null: one row per test and threshold, all templates first."""
    pooled = [(f"over {ALL_TEMPLATES}", result["pooled"])] if "pooled" in result else []
    tests = [*pooled, *((test["templates"], test) for test in result["contrasts"])]
    return Table(
        "observed against chance",
        [
            Heading("template", is_words=True),
            Heading("|t| >"),
            Heading("observed"),
            Heading("null mean ± SD"),
            Heading("null p99"),
            Heading("p of the count"),
            Heading(f"true, with {percent(1 - group['alpha'])} confidence"),
            Heading(LARGEST),
            Heading("critical |t|"),
        ],
        [
            [
                name,
                f"{row['threshold']:g}",
                of_all(row["observed"], result["units"]),
                f"{significant(row['null_mean'])} ± {significant(row['null_sd'])}",
                count(row["null_p99"]),
                significant(row["p"]),
                count(row["true_discoveries"]),
                known(test.get("max_abs_t"), decimal),
                known(test.get("critical_t"), decimal),
            ]
            for name, test in tests
            for row in test["counts"]
        ],
        keys=2,
    )


def variance_table(unit_set: str, result: Content) -> Table:
    """Where the variance of the differences lies, for the middle half of the units."""
    found = result["variance"]
    levels = ", ".join(plural(number, factor) for factor, number in found["levels"].items())
    return Table(
        f"variance of the differences, {NOUNS[unit_set]}",
        [Heading("component", is_words=True), Heading("median share"), Heading("quartiles")],
        [
            [COMPONENTS[name], percent(share["median"], 1),
             f"{percent(share['low'], 1)} to {percent(share['high'], 1)}"]
            for name, share in found["shares"].items()
        ],
        levels,
    )  # fmt: skip


def agreement_table(unit_set: str, result: Content) -> Table:
    """How far the t-maps of two templates agree."""
    return Table(
        f"agreement of t-maps between templates, {NOUNS[unit_set]}",
        [
            Heading("one", is_words=True),
            Heading("other", is_words=True),
            Heading("Pearson"),
            Heading("Spearman"),
        ],
        [
            [row["one"], row["other"],
             *(known(row.get(name), lambda value: decimal(value, 3))
               for name in ("pearson", "spearman"))]
            for row in result["agreement"]["between_templates"]
        ],
        SHARED_ITEMS,
        keys=2,
    )  # fmt: skip


def models_table(models: Sequence[Content], unit_set: str) -> Table | None:
    """Models side by side, those of one template below each other; None where there are none."""
    shown = [comparison for comparison in models if comparison["unit_set"] == unit_set]
    if not shown:
        return None
    rows = []
    for comparison in shown:
        for row in comparison["rows"]:
            null = f" (null model of {row['null_of']})" if "null_of" in row else ""
            rows.append(
                [
                    comparison.get("templates", ALL_TEMPLATES),
                    f"{row['model']}{null}",
                    *(of_all(over["observed"], row["units"]) for over in row["above"]),
                    count(row["familywise"]),
                    known(row.get("in_every_template"), count),
                    known(row.get("role_called"), count),
                    known(row.get("max_abs_t"), decimal),
                ]
            )
    return Table(
        f"models side by side, {NOUNS[unit_set]}",
        [
            Heading("template", is_words=True),
            Heading("model", is_words=True),
            *(Heading(above(over["threshold"])) for over in shown[0]["rows"][0]["above"]),
            Heading(DIFFERS),
            Heading("in every template"),
            Heading(FOLLOWS),
            Heading(LARGEST),
        ],
        rows,
        keys=2,
    )
