"""How far predictions of what heads do reach, next to brute force in the same run.

    python benchmarks/causes.py

Zeroes each of the 48 heads of pocket, and patches each from the other role, for every prompt of
three sets of wordings (six creatures, 32 text positions): the truth that predictions are held
against. Then it counts what FLUX.2 Klein needs: passes per prompt, and memory on the meta device.
Takes some six minutes on one core. The exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, print_figures
from jaxtyping import Float
from klein_memory import GIB, PAIR, need
from rich.console import Console
from scipy.stats import pearsonr, spearmanr

from otherview.causes.single_heads import heads_to_edit
from otherview.disk.progress import Progress
from otherview.models.calls import Calls
from otherview.models.cost import attribution_passes
from otherview.models.sites import heads, hook_sites
from otherview.models.weights import shipped_or_own
from otherview.passes.editing import patch, record, scale
from otherview.passes.head_attribution import attribute, attribution_of
from otherview.passes.predicted_changes import PredictedChanges
from otherview.passes.sessions import open_session
from otherview.passes.transformer import run
from otherview.pocket.rendering import read_card
from otherview.stats import predicted_change_test
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import PromptSet, study_prompts
from otherview.views.progress_bars import progress_bars

TEMPLATES = ("nouns", "viewpoint", "paraphrases")
CREATURES = 5
"""Every which creature of the thirty."""
BATCH = 24
KLEIN_HEADS = 720
"""Passes per prompt that editing each head of Klein alone takes."""
MAX_CALLED = 15
MIN_FACTOR = 3.0
"""Of the difference of the gate over that of the next head."""


@dataclass(frozen=True)
class Truth:
    """What every head does by itself, measured on every prompt."""

    specificity: Float[np.ndarray, " heads"]
    """Change of the test role's prediction with the head zeroed, less that of the control role."""
    toward: Float[np.ndarray, "roles heads"]
    """Way to the other role's prediction with the head patched from there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--templates", nargs="+", default=TEMPLATES, help="sets of wordings")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with progress_bars(Console()) as report:
        found = causes_readings(report, arguments.templates)
    print_figures("what heads do: predictions, next to brute force", found)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")
    raise SystemExit(any(row.reached is False for row in found))


def causes_readings(report: Progress, templates: tuple[str, ...] = TEMPLATES) -> list[Figure]:
    """All figures, those of the model first."""
    of_sets = [reach(name, report) for name in templates]
    found = [row for rows in zip(*of_sets, strict=True) for row in rows]  # sets of wordings inside
    return [*found, *calls_readings(report), *klein_readings()]


def reach(templates: str, report: Progress) -> list[Figure]:
    """Predictions of one set of wordings, as a study makes them, next to brute force."""
    study = pocket_study(templates, CREATURES)
    calls, prompts = open_session(study).calls(study), study_prompts(study)
    predicted = attribution_of(study, calls, prompts, 12, report, None)
    truth = brute_force(calls, prompts, report)
    units = heads(predicted.sites)
    test, control = predicted.role_changes("zero")
    guess, known = test - control, np.subtract(*predicted.known_changes())
    first = np.argsort(-(test + control))[: len(units) // 4]
    quarter = np.isin(np.arange(len(units)), first)
    settings = replace(study.intervention, singles="predicted")
    edited = heads_to_edit([], units, settings, 0.05, predicted, study.attribution.floor)
    exact = np.array([unit in edited for unit in units])
    way = predicted.toward_by_role()
    assert way is not None
    figure = f"specificity predicted, {len(units)} heads: Spearman, Pearson"
    patched = "toward under a patch, two points per site"
    return [
        correlated(f"{figure}, {templates}", guess, truth.specificity, 0.85),
        correlated(f"the same with a quarter of the heads exact, {templates}",
                   np.where(quarter, truth.specificity, guess), truth.specificity, 0.93),
        correlated(f"the same after singles=predicted, {templates}",
                   np.where(exact, truth.specificity, known), truth.specificity, None),
        Figure(f"passes of singles=predicted over those of all heads, {templates}",
                cost_of(predicted, len(edited)), "", None),
        correlated(f"{patched}, {templates}", np.mean(way, axis=0), truth.toward.mean(0), 0.9),
        *(correlated(f"{patched}, {name} alone, {templates}", way[role], truth.toward[role], None)
          for role, name in enumerate(("test role", "control role"))),
    ]  # fmt: skip


def cost_of(predicted: PredictedChanges, edited: int) -> str:
    """What measuring single heads costs in a study of thirty creatures, half of them measured."""
    units, prompts = len(heads(predicted.sites)), 2 * 15
    exact = predicted.exact_head_change
    alone = 0 if exact is None else int((~np.isnan(exact)).sum())
    share = (edited * prompts + alone) / (units * prompts)
    return f"{share:.2f}: {edited} heads on {prompts} prompts, {alone} passes with a head alone"


def calls_readings(report: Progress) -> list[Figure]:
    """Calls on thirty creatures."""
    study = pocket_study("nouns", 1)
    calls = open_session(study).calls(study)
    found = attribute(calls, study_prompts(study), cotangents=4, batch_size=12, progress=report)
    tested = predicted_change_test(found.zeroed(), found.prompts.roles)
    addresses = [unit.address for unit in heads(calls.sites)]
    card = read_card(shipped_or_own(str(study.model.path)))
    gate, decoy = addresses.index(str(card["gate"])), addresses.index(str(card["decoy"]))
    size = np.abs(tested.difference)
    factor = float(size[gate] / np.delete(size, gate).max())
    return [
        Figure("decoy called by predicted change", "yes" if tested.called[decoy] else "no", "no",
                not tested.called[decoy]),
        Figure("difference of the gate over the next head's", f"{factor:.1f}",
                f">= {MIN_FACTOR:g}, called",
                factor >= MIN_FACTOR and bool(tested.called[gate])),
        Figure("heads called by predicted change", str(int(tested.called.sum())),
                f"<= {MAX_CALLED}", int(tested.called.sum()) <= MAX_CALLED),
    ]  # fmt: skip


def klein_readings() -> list[Figure]:
    """Passes and memory on FLUX.2 Klein 4B."""
    study = compose_study(
        ["+experiment=kitchen", "templates=nouns", "capture=heads", "attribution=change"]
    )
    prompts = len(study_prompts(study).prompts)
    assert study.model.architecture is not None
    passes = attribution_passes(study, hook_sites(study.model.architecture))
    alone, whole = passes.gradients / prompts, passes.expected / prompts
    most = whole + passes.zeroed_alone / prompts
    one, pair = (need(checkpointed=True, rows=rows) for rows in (1, PAIR))
    plain = need(checkpointed=False, rows=1)
    return [
        Figure(f"passes per prompt of attribution alone, of {KLEIN_HEADS} single heads on Klein",
                f"{alone:g}: 1/{KLEIN_HEADS / alone:.0f}; with patches and sites "
                f"1/{KLEIN_HEADS / whole:.0f}, with every head checked "
                f"1/{KLEIN_HEADS / most:.0f}", "<= 1/30", KLEIN_HEADS / alone >= 30),
        Figure("memory of one cotangent, Klein 4B at 1024 x 1024, next to the weights",
                f"{one.peak / GIB:.1f} GiB; of a pair of prompts {pair.peak / GIB:.1f}; without "
                f"checkpointing {plain.peak / GIB:.0f}", "<= 6 GiB", one.peak <= 6 * GIB),
        Figure("operations of one cotangent, Klein 4B at 1024 x 1024",
                f"forward {plain.forward_flops / 1e12:.0f} TFLOP, with backward "
                f"{plain.flops / 1e12:.0f}, checkpointed {one.flops / 1e12:.0f}", "", None),
    ]  # fmt: skip


def pocket_study(templates: str, every: int) -> Study:
    study = compose_study(
        ["+experiment=kitchen", "model=pocket", f"templates={templates}", "capture=heads",
         "model.text_length=32", "attribution=change"]
    )  # fmt: skip
    return replace(study, creatures=replace(study.creatures, items=study.creatures.items[::every]))


@torch.no_grad()
def brute_force(calls: Calls, prompts: PromptSet, report: Progress) -> Truth:
    """Zero every head by itself, and patch it, on every prompt."""
    transformer, every = calls.transformer, range(len(prompts.prompts))
    batches = [every[start : start + BATCH] for start in range(0, len(every), BATCH)]
    roles = np.array(prompts.roles * len(prompts.items))
    partner, addresses = partners(prompts), [unit.address for unit in heads(calls.sites)]
    passes, written = [], []
    for batch in batches:
        with record(transformer, addresses) as kept:
            passes.append(calls.velocity(run(transformer, calls.first(batch)), calls.noise(batch)))
        written.append(dict(kept))
    intact = torch.cat(passes)
    outputs = {a: torch.cat([kept[a] for kept in written]) for a in addresses}
    way = intact[partner] - intact

    def moved(edit: Any) -> torch.Tensor:
        found = []
        for batch in batches:
            context: AbstractContextManager[Any] = edit(list(batch))
            with context:
                output = run(transformer, calls.first(batch))
            found.append(calls.velocity(output, calls.noise(batch)))
        return torch.cat(found) - intact

    change, toward = [], []
    for done, address in enumerate(addresses):
        report("brute force", done, len(addresses))
        zeroed = moved(lambda _, a=address: scale(transformer, [a], 0.0)).flatten(1).norm(dim=1)
        patched = moved(
            lambda rows, a=address: patch(transformer, [a], {a: outputs[a][partner[rows]]})
        )
        change.append((zeroed / intact.flatten(1).norm(dim=1)).numpy())
        toward.append(((patched * way).sum((1, 2)) / way.square().sum((1, 2))).numpy())
    by_role = [
        np.stack([np.array(values)[:, roles == role].mean(1) for role in ("test", "control")])
        for values in (change, toward)
    ]
    return Truth(by_role[0][0] - by_role[0][1], by_role[1])


def partners(prompts: PromptSet) -> np.ndarray:
    """By prompt, that of the other role: the same item under the wording with its number."""
    contrast, every = prompts.contrasts[0], len(prompts.conditions)
    found = np.arange(len(prompts.prompts))
    for item in range(len(prompts.items)):
        for test, control in zip(contrast.test, contrast.control, strict=True):
            pair = item * every + np.array([test, control])
            found[pair] = pair[::-1]
    return found


def correlated(figure: str, one: np.ndarray, other: np.ndarray, wanted: float | None) -> Figure:
    """A correlation over heads; its goal is Spearman's."""
    rank, linear = float(spearmanr(one, other).statistic), float(pearsonr(one, other).statistic)
    goal = ("", None) if wanted is None else (f">= {wanted:g}", rank >= wanted)
    return Figure(figure, f"{rank:.3f}, {linear:.3f}", *goal)


if __name__ == "__main__":
    main()
