"""The content of the page of the bench: the table, and how each reading ranks the heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otherview.disk.atomic import replacing
from otherview.views.bench_tables import kinds, rank_words, readings_table
from otherview.views.numbers import count, decimal, named, plural
from otherview.views.report.page import fill

Content = Mapping[str, Any]
PAGE = "bench.html"
CELL = 5
"""Width of a head in a picture of a ranking, in its own units."""
NAMED = 6


@dataclass(frozen=True)
class Bar:
    """A head in a ranking."""

    x: int
    kind: str
    """planted, decoy or other."""
    called: bool
    title: str


@dataclass(frozen=True)
class Ranking:
    """All heads of an organism as a reading ranks them."""

    organism: str
    bars: Sequence[Bar]
    caption: str
    label: str
    """The picture in words."""

    @property
    def width(self) -> int:
        return CELL * len(self.bars)


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
        "cell": CELL,
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


def ranking(reading: str, found: Content, organism: Content) -> Ranking:
    """Return the picture of a ranking."""
    called, planted = {*found["called"]}, {*organism["planted"]}
    bars = []
    for place, head in enumerate(found["order"]):
        kind = "planted" if head in planted else "decoy" if head == organism["decoy"] else "other"
        told = [head, f"place {place + 1}", *([kind] if kind != "other" else [])]
        told += ["called"] if head in called else []
        bars.append(Bar(CELL * place, kind, head in called, ", ".join(told)))
    heads = plural(len(called), "head")
    caption = (
        f"{heads} called"
        if found["precision"] is None
        else (
            f"{decimal(found['precision'])}, first at {rank_words(found['first'])}; {heads} called"
        )
    )
    places = [f"{bar.title}" for bar in bars if bar.kind != "other"]
    label = f"{reading}, {organism['name']}: {caption}. {'; '.join(places)}"
    return Ranking(organism["name"], bars, caption, label)
