"""The tables of a comparison of two models, for all views, from `comparison.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from otherview.analysis.two_models import COLUMNS
from otherview.results.reader import ComparisonResult
from otherview.views.comparison_sentences import (
    NO_MISMATCH,
    comparison_answer,
    contrast_sentences,
    labels,
    mismatch_sentences,
    reading_words,
    value,
)
from otherview.views.console import say
from otherview.views.findings import called
from otherview.views.numbers import DASH, count, decimal, known, of_all, plural, significant
from otherview.views.table_model import Table, print_table
from otherview.views.unit_columns import strongest_table
from otherview.views.vocabulary import (
    DIFFERS,
    FOLLOWS,
    NOUNS,
    familywise,
    main_result,
    rows_noun,
)

Content = Mapping[str, Any]
DIRECTIONS = {
    "larger_in_a": "larger in A",
    "larger_in_b": "larger in B",
    "opposite": "opposite signs",
}
NOT_CORRECTED = (
    "Each row is corrected for its units, and not for the number of rows. r is the correlation of "
    "the effects (Hedges’ g) in A and in B over units."
)


def contrasts_table(comparison: Content) -> Table:
    """Return one row per contrast and unit set."""
    alpha = next(iter(comparison["contrasts"][0]["results"].values()))["alpha"]
    rows = []
    for contrast in comparison["contrasts"]:
        kind = f"placebo: {contrast['placebo']}" if "placebo" in contrast else "contrast"
        for unit_set, found in contrast["results"].items():
            differs = DASH if found["note"] else of_all(found["familywise"], found["units"])
            rows.append([
                contrast["name"], f"{count(found['units'])} {rows_noun(unit_set, found)}", kind,
                known(found.get("role_test"), called), differs,
                *(DASH if found["note"] else count(found[key]) for key in DIRECTIONS),
                known(found.get("critical_t"), decimal),
                known(found.get("margin"), significant),
                known(found.get("agreement", {}).get("pearson"), decimal),
                known(found.get("level_ratio", {}).get("median"), significant),
            ])  # fmt: skip
    return Table(
        f"effect in A minus effect in B, {familywise(alpha)}",
        ["contrast", "units", "kind", FOLLOWS, DIFFERS, *DIRECTIONS.values(), "critical |t|",
         "no A − B is larger than", "r", "level, A / B"],
        rows,
        NOT_CORRECTED,
        keys=2,
        words=["units", "kind"],
    )  # fmt: skip


def comparison_levels_table(found: Content) -> Table | None:
    """Return one row per noise level of an entry of `results`; None where there is one alone."""
    if "levels" not in found:
        return None
    return Table(
        "by noise level",
        ["noise level", "units", FOLLOWS, DIFFERS, *DIRECTIONS.values()],
        [[f"{row['noise_level']:.4g}", count(row["units"]), known(row.get("called"), count),
          of_all(row["familywise"], row["units"]), *(count(row[key]) for key in DIRECTIONS)]
         for row in found["levels"]],
        "Corrected for all levels and units together.",
    )  # fmt: skip


def models_table(comparison: Content) -> Table:
    """Return one row per setting in which the models differ."""
    a, b = labels(comparison)
    return Table(
        "the models",
        ["setting", "A", "B"],
        [["name", a, b]]
        + [[row["setting"], *(known(row[which], value) for which in "ab")]
           for row in comparison["models"]],
        words=["A", "B"],
    )  # fmt: skip


def print_comparison(result: ComparisonResult, console: Console) -> None:
    """Print a comparison, read from its files."""
    comparison = result.comparison
    a, b = labels(comparison)
    console.print(
        f"\n{comparison['study']}  A: {a}, B: {b}; {plural(len(comparison['items']), 'item')}, "
        f"{reading_words(comparison)}",
        style="bold",
    )
    first, *rest = comparison_answer(comparison)
    console.print(first, style="bold")
    say(console, [*rest, *contrast_sentences(comparison)])
    say(console, mismatch_sentences(comparison) or [NO_MISMATCH], "yellow")
    console.print()
    print_table(contrasts_table(comparison), console)
    lead = comparison["contrasts"][0]
    unit_set, found, _ = main_result(lead)
    if (by_level := comparison_levels_table(found)) is not None:
        print_table(by_level, console)
    if found["strongest"]:
        title = f"{lead['name']}: {NOUNS[unit_set]} with the surest difference"
        print_table(strongest_table(title, found["strongest"], COLUMNS), console)
