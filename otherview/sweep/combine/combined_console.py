"""Prints a combined result, from `combined.json` alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otherview.views.console import DASH, UNIT_SET_TITLES

MOST_NAMED = 8
"""Units, agreements or points that are named before the rest is counted."""


def print_combined(summary: dict[str, Any], directory: Path, console: Console) -> None:
    """Everything that a reader of a sweep's `combined.json` should see first."""
    used, groups = len(summary["points"]), summary["groups"]
    console.print(
        f"\n{', '.join(summary['studies'])}  {_number(used, 'point')} in "
        f"{_number(len(groups), 'group')}",
        style="bold",
    )
    if summary["question"]:
        console.print(summary["question"])
    for group in groups[:MOST_NAMED]:
        print_group(group, console)
    if len(groups) > MOST_NAMED:
        console.print(f"\n... {len(groups) - MOST_NAMED} more groups in combined.json")
    if "models" in summary:
        console.print()
        console.print(models_table(summary["models"]))
    for note in summary["notes"]:
        console.print(note, style="yellow")
    print_left_out(summary["left_out"], console)
    console.print(f"combined result in {directory}", soft_wrap=True)


def print_group(group: dict[str, Any], console: Console) -> None:
    balanced = group["balanced"]
    console.print(
        f"\n{group['title']}  {len(group['items'])} items, "
        f"{_number(len(balanced['templates']), 'contrast')} with "
        f"{_number(len(balanced['seeds']), 'seed')} in common",
        style="bold",
    )
    if "null_of" in group:
        console.print(f"  a null model of {group['null_of']}", style="yellow")
    for unit_set, result in group["results"].items():
        for line, style in answers(unit_set, result):
            console.print(line, style=style)
    unit_set, first = next(iter(group["results"].items()))
    if "role_note" in first:
        console.print(first["role_note"], style="yellow")
    console.print(tests_table(group))
    if "variance" in first and first["variance"]["shares"]:
        console.print(variance_table(unit_set, first))
    if first["agreement"]["between_templates"]:
        console.print(agreement_table(unit_set, first))
    console.print("What this generalises to:")
    for row in group["generalises"]:
        console.print(f"  {row['over']}: {row['answer']}. {row['sentence']}")


def answers(unit_set: str, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a set of units says, a line and its style each."""
    of_all = f"of {result['units']:,} {UNIT_SET_TITLES[unit_set]}"
    if "role_test" in result:
        found = result["role_test"]
        wordings = f"{found['wordings']['test']} + {found['wordings']['control']} wordings"
        yield (
            f"{found['called']} {of_all} follow the role over items and over {wordings}"
            f"{named(found['called_units'])}",
            "bold",
        )
        if found["note"]:
            yield found["note"], "yellow"
    if "in_every_template" in result:
        every = result["in_every_template"]
        yield (
            f"{every['units']} {of_all} differ in every template, with one sign"
            f"{named(every['called'])}",
            "",
        )


def tests_table(group: dict[str, Any]) -> Table:
    """The tests of a group, a row a contrast: items are the blocks whose signs are flipped."""
    table = Table(
        title="sign flips of items, seeds averaged",
        caption="r: mean Pearson correlation of the t-maps of two seeds. x placebo: size of the "
        "differences over that under the placebos, median over units; no test",
    )
    table.add_column("templates", no_wrap=True)
    lowest = min(group["thresholds"])
    for heading in (
        "seeds", f"|t| > {lowest:g}", "family-wise", "max |t|", "r", "x placebo",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for unit_set, result in group["results"].items():
        several = f", {UNIT_SET_TITLES[unit_set]}" if len(group["results"]) > 1 else ""
        seeds = {row["templates"]: row for row in result["agreement"]["between_seeds"]}
        ratios = {row["templates"]: row for row in result.get("selectivity", [])}
        for test in result["contrasts"]:
            name = test["templates"]
            agreement = seeds.get(name, {}).get("pearson", {}).get("mean")
            table.add_row(
                f"{name}{' (placebo)' if 'placebo' in test else ''}{several}",
                *test_cells(test, result["units"], lowest),
                DASH if agreement is None else f"{agreement:.3f}",
                cell(ratios.get(name, {}), "median_ratio", ".2f"),
                style="dim" if "placebo" in test else None,
            )
        if "pooled" in result:
            cells = test_cells(result["pooled"], result["units"], lowest)
            table.add_row(f"all contrasts{several}", *cells, "", "", style="bold", end_section=True)
    return table


def test_cells(test: dict[str, Any], units: int, threshold: float) -> list[str]:
    (above,) = (count["observed"] for count in test["counts"] if count["threshold"] == threshold)
    return [
        str(test["seeds"]),
        f"{above:,} ({above / units:.0%})",
        f"{test['familywise']:,}",
        cell(test, "max_abs_t", ".2f"),
    ]


def variance_table(unit_set: str, result: dict[str, Any]) -> Table:
    """Where the variance of the differences lies, for the middle half of the units."""
    found = result["variance"]
    levels = ", ".join(_number(number, factor) for factor, number in found["levels"].items())
    table = Table(title=f"variance of the differences, {UNIT_SET_TITLES[unit_set]}", caption=levels)
    table.add_column("component")
    for heading in ("median share", "quartiles"):
        table.add_column(heading, justify="right")
    for name, share in found["shares"].items():
        table.add_row(
            name.replace("_", " x "),
            f"{share['median']:.1%}",
            f"{share['low']:.1%} to {share['high']:.1%}",
        )
    return table


def agreement_table(unit_set: str, result: dict[str, Any]) -> Table:
    """How far the t-maps of two contrasts agree."""
    table = Table(
        title=f"agreement of t-maps between templates, {UNIT_SET_TITLES[unit_set]}",
        caption="over units; the maps share their items",
    )
    for heading in ("one", "other"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Pearson", "Spearman"):
        table.add_column(heading, justify="right")
    rows = result["agreement"]["between_templates"]
    for row in rows[: 2 * MOST_NAMED]:
        table.add_row(
            row["one"],
            row["other"],
            cell(row, "pearson", ".3f"),
            cell(row, "spearman", ".3f"),
            style="dim" if row["placebo"] else None,
        )
    if len(rows) > 2 * MOST_NAMED:
        table.add_row(f"... {len(rows) - 2 * MOST_NAMED} more", "", "", "")
    return table


def models_table(models: list[dict[str, Any]]) -> Table:
    """Models side by side, those of one contrast below each other; of the first unit set only."""
    unit_set = models[0]["unit_set"]
    shown = [comparison for comparison in models if comparison["unit_set"] == unit_set]
    nulls = {row["model"] for comparison in shown for row in comparison["rows"] if "null_of" in row}
    note = f"null models: {', '.join(sorted(nulls))}. " if nulls else ""
    table = Table(
        title=f"the same contrasts on other models, {UNIT_SET_TITLES[unit_set]}",
        caption=f"{note}differ: family-wise over items",
    )
    table.add_column("", no_wrap=True)
    thresholds = [count["threshold"] for count in models[0]["rows"][0]["above"]]
    above = [f"|t| > {threshold:g}" for threshold in thresholds]
    for heading in (*above, "differ", "in every", "role test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in shown:
        table.add_row(Text(comparison.get("templates", "all contrasts"), style="bold"))
        for row in comparison["rows"]:
            table.add_row(
                Text(f"  {row['model']}"),
                *(f"{count['observed']:,}" for count in row["above"]),
                f"{row['familywise']:,}",
                *(cell(row, name, ",") for name in ("in_every_template", "role_called")),
            )
        table.add_section()
    return table


def print_left_out(left_out: list[dict[str, Any]], console: Console) -> None:
    if not left_out:
        return
    console.print(f"{_number(len(left_out), 'point')} left out:", style="yellow")
    for row in left_out[:MOST_NAMED]:
        console.print(f"  {row['point']}: {row['reason']}", style="yellow", soft_wrap=True)
    if len(left_out) > MOST_NAMED:
        console.print(f"  ... {len(left_out) - MOST_NAMED} more in combined.json", style="yellow")


def cell(row: dict[str, Any], name: str, form: str) -> str:
    return format(row[name], form) if name in row else DASH


def named(units: list[str]) -> str:
    if not units:
        return ""
    more = ", ..." if len(units) > MOST_NAMED else ""
    return f": {', '.join(units[:MOST_NAMED])}{more}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
