"""How often each reading calls a head where there is nothing to find.

    python benchmarks/null_rate.py --seeds 200

Runs the nouns study on models without a viewpoint operation, once per seed: random weights (drawn
again, the text encoder's too), and `pocket_mention_only` on another kitchen with another noise; and
on `pocket` with the role labels shuffled over wordings. Prints the share of seeds in which the role
test calls any head, with its 95% interval, how often the rule did that the test replaced, and how
many heads the published reading calls. A study is cut to every second creature and 64 text
positions.

In these models creatures hardly differ in their response to the role. In two more rows they differ
as they do on `pocket`: its responses to all creatures, the role's mean effect taken out of every
head, the parts of items, wordings, items by role and residual kept, and then either given random
signs and a random order, or drawn again with replacement (which keeps their skew). Signs, order and
draws are those of all heads alike, so that heads stay correlated as they are.

The nominal rate is over draws of wordings. `pocket_mention_only` was trained with sixteen nouns, so
that its seeds share one draw, which is right or wrong in all of them; its row says how often a head
is called with just these. In the row below it the nouns are dealt again to the two roles, which
mean the same to this model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from rich.console import Console
from rich.table import Table
from role_populations import two_tests
from scipy.stats import binomtest

from otherview.disk.progress import Progress
from otherview.models.sites import units_of
from otherview.passes.measure import measure
from otherview.passes.responses import Responses
from otherview.passes.session import Session
from otherview.pocket import world
from otherview.pocket.rendering import load
from otherview.stats import published_reading, role_test
from otherview.stats.wordings import wording_design
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.views.progress_bars import progress_bars

READINGS = {"RMS, all tokens": ("rms", "all"), "log RMS, target tokens": ("log_rms", "target")}
FLIPS = 2000
DEALT = "mention only, nouns dealt again"
SIGNS, AGAIN = "role taken out, signs and order", "role taken out, drawn again"


@dataclass(frozen=True)
class Seed:
    """What the readings call in one study of a model that holds nothing."""

    model: str
    reading: str
    seed: int
    heads: int
    published: int
    """Heads with |t| > 3 over creatures."""
    called: int
    """Heads that the role test calls."""
    two_tests: int
    """Heads that were significant over wordings and over items: the rule before the role test."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="file that keeps every seed; goes on with it")
    parser.add_argument("--models", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    arguments = parser.parse_args()
    rows = kept(arguments.json)
    with progress_bars(Console()) as report, TemporaryDirectory() as scratch:
        for model in arguments.models:
            known = {row.seed for row in rows if row.model.startswith(model)}
            wanted = [seed for seed in range(arguments.seeds) if seed not in known]
            for drawn in SOURCES[model](wanted, Path(scratch), report):
                rows += [
                    read_seed(row, reading, drawn) for row in drawn.roles for reading in READINGS
                ]
                if arguments.json:
                    arguments.json.write_text(json.dumps([asdict(row) for row in rows]) + "\n")
    print_tables(rows, Console())


def kept(file: Path | None) -> list[Seed]:
    if file is None or not file.is_file():
        return []
    return [Seed(**row) for row in json.loads(file.read_text())]


def nouns_study(model: str, seed: int, *overrides: str, every: int = 2) -> Study:
    chosen = [f"model={model}", "templates=nouns", "capture=heads", "model.text_length=64",
              "capture.keep=[energy,mean]"]  # fmt: skip
    study = compose_study(["+experiment=kitchen", *chosen, f"seed={seed}", *overrides])
    study.creatures.items = study.creatures.items[::every]
    return study


def kitchen(seed: int, scratch: Path) -> str:
    """A kitchen that no training saw, as a file."""
    picture = world.reference(world.kitchen(world.UNSEEN + 10_000 + seed))
    file = scratch / "kitchen.png"
    Image.fromarray(np.rint(picture * 255).astype(np.uint8)).save(file)
    return f"scene.image={file}"


@dataclass(frozen=True)
class Drawn:
    """One study of a model that holds nothing."""

    responses: Responses
    seed: int
    roles: dict[str, list[str]]
    """Which wording has which role, by the row of the table that it belongs to."""


Source = Iterator[Drawn]


def random(seeds: list[int], scratch: Path, report: Progress) -> Source:
    sys.path.append(str(Path(__file__).parents[1] / "scripts"))
    from pocket_training import networks

    vae, words = load("pocket_random").vae, networks.tokenizer()
    for done, seed in enumerate(seeds):
        report("random weights", done, len(seeds))
        encoder = networks.text_encoder(words, seed + 1)
        folder = scratch / "weights"
        pipeline = networks.pipeline(vae, encoder, words, networks.random_transformer(seed))
        pipeline.save_pretrained(folder, safe_serialization=True)
        study = nouns_study("pocket_random", seed, f"model.path={folder}", kitchen(seed, scratch))
        responses = measure(study).responses
        yield Drawn(responses, seed, {"random weights": roles_of(responses)})


def mention_only(seeds: list[int], scratch: Path, report: Progress) -> Source:
    session = Session(nouns_study("pocket_mention_only", 0).model)
    for done, seed in enumerate(seeds):
        report("mention only", done, len(seeds))
        study = nouns_study("pocket_mention_only", seed, kitchen(seed, scratch))
        responses = measure(study, session=session).responses
        roles = roles_of(responses)
        dealt = list(np.random.default_rng(seed).permutation(roles))
        yield Drawn(responses, seed, {"mention only": roles, DEALT: dealt})


def shuffled_labels(seeds: list[int], scratch: Path, report: Progress) -> Source:
    study = nouns_study("pocket", 0, kitchen(0, scratch))
    responses = measure(study).responses
    roles = roles_of(responses)
    for done, seed in enumerate(seeds):
        report("shuffled labels", done, len(seeds))
        shuffled = list(np.random.default_rng(seed).permutation(roles))
        yield Drawn(responses, seed, {"shuffled labels": shuffled})


def role_taken_out(seeds: list[int], scratch: Path, report: Progress) -> Source:
    responses = measure(nouns_study("pocket", 0, kitchen(0, scratch), every=1)).responses
    roles = roles_of(responses)
    for done, seed in enumerate(seeds):
        report("role taken out", done, len(seeds))
        yield Drawn(responses, seed, {SIGNS: roles, AGAIN: roles})


def without_role(
    values: Float[np.ndarray, "items wordings heads"],
    is_test: Bool[np.ndarray, " wordings"],
    row: str,
    draws: np.random.Generator,
) -> Float[np.ndarray, "items wordings heads"]:
    """`values` without the role's mean effect, their parts randomised as `row` says."""
    items, wordings, _ = values.shape
    side = np.where(is_test, 0.5, -0.5)[:, None]
    of_role = np.stack([values[:, is_test == one].mean(axis=1) for one in (False, True)])
    in_role = of_role[is_test.astype(int)].transpose(1, 0, 2)
    of_wording = (values - in_role).mean(axis=0)
    residual = values - in_role - of_wording
    response = of_role[1] - of_role[0]
    response = response - response.mean(axis=0)
    item, wording = (draws.choice(n, size=n, replace=row == AGAIN) for n in (items, wordings))
    either = [1.0] if row == AGAIN else [-1.0, 1.0]
    signs = [draws.choice(either, size=(n, 1)) for n in (items, wordings)]
    drawn_response, drawn_wording = signs[0] * response[item], signs[1] * of_wording[wording]
    drawn_residual = residual[item][:, wording] * signs[0][:, None] * signs[1]
    return np.asarray(
        of_role.mean(axis=0)[:, None]
        + drawn_wording
        + side * drawn_response[:, None]
        + drawn_residual
    )


def roles_of(responses: Responses) -> list[str]:
    return [str(role) for role in responses.prompts.roles]


SOURCES: dict[str, Callable[[list[int], Path, Progress], Source]] = {
    "random weights": random,
    "mention only": mention_only,
    "shuffled labels": shuffled_labels,
    "role taken out": role_taken_out,
}


def read_seed(row: str, reading: str, drawn: Drawn) -> Seed:
    response, tokens = READINGS[reading]
    responses, seed, roles = drawn.responses, drawn.seed, drawn.roles[row]
    units = [
        unit
        for unit in units_of(responses.sites, "heads")
        if tokens == "all" or tokens in unit.site.token_groups
    ]
    values = responses.read(units, tokens, response)
    is_test = np.array(roles) == "test"
    draws = np.random.default_rng(seed)
    if row in (SIGNS, AGAIN):
        values = without_role(values, is_test, row, draws)
    differences = values[:, is_test].mean(1) - values[:, ~is_test].mean(1)
    published = published_reading(differences, thresholds=(3.0,), flips=1, seed=seed)
    before = two_tests(differences, values.mean(axis=0), wording_design(is_test, None), draws)
    called = role_test(values, roles, flips=FLIPS, seed=seed).called
    return Seed(
        row,
        reading,
        seed,
        len(units),
        published.counts[0].observed,
        int(called.sum()),
        int(before.sum()),
    )


def print_tables(rows: list[Seed], console: Console) -> None:
    for reading in READINGS:
        table = Table(
            title=f"nothing to find ({reading})",
            caption="seeds in which the role test calls any head, nominal 5%; last: the old rule",
        )
        table.add_column("model")
        headings = ("seeds", "|t| > 3", "any called", "95% interval", "by two tests")
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        for model in ("random weights", "mention only", DEALT, "shuffled labels", SIGNS, AGAIN):
            own = [row for row in rows if row.model == model and row.reading == reading]
            if not own:
                continue
            wrong = sum(row.called > 0 for row in own)
            interval = binomtest(wrong, len(own)).proportion_ci(0.95, "exact")
            share = np.mean([row.published / row.heads for row in own])
            table.add_row(
                model,
                str(len(own)),
                f"{share:.0%} of {own[0].heads}",
                f"{wrong / len(own):.1%}",
                f"{100 * interval.low:.1f} to {interval.high:.1%}",
                f"{np.mean([row.two_tests > 0 for row in own]):.1%}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
