"""How often predicted change calls a head of a model that has no role.

    python benchmarks/predicted_nulls.py --seeds 30

For every seed, which draws the noise and the cotangents, the kitchen study with eight nouns per
role predicts what zeroing each head changes, on random weights and on a model that was trained
without the role. A call on either is false. Wordings and items are the same throughout.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from otherview.disk.progress import Progress
from otherview.passes.head_attribution import attribute
from otherview.passes.session import Session
from otherview.passes.sessions import open_session
from otherview.stats import PredictedChangeResult, predicted_change_test
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.prompts import study_prompts
from otherview.views.progress_bars import progress_bars

NULL_MODELS = ("pocket_random", "pocket_mention_only")
WANTED = 0.95
"""Share of seeds with no call."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=NULL_MODELS, help="models without a role")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--cotangents", type=int, default=4)
    parser.add_argument("--every", type=int, default=1, help="take every n-th creature")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console, rows = Console(), []
    with progress_bars(console) as report:
        for model in arguments.models:
            study = null_study(model, arguments.cotangents, arguments.every)
            session = open_session(study)
            found = [
                predicted(replace(study, seed=seed), session, report)
                for seed in range(arguments.seeds)
            ]
            rows.append(row_of(model, study, found))
            console.print(sentence(rows[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def null_study(model: str, cotangents: int, every: int = 1) -> Study:
    study = compose_study(
        ["+experiment=kitchen", f"model={model}", "templates=nouns", "capture=heads",
         "model.text_length=32", "attribution=change", f"attribution.cotangents={cotangents}"]
    )  # fmt: skip
    return replace(study, creatures=replace(study.creatures, items=study.creatures.items[::every]))


def predicted(study: Study, session: Session, report: Progress) -> PredictedChangeResult:
    """The test of a study's predicted changes."""
    asked, batch_size = study.attribution, study.model.batch_size
    assert isinstance(batch_size, int)
    found = attribute(
        session.calls(study),
        study_prompts(study),
        cotangents=asked.cotangents,
        seed=study.seed,
        batch_size=batch_size,
        progress=report,
    )
    return predicted_change_test(
        found.zeroed(), found.prompts.roles, floor=asked.floor, seed=study.seed
    )


def row_of(model: str, study: Study, found: list[PredictedChangeResult]) -> dict[str, Any]:
    return {
        "model": model,
        "items": len(study.creatures.items),
        "cotangents": study.attribution.cotangents,
        "seeds": len(found),
        "seeds_without_a_call": sum(not each.called.any() for each in found),
        "seeds_without_a_call_at_floor_0": sum(not (each.bound > 0).any() for each in found),
        "largest_bound": max(float(each.bound.max()) for each in found),
    }


def sentence(row: dict[str, Any]) -> str:
    share = row["seeds_without_a_call"] / row["seeds"]
    return (
        f"{row['model']}: no head is called in {row['seeds_without_a_call']} of {row['seeds']} "
        "seeds "
        f"(wanted {WANTED:.0%}: {'met' if share >= WANTED else 'missed'}); without a floor in "
        f"{row['seeds_without_a_call_at_floor_0']}. {row['items']} creatures, "
        f"{row['cotangents']} cotangents; the largest lower bound of a difference is "
        f"{row['largest_bound']:.3f} of the prediction."
    )


if __name__ == "__main__":
    main()
