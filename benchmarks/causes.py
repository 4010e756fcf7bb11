"""What heads do, where the truth is known: part of benchmarks/ground_truth.py.

Heads are chosen by the role test over eight nouns a role on half of the creatures; they are zeroed,
one by one and together, and measured on the other half under the first noun of each role.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from otherview.analysis import analyse
from otherview.atomic import write_json
from otherview.compose import compose_study
from otherview.interventions.intervene import check_intervention, intervene
from otherview.measure import Progress, measure
from otherview.session import open_session
from otherview.weights import shipped_or_own

STORED = Path(__file__).with_name("before_planting.json")
"""Figures of the model before planting, whose weights are not shipped."""
WANTED_RATIO = 3.0
"""What the strongest heads before planting should cost views, over what random sets cost."""
TAUGHT = "taught.safetensors"


def causes(
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
            "intervention.growth=0",
            *overrides,
        ]
    )
    session = open_session(study)
    check_intervention(study, session)
    measurement = measure(study, report, session)
    analyses = analyse(measurement.responses, study, report)
    # |t| as it is published: one pair of wordings, not the mean over the nouns
    pair = replace(study, templates=compose_study(["+experiment=kitchen"]).templates)
    published = analyse(measure(pair, report, session).responses, pair, report)[0].published
    t = {unit.address: float(t) for unit, t in zip(analyses[0].units, published.t, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        found = intervene(study, session, measurement, Path(folder), analyses, report)
        heads = pl.read_parquet(Path(folder) / "interventions.parquet")
    heads = heads.with_columns(
        t=pl.col("unit").replace_strict(t, default=None, return_dtype=pl.Float64)
    )
    selected = {
        (row["role"], row["measure"]): {key: row[key] for key in ("value", "null_mean", "p")}
        for row in found["sets"]
        if row["set"] == "selected"
    }
    return {
        "selection": found["selection"],
        "text_length": text_length,
        "draws": draws,
        "selected": {
            role: {measure: row for (of, measure), row in selected.items() if of == role}
            for role in ("test", "control")
        },
        "verdicts": found["verdicts"],
        "correlation": _correlations(heads),
        "heads": heads.select(
            "unit", "p_test", "p_control", "change_test", "change_control", "verdict"
        ).to_dicts(),
        "seconds": found["seconds"],
    }


def before_planting(stages: Path, text_length: int, draws: int, report: Progress) -> dict[str, Any]:
    """The figures of the taught stage in `stages`, stored for those who have no such folder."""
    with tempfile.TemporaryDirectory() as folder:
        _assemble(stages, Path(folder))
        found = causes(folder, text_length, draws, report)
    write_json(STORED, found)
    return found


def print_causes(planted: dict[str, Any] | None, taught: dict[str, Any] | None) -> None:
    """The figures beside what is wanted of them."""
    console = Console()
    table = Table(title="interventions: heads zeroed, on creatures that did not choose them")
    for heading in ("figure", "measured", "wanted", ""):
        table.add_column(heading)
    for name, measured, wanted, met in (
        *(_planted_rows(planted) if planted else ()),
        *(_taught_rows(taught) if taught else ()),
    ):
        table.add_row(name, measured, wanted, "" if met is None else "met" if met else "missed")
    console.print(table)


def stored_before_planting() -> dict[str, Any] | None:
    """What `before_planting` stored, if it was ever run."""
    return dict(json.loads(STORED.read_text())) if STORED.is_file() else None


Row = tuple[str, str, str, bool | None]


def _planted_rows(found: dict[str, Any]) -> Sequence[Row]:
    card = _card("pocket")
    heads = {row["unit"]: row for row in found["heads"]}
    gate, decoy = heads[card["gate"]], heads[card["decoy"]]
    correlation = found["correlation"]
    return (
        (
            f"gate {card['gate']} zeroed: change of views",
            f"{gate['change_test']:.3f}, p = {gate['p_test']:.3f}",
            "p <= 0.05",
            gate["p_test"] <= 0.05,
        ),
        (
            f"gate {card['gate']} zeroed: change of mentions",
            f"{gate['change_control']:.3f}, p = {gate['p_control']:.3f}",
            "p > 0.05",
            gate["p_control"] > 0.05,
        ),
        (f"gate {card['gate']} is called", gate["verdict"], "", None),
        (
            f"decoy {card['decoy']} is called",
            decoy["verdict"],
            "differs, does nothing",
            decoy["verdict"] == "differs, does nothing",
        ),
        (
            "rank correlation with specificity: role test",
            f"{correlation['role_min_f']:.2f} over {correlation['heads']} heads",
            "",
            None,
        ),
        (
            "rank correlation with specificity: published |t|",
            f"{correlation['t']:.2f} over {correlation['heads']} heads",
            "",
            None,
        ),
    )


def _taught_rows(found: dict[str, Any]) -> Sequence[Row]:
    views, mentions = (found["selected"][role]["psnr"] for role in ("test", "control"))
    ratio = views["value"] / views["null_mean"]
    size = len(found["selection"]["heads"])
    return (
        (
            f"before planting, {size} strongest zeroed: dB that views lose",
            f"{views['value']:.2f}, random sets {views['null_mean']:.2f}, {ratio:.1f} x, "
            f"p = {views['p']:.3f}",
            f">= {WANTED_RATIO:g} x",
            ratio >= WANTED_RATIO,
        ),
        (
            f"before planting, {size} strongest zeroed: dB that mentions lose",
            f"{mentions['value']:.2f}, random sets {mentions['null_mean']:.2f}, "
            f"p = {mentions['p']:.3f}",
            "p > 0.05",
            mentions["p"] > 0.05,
        ),
        ("before planting, role test", _correlation(found, "role_min_f"), "", None),
        ("before planting, published |t|", _correlation(found, "t"), "", None),
    )


def _correlation(found: dict[str, Any], name: str) -> str:
    correlation = found["correlation"]
    return f"{correlation[name]:.2f} over {correlation['heads']} heads"


def _correlations(heads: pl.DataFrame) -> dict[str, float | int]:
    from otherview.interventions.single_heads import rank_correlations

    return rank_correlations(heads)


def _card(model: str) -> dict[str, str]:
    path = compose_study(["+experiment=kitchen", f"model={model}"]).model.path
    assert path is not None
    return dict(json.loads((shipped_or_own(path) / "card.json").read_text()))


def _assemble(stages: Path, folder: Path) -> None:
    """A pipeline of the taught transformer and of the parts that planting leaves alone."""
    from otherview.pocket import checkpoint, networks
    from otherview.pocket.rendering import load

    taught = stages / TAUGHT
    if not taught.is_file():
        raise SystemExit(
            f"--before-planting {stages}: there is no {TAUGHT}; name the folder that "
            "`python -m otherview.pocket.train` wrote"
        )
    own = stages / "checkpoints" / "pocket"
    pipeline = load(own if own.is_dir() else "pocket")
    transformer = networks.transformer(seed=0)
    transformer.load_state_dict(checkpoint.read_average(taught))
    pipeline.register_modules(transformer=transformer.eval())
    pipeline.save_pretrained(folder, safe_serialization=True)
