"""Predicted changes beside brute force: every head of pocket zeroed and measured, in the same run.

    python benchmarks/predicted_reach.py

For three sets of wordings: the correlation over all heads of predicted and measured specificity
(change of the test role less that of the control role), the same where the quarter of the heads
that is ranked first is measured, and the passes that a prompt takes. Prompts are padded to 32 text
positions.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from scipy.stats import pearsonr, spearmanr

from otherview.models.calls import Calls
from otherview.models.sites import heads
from otherview.passes.editing import scale
from otherview.passes.head_attribution import attribute
from otherview.passes.sessions import open_session
from otherview.passes.transformer import run
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import PromptSet, study_prompts

TEMPLATES = ("nouns", "viewpoint", "paraphrases")
WANTED = {"specificity": 0.85, "quarter": 0.93}
KLEIN_HEADS = 720
WANTED_SHARE = 1 / 30
"""Of the passes that editing each head of Klein alone takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cotangents", type=int, default=8)
    parser.add_argument("--every", type=int, default=5, help="take every n-th creature")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    rows = [reach(name, arguments.cotangents, arguments.every) for name in TEMPLATES]
    table = Table(title="predicted and measured specificity over the 48 heads of pocket")
    for heading in ("wordings", "prompts", "Spearman", "Pearson", "a quarter exact", "passes"):
        table.add_column(heading)
    for row in rows:
        quarter = f"{row['quarter']['spearman']:.2f}, {row['quarter']['pearson']:.2f}"
        share = row["passes_per_prompt"] / KLEIN_HEADS
        table.add_row(
            row["templates"],
            str(row["prompts"]),
            f"{row['specificity']['spearman']:.2f} (wanted {WANTED['specificity']})",
            f"{row['specificity']['pearson']:.2f}",
            f"{quarter} (wanted {WANTED['quarter']})",
            f"{row['passes_per_prompt']:g}, {share:.3f} of {KLEIN_HEADS} (wanted "
            f"{WANTED_SHARE:.3f})",
        )
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def reach(templates: str, cotangents: int, every: int) -> dict[str, Any]:
    """The figures of one set of wordings."""
    study = reach_study(templates, every)
    calls, prompts = open_session(study).calls(study), study_prompts(study)
    predicted = attribute(calls, prompts, cotangents=cotangents, batch_size=6)
    test, control = predicted.role_changes("zero")
    guess, truth = test - control, brute_force(calls, prompts)
    mixed = guess.copy()
    first = np.argsort(-np.abs(guess))[: len(guess) // 4]
    mixed[first] = truth[first]
    return {
        "templates": templates,
        "prompts": len(prompts.prompts),
        "specificity": correlations(guess, truth),
        "quarter": correlations(mixed, truth),
        "passes_per_prompt": predicted.passes / len(prompts.prompts),
    }


def reach_study(templates: str, every: int) -> Study:
    study = compose_study(
        ["+experiment=kitchen", "model=pocket", f"templates={templates}", "capture=heads",
         "model.text_length=32"]
    )  # fmt: skip
    return replace(study, creatures=replace(study.creatures, items=study.creatures.items[::every]))


def brute_force(calls: Calls, prompts: PromptSet) -> Float[np.ndarray, " heads"]:
    """Measured specificity of every head: all prompts with it alone zeroed."""
    import torch

    transformer, every = calls.transformer, range(len(prompts.prompts))
    batches = [every[start : start + 24] for start in range(0, len(every), 24)]
    roles = np.array(prompts.roles * len(prompts.items))
    found = []
    with torch.inference_mode():
        intact = [calls.velocity(run(transformer, calls.first(b)), calls.noise(b)) for b in batches]
        for unit in heads(calls.sites):
            changes = []
            for batch, whole in zip(batches, intact, strict=True):
                with scale(transformer, [unit.address], 0.0):
                    output = run(transformer, calls.first(batch))
                moved = calls.velocity(output, calls.noise(batch)) - whole
                changes.append(moved.flatten(1).norm(dim=1) / whole.flatten(1).norm(dim=1))
            change = torch.cat(changes).numpy()
            found.append(change[roles == "test"].mean() - change[roles == "control"].mean())
    return np.array(found)


def correlations(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    return {
        "spearman": float(spearmanr(one, other).statistic),
        "pearson": float(pearsonr(one, other).statistic),
    }


if __name__ == "__main__":
    main()
