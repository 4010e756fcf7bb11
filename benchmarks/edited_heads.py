"""What heads do, where the truth is known: part of benchmarks/ground_truth.py.

Heads are chosen by the role test over eight nouns per role on half of the creatures. They are
zeroed, one by one and together, and measured on the other half under the first noun of each role.
The heads that cost views most by themselves are measured, too: no choice can be expected to beat
them.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from figures import Figure, print_figures

from otherview.analysis.analyse import Analysis, analyse
from otherview.causes.intervene import check_intervention, intervene
from otherview.causes.single_heads import rank_correlations
from otherview.disk.atomic import write_json
from otherview.disk.progress import Progress
from otherview.models.weights import shipped_or_own
from otherview.passes.measure import Measurement, measure
from otherview.passes.sessions import open_session
from otherview.pocket.rendering import load, read_card
from otherview.stats import RoleTestResult, SignFlipResult
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.views.causes_sentences import CORRELATED

STORED = Path(__file__).with_name("before_planting.json")
"""Figures of models without a planted head, whose weights are not shipped."""
UNPLANTED = {
    "taught": "taught, before planting",
    "unplanted": "taught with heads dropped",
}
"""Stages of training without a planted head, and how they are called here."""
SELECTIVE = ("capture.tokens=target", "intervention.direction=test")
"""Heads that are selective for views write more for them, where the picture is made."""
WANTED_RATIO = 3.0
"""What the strongest heads before planting should cost views, over what random sets cost."""
READINGS = {"all": "all tokens", "target": "target tokens"}
SIZE = 8


def edited_heads(
    model: str, text_length: int, draws: int, report: Progress, *overrides: str
) -> dict[str, Any]:
    """The figures of a shipped checkpoint or of a pipeline's folder.

    `text_length` is that of the edited passes; heads are chosen at the study's own.
    """
    where = f"model.path={model}" if Path(model).is_dir() else f"model={model}"
    study = compose_study(
        [
            "+experiment=kitchen",
            *(["model=pocket"] if where.startswith("model.path") else []),
            where,
            "templates=nouns",
            "capture=heads",
            "intervention=ablate",
            f"intervention.text_length={text_length}",
            f"intervention.draws={draws}",
            f"intervention.top={SIZE}",
            "intervention.growth=0",
            *overrides,
        ]
    )
    session = open_session(study)
    check_intervention(study, session)
    measurement = measure(study, report, session)
    # |t| as it is published: one pair of wordings, not the mean over the nouns
    pair = replace(study, templates=compose_study(["+experiment=kitchen"]).templates)
    measured_pair = measure(pair, report, session)

    def edit(changed: Study) -> tuple[dict[str, Any], pl.DataFrame]:
        analyses = analyse(measurement.responses, changed, report)
        with tempfile.TemporaryDirectory() as folder:
            found = intervene(changed, session, measurement, Path(folder), analyses, report)
            return found, pl.read_parquet(Path(folder) / "interventions.parquet")

    found, heads = edit(study)
    costliest = heads.top_k(SIZE, by="psnr_test")["unit"].to_list()
    listed = replace(
        study.intervention,
        heads="listed", addresses=costliest, direction="either", singles="matched",
    )  # fmt: skip
    best, _ = edit(replace(study, intervention=listed))
    return {
        "selection": found["selection"],
        "text_length": text_length,
        "draws": draws,
        "selected": effects(found),
        "costliest": {"heads": costliest, **effects(best)},
        "verdicts": found["verdicts"],
        "correlation": {
            tokens: rank_correlations(
                with_statistics(heads, measurement, measured_pair, study, pair, tokens)
            )
            for tokens in READINGS
        },
        "heads": heads.select(
            "unit", "p_test", "p_control", "change_test", "change_control", "verdict"
        ).to_dicts(),
        "seconds": found["seconds"],
    }


def effects(found: dict[str, Any]) -> dict[str, Any]:
    """Of the chosen set: by role (and of the difference of both), by measure."""
    kept = ("value", "null_mean", "p")
    by_role: dict[str, Any] = {"test": {}, "control": {}, "difference": {}}
    for row in (*found["sets"], *found["specificity"]):
        if row["set"] == "selected":
            of = row.get("role", "difference")
            by_role[of][row["measure"]] = {name: row[name] for name in kept}
    return by_role


def with_statistics(
    heads: pl.DataFrame,
    nouns: Measurement,
    pair: Measurement,
    study: Study,
    study_of_pair: Study,
    tokens: str,
) -> pl.DataFrame:
    """What heads do, and what the statistics over `tokens` say of them."""

    def analysis(measured: Measurement, of: Study) -> Analysis:
        capture = replace(of.capture, tokens=tokens)
        return analyse(measured.responses, replace(of, capture=capture))["heads"]

    role, published = analysis(nouns, study), analysis(pair, study_of_pair)
    by_role = role.of(RoleTestResult)
    found = pl.DataFrame(
        {
            "unit": [unit.address for unit in role.units],
            "role_t": by_role.t,
            "t": published.of(SignFlipResult).t,
        }
    )
    return heads.select("unit", "specificity").join(found, on="unit").fill_nan(None)


def before_planting(stages: Path, text_length: int, draws: int, report: Progress) -> dict[str, Any]:
    """The figures of the stages in `stages`, stored for those who have no such folder."""
    there = [name for name in UNPLANTED if (stages / f"{name}.safetensors").is_file()]
    if not there:
        raise SystemExit(
            f"--before-planting {stages}: there is no {' or '.join(UNPLANTED)}.safetensors; name "
            "the folder that `scripts/train_pocket.py` wrote"
        )
    stored = stored_before_planting()
    for name in there:
        with tempfile.TemporaryDirectory() as folder:
            assemble(stages, name, Path(folder))
            stored[name] = edited_heads(folder, text_length, draws, report, *SELECTIVE)
    write_json(STORED, stored)
    return stored


def print_causes(planted: dict[str, Any] | None, unplanted: dict[str, Any]) -> None:
    """The figures, and what is wanted of them."""
    rows = [
        *(planted_rows(planted) if planted else ()),
        *(row for stage, found in unplanted.items() for row in unplanted_rows(stage, found)),
    ]
    title = "interventions: heads zeroed, on creatures that did not choose them"
    print_figures(title, rows)


def stored_before_planting() -> dict[str, Any]:
    """What `before_planting` stored, by stage; empty if it was never run."""
    return dict(json.loads(STORED.read_text())) if STORED.is_file() else {}


def planted_rows(found: dict[str, Any]) -> list[Figure]:
    card = card_of("pocket")
    heads = {row["unit"]: row for row in found["heads"]}
    gate, decoy = heads[card["gate"]], heads[card["decoy"]]
    return [
        Figure(
            f"gate {card['gate']} zeroed: change of views",
            f"{gate['change_test']:.3f}, p = {gate['p_test']:.3f}",
            "p <= 0.05",
            gate["p_test"] <= 0.05,
        ),
        Figure(
            f"gate {card['gate']} zeroed: change of mentions",
            f"{gate['change_control']:.3f}, p = {gate['p_control']:.3f}",
            "p > 0.05",
            gate["p_control"] > 0.05,
        ),
        Figure(f"gate {card['gate']} is called", gate["verdict"]),
        Figure(
            f"decoy {card['decoy']} is called",
            decoy["verdict"],
            "differs, does nothing",
            decoy["verdict"] == "differs, does nothing",
        ),
        *correlation_rows("pocket", found),
    ]


def unplanted_rows(stage: str, found: dict[str, Any]) -> list[Figure]:
    name, size = UNPLANTED[stage], len(found["selection"]["heads"])
    chosen, best = found["selected"], found["costliest"]
    views, mentions, more = (chosen[of]["psnr"] for of in ("test", "control", "difference"))
    limit = best["test"]["psnr"]
    ratio = views["value"] / views["null_mean"]
    return [
        Figure(
            f"{name}, {size} strongest zeroed: dB that views lose",
            f"{against(views)}, {ratio:.1f} x",
            f">= {WANTED_RATIO:g} x",
            ratio >= WANTED_RATIO,
        ),
        Figure(
            f"{name}, the {len(best['heads'])} that cost most, found by their cost",
            f"{against(limit)}, {limit['value'] / limit['null_mean']:.1f} x",
        ),
        Figure(
            f"{name}, {size} strongest zeroed: dB that mentions lose",
            against(mentions),
            "p > 0.05",
            mentions["p"] > 0.05,
        ),
        Figure(
            f"{name}, {size} strongest zeroed: dB that views lose more than mentions",
            against(more),
            "p <= 0.05",
            more["p"] <= 0.05,
        ),
        *correlation_rows(name, found),
    ]


def against(effect: dict[str, float]) -> str:
    return f"{effect['value']:.2f}, random sets {effect['null_mean']:.2f}, p = {effect['p']:.3f}"


def correlation_rows(name: str, found: dict[str, Any]) -> list[Figure]:
    """Rank correlations with specificity, one row per reading."""
    rows: list[Figure] = []
    for tokens, title in READINGS.items():
        of = found["correlation"][tokens]
        told = ", ".join(f"{CORRELATED[key]} {of[key]:.2f}" for key in CORRELATED if key in of)
        rows.append(Figure(f"{name}, {title}: rank correlation with specificity", told))
    return rows


def card_of(model: str) -> dict[str, str]:
    """Return what the card of a shipped model names: its gate and its decoy."""
    path = compose_study(["+experiment=kitchen", f"model={model}"]).model.path
    assert path is not None
    return {k: v for k, v in read_card(shipped_or_own(path)).items() if v is not None}


def assemble(stages: Path, stage: str, folder: Path) -> None:
    """A pipeline of a stage's transformer and of the parts that training it leaves alone."""
    from safetensors.torch import load_file

    own = stages / "checkpoints" / "pocket"
    pipeline = load(own if own.is_dir() else "pocket")
    stored = load_file(stages / f"{stage}.safetensors")
    average = {k.removeprefix("average."): v for k, v in stored.items() if k.startswith("average.")}
    pipeline.transformer.load_state_dict(average)
    pipeline.save_pretrained(folder, safe_serialization=True)
