"""The table of readings for the console, as Markdown and as CSV, from the content of bench.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from otherview.views.numbers import DASH, count, decimal, known
from otherview.views.table_model import Table

Content = Mapping[str, Any]
VIEWPOINT = "viewpoint"
CHANCE = "chance"


def kinds(content: Content) -> tuple[list[str], list[str], list[str]]:
    """Return the organisms that count, those with another operation, and those without heads."""
    planted = [each for each in content["organisms"] if each["planted"]]
    return (
        [each["name"] for each in planted if each["operation"] == VIEWPOINT],
        [each["name"] for each in planted if each["operation"] != VIEWPOINT],
        [each["name"] for each in content["organisms"] if not each["planted"]],
    )


def readings_table(content: Content) -> Table:
    """Return one row per reading."""
    counting, others, spread = kinds(content)
    chance = content["chance"]
    rows = [
        [
            row["name"],
            known(row["mean"], decimal),
            *(found_words(row["organisms"][name]) for name in (*counting, *others)),
            *(other_words(row["organisms"][name]) for name in others),
            *(count(len(row["organisms"][name]["called"])) for name in spread),
            *(false_words(row["nulls"][name]) for name in content["nulls"]),
            known(row["passes"], count),
        ]
        for row in content["readings"]
    ]
    rows.append([
        CHANCE,
        known(chance["mean"], decimal),
        *(decimal(chance["organisms"][name]) for name in (*counting, *others)),
        *([DASH] * (len(others) + len(spread) + len(content["nulls"]) + 1)),
    ])  # fmt: skip
    called = [f"{name}: calls it" for name in others]
    return Table(
        "which readings find the planted heads",
        ["reading", "mean", *counting, *others, *called, *spread, *content["nulls"], "passes"],
        rows,
        "Organisms: average precision of the planted heads (rank of the first; D: the decoy is "
        "called). Without planted heads, and in nulls: heads called, all of them false, as mean "
        "per seed (seeds with any).",
        words=called,
    )


def found_words(found: Content) -> str:
    """Return the average precision, the rank of the first planted head, and D for the decoy."""
    decoy = " D" if found["decoy_called"] else ""
    return f"{decimal(found['precision'])} ({rank_words(found['first'])}){decoy}"


def rank_words(rank: float) -> str:
    """Return a rank, from 1; with ties it is a mean."""
    return count(rank) if float(rank).is_integer() else decimal(rank, 1)


def other_words(found: Content) -> str:
    """Return whether heads of another operation are called heads of the one that is asked about."""
    return "yes" if found["planted_called"] else "no"


def false_words(calls: Content) -> str:
    """Return the mean number of false calls, and in how many seeds there were any."""
    return f"{decimal(calls['mean'], 1)} ({calls['seeds_with_any']}/{calls['seeds']})"


def as_markdown(table: Table) -> str:
    """Return a table as Markdown."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    sides = ["---" if table.is_words(place) else "---:" for place in range(len(table.headings))]
    return "\n".join(map(line, [table.headings, sides, *table.rows]))


def as_csv(content: Content) -> str:
    """Return one line per reading and organism or null, as plain numbers."""
    columns = ["reading", "of", "planted", "average_precision", "first_rank", "decoy_called",
               "planted_called", "called", "seeds_with_any", "seeds", "passes"]  # fmt: skip
    planted = {each["name"]: len(each["planted"]) for each in content["organisms"]}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in content["readings"]:
        for name, found in row["organisms"].items():
            writer.writerow([
                row["name"], name, planted[name], found["precision"], found["first"],
                found["decoy_called"], found["planted_called"], len(found["called"]), "", "",
                found["passes"],
            ])  # fmt: skip
        for name, calls in row["nulls"].items():
            writer.writerow([
                row["name"], name, 0, "", "", "", "", calls["mean"], calls["seeds_with_any"],
                calls["seeds"], "",
            ])  # fmt: skip
    return stream.getvalue()
