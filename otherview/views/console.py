"""Print a run, from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from otherview.study.errors import display_path
from otherview.views.causes_sentences import (
    agreement_sentence,
    correlations,
    edge_sentences,
    verdict_rows,
)
from otherview.views.findings import findings_table
from otherview.views.making import PAGE, figure_command, map_name
from otherview.views.numbers import named, plural
from otherview.views.run_sentences import (
    answer,
    control_sentences,
    level_sentences,
    registration_sentence,
)
from otherview.views.run_tables import (
    controls_table,
    counts_table,
    effects_table,
    growth_table,
    sets_table,
)
from otherview.views.table_model import print_table
from otherview.views.unit_columns import strongest_table
from otherview.views.vocabulary import RESPONSES, main_result, main_unit_set, notes, rows_noun

Content = Mapping[str, Any]
MAX_BLOCKS = 5
MAX_NAMED = 8
"""Maximal number of units that are named."""


class PlainConsole(Console):
    """The console on which results are printed; it takes no text of a study as markup."""

    def __init__(self) -> None:
        super().__init__(markup=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the caller; a console of rich would end the program here."""
        raise BrokenPipeError


def say(console: Console, sentences: Iterable[str | None], style: str | None = None) -> None:
    """Print each of `sentences` that is not empty."""
    for sentence in filter(None, sentences):
        console.print(sentence, style=style)


def print_result(folder: Path, console: Console) -> None:
    """Print a finished run, read from its files."""
    content = {
        name: json.loads((folder / f"{name}.json").read_bytes())
        for name in ("summary", "controls", "interventions", "edges")
        if (folder / f"{name}.json").is_file()
    }
    print_summary(**content, console=console)


def print_places(folder: Path, console: Console) -> None:
    """Print where a run's page and files are, and what to do with them."""
    shown = display_path(folder)
    if (folder / PAGE).is_file():
        console.print(f"page       {display_path(folder / PAGE)}", style="bold", soft_wrap=True)
    console.print(f"result in  {shown}", soft_wrap=True)
    name = map_name(main_unit_set(json.loads((folder / "summary.json").read_bytes())))
    console.print(f"figure     {figure_command(shown, name)}", soft_wrap=True)


def print_summary(
    summary: Content,
    console: Console,
    controls: Content | None = None,
    interventions: Content | None = None,
    edges: Content | None = None,
) -> None:
    """Print the main findings of a run."""
    print_heading(summary, console)
    first, *rest = answer(summary, controls, interventions)
    console.print(first, style="bold")
    unit_set, found, _ = main_result(summary)
    levels = level_sentences(unit_set, found)
    say(console, [*rest, *levels, registration_sentence(summary)])
    say(console, notes(summary), "yellow")
    console.print()
    print_table(counts_table(summary), console)
    print_table(findings_table(summary), console)
    for unit_set, result in summary["results"].items():
        noun = rows_noun(unit_set, result)
        if unit_set == "heads":
            print_table(strongest_table(f"strongest {noun}", result["strongest"]), console)
        print_table(sets_table(unit_set, result, MAX_BLOCKS), console)
        if result["degenerate"]:
            console.print(
                f"{len(result['degenerate'])} of {result['units']:,} {noun} have no variance and "
                f"no t: {named(result['degenerate'], MAX_NAMED)}"
            )
    if controls is not None:
        print_table(controls_table(controls), console)
        say(console, control_sentences(summary, controls))
    say(console, edge_sentences(edges))
    if interventions is not None:
        print_interventions(interventions, console)


def print_heading(summary: Content, console: Console) -> None:
    reading, contrast = summary["reading"], summary["contrast"]
    console.print(
        f"\n{summary['study']}  {summary['model']}, {plural(summary['items'], 'item')}, "
        f"seed {summary['seed']}, {RESPONSES[reading['response']]} over {reading['tokens']} tokens",
        style="bold",
    )
    if summary["question"]:
        console.print(summary["question"])
    for role in ("test", "control"):
        more = len(contrast[role]) - 1
        console.print(f"  {role:<8}{contrast[role][0]}{f'  (and {more} more)' if more else ''}")
    console.print()


def print_interventions(found: Content, console: Console) -> None:
    selection = found["selection"]
    if "note" in selection:
        console.print(selection["note"], style="yellow")
    elif selection["discovery_items"] and selection["rule"] != "listed":
        console.print(
            f"{plural(len(selection['discovery_items']), 'item')} selected the heads, and the "
            f"other {len(selection['measured_items'])} measured their effects."
        )
    if found["sets"]:
        print_table(effects_table(found), console)
    if (grown := growth_table(found)) is not None:
        print_table(grown, console)
    verdicts = (f"{verdict}: {heads}" for verdict, heads in verdict_rows(found))
    say(console, [*verdicts, correlations(found), agreement_sentence(found)])
