"""What each reading calls, where the truth is known: the three pocket checkpoints.

    python benchmarks/ground_truth.py

Runs the kitchen study with the published pair of wordings and with eight nouns per role on `pocket`
(whose card names a planted gate and a decoy), and on two null models that hold no viewpoint
operation: random weights, and a model trained with the same words but without the role. Then heads
of `pocket` are zeroed, to see which of them do anything, and predictions of what they do are held
against brute force (`benchmarks/causes.py`).

    python benchmarks/ground_truth.py --before-planting OUTPUT

also zeroes heads of models without a planted head and stores the figures in before_planting.json:
of the model before its gate was planted (`python scripts/train_pocket.py OUTPUT`), and of one
that was taught with heads dropped at random (the same with `--unplanted`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from causes import causes_readings
from edited_heads import (
    before_planting,
    card_of,
    edited_heads,
    print_causes,
    stored_before_planting,
)
from figures import print_figures
from rich.console import Console
from rich.table import Table

from otherview.analysis.analyse import Analysis, analyse
from otherview.disk.progress import Progress
from otherview.passes.measure import Measurement, measure
from otherview.stats import RoleTestResult, SignFlipResult, WordingSplitResult
from otherview.study.compose import compose_study
from otherview.views.progress_bars import progress_bars

MODELS = ("pocket", "pocket_random", "pocket_mention_only")
READINGS = {
    "published: RMS, all tokens": ("rms", "all"),
    "log RMS, target tokens": ("log_rms", "target"),
}


@dataclass(frozen=True)
class Called:
    """What one reading of one model calls."""

    model: str
    reading: str
    heads: int
    published: int
    """Heads with |t| > 3 for the published pair of wordings."""
    familywise: int
    """Heads that differ over items, family-wise, for the eight nouns per role."""
    role: tuple[str, ...]
    """Heads that the role test calls."""
    gate: dict[str, int]
    """Rank of the planted head by |t| and by |t| of the role test, from 1."""
    gate_held_out: tuple[int, int] | None
    """Of how many random halvings of creatures and nouns the role test calls the planted head on
    both halves; None without a planted head."""
    decoy: dict[str, bool]
    """Whether the decoy passes |t| > 3, and whether the role test calls it; empty where the
    reading does not see it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--models", nargs="+", default=MODELS, help="checkpoints to read")
    parser.add_argument(
        "--before-planting", type=Path, help="folder of training stages; else the stored figures"
    )
    parser.add_argument(
        "--text-length", type=int, default=32, help="text positions of edited passes (default 32)"
    )
    parser.add_argument("--draws", type=int, default=100, help="random sets of heads")
    arguments = parser.parse_args()
    console = Console()
    rows: list[Called] = []
    with progress_bars(console) as report:
        for model in arguments.models:
            studies = {t: study_of(model, t) for t in ("viewpoint", "nouns")}
            measured = {
                templates: measure(study, naming(report, f"{model} {templates}"))
                for templates, study in studies.items()
            }
            rows += [read_model(model, reading, measured) for reading in READINGS]
        edited = arguments.text_length, arguments.draws
        planted, unplanted, predicted = None, stored_before_planting(), []
        if "pocket" in arguments.models:
            planted = edited_heads("pocket", *edited, naming(report, "pocket edited"))
            predicted = causes_readings(naming(report, "pocket predicted"))
        if arguments.before_planting:
            named = naming(report, "before planting")
            unplanted = before_planting(arguments.before_planting, *edited, named)
    print_tables(rows, console)
    print_causes(planted, unplanted)
    if predicted:
        print_figures("what heads do: predictions, next to brute force", predicted)
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")


def naming(report: Progress, name: str) -> Progress:
    def named(stage: str, done: int, total: int) -> None:
        report(f"{name}, {stage}", done, total)

    return named


def study_of(model: str, templates: str, *overrides: str) -> Any:
    chosen = [f"model={model}", f"templates={templates}", "capture=heads", *overrides]
    return compose_study(["+experiment=kitchen", *chosen])


def read_model(model: str, reading: str, measured: dict[str, Measurement]) -> Called:
    response, tokens = READINGS[reading]
    settings = f"capture.response={response}", f"capture.tokens={tokens}"
    one, several = (
        analyse(measured[templates].responses, study_of(model, templates, *settings))["heads"]
        for templates in ("viewpoint", "nouns")
    )
    card = card_of(model)
    addresses = one.addresses
    role, t = several.of(RoleTestResult), one.of(SignFlipResult).t
    passing = np.abs(t) > 3
    gate: dict[str, int] = {}
    decoy: dict[str, bool] = {}
    held_out = None
    if "gate" in card:
        place = addresses.index(card["gate"])
        confirmed = several.of(WordingSplitResult).confirmed[:, place]
        held_out = int(confirmed.sum()), len(confirmed)
        gate = {"t": rank(t, place), "role": rank(np.abs(role.t), place)}
        if card["decoy"] in addresses:
            place = addresses.index(card["decoy"])
            decoy = {"t": bool(passing[place]), "role": bool(role.called[place])}
    return Called(
        model,
        reading,
        len(addresses),
        int(passing.sum()),
        familywise_count(several),
        tuple(address for address, called in zip(addresses, role.called, strict=True) if called),
        gate,
        held_out,
        decoy,
    )


def familywise_count(analysis: Analysis) -> int:
    test = analysis.of(SignFlipResult)
    return int((test.p_stepdown <= test.alpha).sum())


def rank(t: np.ndarray, place: int) -> int:
    strength = np.abs(np.nan_to_num(t))
    return int((strength > strength[place]).sum()) + 1


def print_tables(rows: list[Called], console: Console) -> None:
    for reading in READINGS:
        table = Table(title=f"heads called selective ({reading})")
        table.add_column("model", no_wrap=True)
        for heading in ("heads", "|t| > 3", "items", "role test"):
            table.add_column(heading, justify="right")
        for heading in ("gate ranks", "decoy"):
            table.add_column(heading)
        for row in rows:
            if row.reading != reading:
                continue
            table.add_row(
                row.model,
                str(row.heads),
                f"{row.published} ({row.published / row.heads:.0%})",
                str(row.familywise),
                str(len(row.role)),
                f"{row.gate['t']}, {row.gate['role']}" if row.gate else "-",
                ", ".join("called" if called else "not" for called in row.decoy.values()) or "-",
            )
        console.print(table)
        for row in rows:
            if row.reading == reading and row.role:
                console.print(f"{row.model}: role test calls {', '.join(row.role)}")
            if row.reading == reading and row.gate_held_out:
                times, splits = row.gate_held_out
                console.print(
                    f"{row.model}: the gate is called on half of the creatures under half of the "
                    f"nouns, and again on the other halves, in {times} of {splits} halvings"
                )
    console.print(
        "|t| > 3: heads selective for the published pair of wordings. items: heads that differ "
        "over items, family-wise, with eight nouns per role. role test: over items and over "
        "wordings. Gate and decoy: by |t|, then by the role test."
    )


if __name__ == "__main__":
    main()
