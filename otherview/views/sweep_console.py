"""Print a combined sweep, from `combined.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from otherview.views.numbers import plural
from otherview.views.sweep_sentences import MAX_NAMED, answers, comparison
from otherview.views.sweep_tables import (
    agreement_table,
    models_table,
    templates_table,
    variance_table,
)
from otherview.views.table_model import print_table


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
        models = models_table(combined["models"], combined["models"][0]["unit_set"])
        if models is not None:
            print_table(models, console)
    for note in combined["notes"]:
        console.print(note, style="yellow")
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
    if "null_of" in group:
        console.print(f"a null model of {group['null_of']}", style="yellow")
    for remark in group.get("remarks", []):
        console.print(remark, style="yellow")
    for unit_set in group["results"]:
        for sentence in answers(group, unit_set):
            console.print(sentence)
    unit_set, first = next(iter(group["results"].items()))
    console.print(comparison(combined, group, unit_set))
    print_table(templates_table(group, list(group["results"])), console)
    if first.get("variance", {}).get("shares"):
        print_table(variance_table(unit_set, first), console)
    if first["agreement"]["between_templates"]:
        print_table(agreement_table(unit_set, first), console)
    console.print("What the result covers:")
    for row in group["generalises"]:
        console.print(f"  {row['over']}: {row['answer']}. {row['sentence']}")
