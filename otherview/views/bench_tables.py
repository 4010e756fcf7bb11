"""The table of readings, from the content of bench.json: console, Markdown, CSV and page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otherview.disk.atomic import replacing
from otherview.views.numbers import DASH, count, decimal, known, named, plural
from otherview.views.report.page import fill
from otherview.views.table_model import Table

Content = Mapping[str, Any]
VIEWPOINT = "viewpoint"
CHANCE = "chance"
PAGE = "bench.html"
NAMED = 6


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
    rows = []
    for row in content["readings"]:
        of, nulls = row["organisms"], [row["nulls"][name] for name in content["nulls"]]
        rows.append([
            row["name"],
            known(row["mean"], decimal),
            *(f"{decimal(of[name]['precision'])} ({rank_words(of[name]['first'])})"
              f"{' D' if of[name]['decoy_called'] else ''}" for name in (*counting, *others)),
            *("yes" if of[name]["planted_called"] else "no" for name in others),
            *(count(len(of[name]["called"])) for name in spread),
            *(f"{decimal(null['mean'], 1)} ({null['seeds_with_any']}/{null['seeds']})"
              for null in nulls),
            known(row["passes"], count),
        ])  # fmt: skip
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


def rank_words(rank: float) -> str:
    """Return a rank, from 1; with ties it is a mean."""
    return count(rank) if float(rank).is_integer() else decimal(rank, 1)


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


def write_bench_page(content: Content, folder: Path) -> Path:
    """Write bench.html into `folder` from the content of bench.json; return its path."""
    path = folder / PAGE
    with replacing(path) as temporary:
        temporary.write_text(fill("bench.html.jinja", bench_page(content)), encoding="utf-8")
    return path


def bench_page(content: Content) -> dict[str, Any]:
    """Return the variables of bench.html.jinja."""
    organisms = {each["name"]: each for each in content["organisms"]}
    table = readings_table(content)
    return {
        "title": "Which readings find the planted heads?",
        "bench": content,
        "answer": answer(content),
        "table": table,
        "organisms": [
            (name, each["says"], planted_words(each)) for name, each in organisms.items()
        ],
        "rows": [
            (row, [ranking(row["name"], found, organisms[name])
                   for name, found in row["organisms"].items()])
            for row in content["readings"]
        ],
    }  # fmt: skip


def answer(content: Content) -> list[str]:
    """Return what the table says, in sentences."""
    found = []
    ranked = [row for row in content["readings"] if row["mean"] is not None]
    if ranked:
        best = max(ranked, key=lambda row: row["mean"])
        counting, _, _ = kinds(content)
        found.append(
            f"{best['name']} ranks planted heads highest: average precision "
            f"{decimal(best['mean'])}, mean over {plural(len(counting), 'organism')}; "
            f"at random it would be {decimal(content['chance']['mean'])}."
        )
        cheap = min(ranked, key=lambda row: (row["passes"], -row["mean"]))
        if cheap is not best:
            found.append(
                f"It takes {count(best['passes'])} passes per model; {cheap['name']} reaches "
                f"{decimal(cheap['mean'])} with {count(cheap['passes'])}."
            )
    if content["nulls"]:
        clean = [
            row["name"]
            for row in content["readings"]
            if not any(calls["seeds_with_any"] for calls in row["nulls"].values())
        ]
        found.append(
            f"Without a false call in any null: {named(clean, len(clean))}."
            if clean
            else "Every reading calls heads in a null, where every call is false."
        )
    return found


def planted_words(organism: Content) -> str:
    """Return the planted heads, the decoy, and how many checks of its card do not hold."""
    planted = named(organism["planted"], NAMED) if organism["planted"] else "none"
    decoy = f"; decoy: {organism['decoy']}" if organism["decoy"] else ""
    missed = organism["missed"]
    checks = f"; {missed} of {plural(organism['checks'], 'check')} missed" if missed else ""
    return f"planted: {planted}{decoy}{checks}"


def ranking(reading: str, found: Content, organism: Content) -> dict[str, Any]:
    """Return the picture of a ranking: kind, title and whether it is called of every head."""
    called, planted = {*found["called"]}, {*organism["planted"]}
    bars = []
    for place, head in enumerate(found["order"], 1):
        kind = "planted" if head in planted else "decoy" if head == organism["decoy"] else "other"
        told = [head, f"place {place}", *([kind] if kind != "other" else [])]
        told += ["called"] if head in called else []
        bars.append((kind, ", ".join(told), head in called))
    caption = f"{plural(len(called), 'head')} called"
    if found["precision"] is not None:
        first = rank_words(found["first"])
        caption = f"{decimal(found['precision'])}, first at {first}; {caption}"
    places = "; ".join(title for kind, title, _ in bars if kind != "other")
    label = f"{reading}, {organism['name']}: {caption}. {places}"
    return {"organism": organism["name"], "bars": bars, "caption": caption, "label": label}
