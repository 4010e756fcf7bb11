"""The published table from random weights, at the published model's real size.

    python benchmarks/real_size.py --out runs                      # CPU: hours, 16 GB of disk
    python benchmarks/real_size.py --out runs --device cuda --size 1024
    python benchmarks/real_size.py --out runs --table              # what is there so far

For every seed, writes FLUX.2 Klein base 4B (transformer, Qwen3-4B text encoder, VAE) with random
weights and runs two studies on it: `kitchen`, the published protocol, and `nouns`, eight nouns per
role. Prints both as Markdown tables, the published figures first. A study that has not finished has
no column.

The same command continues after a kill: finished studies and written parts are kept, and an
unfinished study keeps its batches. A seed's weights are removed once its studies are finished, and
before the next seed's are written (`--keep` keeps them).

Weights are drawn on the CPU, each part from its own seed, by the initialisation of its class. The
tokenizer, the scheduler and the reference picture are those of `pocket`, since the real tokenizer
does not ship with diffusers. `--small` runs the same on pocket's architecture, in seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from numpy import median
from PIL import Image
from random_models import write_random_pipeline
from real_size_tables import Row, kitchen_table, nouns_table
from rich.console import Console

import otherview
from otherview.study.compose import compose_study

POCKET = Path(otherview.__file__).resolve().parent / "pocket"
STUDIES = ("kitchen", "nouns")


@dataclass(frozen=True)
class Settings:
    """What decides a seed's results, and where they go."""

    out: Path
    small: bool
    device: str
    size: int
    """Side of the target and of the reference in pixels."""
    text_length: int
    batch_size: int
    creatures: int
    """Creatures of `nouns`; `kitchen` has the published thirty."""

    @property
    def model(self) -> str:
        """The entry of `conf/model` whose architecture gets random weights."""
        return "pocket" if self.small else "flux2_klein_4b"

    def seed_folder(self, seed: int) -> Path:
        return self.out / f"random_{self.model}_seed{seed}"

    def study_folder(self, seed: int, study: str) -> Path:
        """A folder of its own for whatever decides the result: other settings, another folder."""
        name = f"{study}-{self.size}px-{self.text_length}tokens"
        name += f"-{self.creatures}creatures" if study == "nouns" else ""
        return self.seed_folder(seed) / name


def main() -> None:
    given, settings = parsed_arguments()
    # As Ctrl-C does: the study that is under way ends with this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not given.table:
        try:
            for seed in given.seeds:
                run_seed(settings, seed, given.studies, given.keep)
        except KeyboardInterrupt:
            raise SystemExit("interrupted; the same command continues") from None
    rows = finished_studies(settings)
    figures = compose_study(["+experiment=kitchen"]).published
    assert figures is not None
    published = asdict(figures)
    if given.json:
        content = {"published": published, "random_weights": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    console = Console(width=400, soft_wrap=True)
    console.print(kitchen_table([row for row in rows if row.study == "kitchen"], published))
    nouns = [row for row in rows if row.study == "nouns"]
    if nouns:
        console.print(nouns_table(nouns))
    for line in unfinished_studies(settings):
        console.print(line)


def parsed_arguments() -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of weights and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the weights")
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--size", type=int, default=256, help="pixels per side (256)")
    parser.add_argument("--text-length", type=int, default=512, help="text tokens (512)")
    parser.add_argument("--creatures", type=int, default=12, help="creatures of nouns (12 of 30)")
    parser.add_argument("--batch-size", type=int, default=2, help="prompts per pass (2)")
    parser.add_argument("--keep", action="store_true", help="keep the weights of every seed")
    parser.add_argument("--small", action="store_true", help="pocket's architecture instead")
    parser.add_argument("--table", action="store_true", help="run nothing, print what is there")
    parser.add_argument("--json", type=Path, help="file for the tables")
    given = parser.parse_args()
    settings = Settings(
        out=given.out.resolve(),
        small=given.small,
        device=given.device,
        size=given.size,
        text_length=given.text_length,
        batch_size=given.batch_size,
        creatures=given.creatures,
    )
    return given, settings


def run_seed(settings: Settings, seed: int, studies: Sequence[str], keep: bool) -> None:
    """Run those of `studies` that have not finished, writing the weights where necessary."""
    weights = settings.out / "weights"
    mine = weights / settings.seed_folder(seed).name
    missing = [study for study in studies if not is_finished(settings.study_folder(seed, study))]
    if missing:
        if not keep and weights.is_dir():
            for other in weights.iterdir():
                if other != mine:
                    shutil.rmtree(other)
        print(f"writing {mine.name}", flush=True)
        size = "pocket" if settings.small else "klein"
        write_random_pipeline(size, mine, "cpu", "bfloat16", seed)
        for study in missing:
            run_study(settings, seed, study, mine)
    if not keep:
        shutil.rmtree(mine, ignore_errors=True)
        shutil.rmtree(settings.out / "cache", ignore_errors=True)


def run_study(settings: Settings, seed: int, study: str, weights: Path) -> None:
    """Run one study through the command line. Raises SystemExit where it fails."""
    folder = settings.study_folder(seed, study)
    picture = settings.out / f"kitchen-{settings.size}px.png"
    if not picture.is_file():
        side = (settings.size, settings.size)
        Image.open(POCKET / "kitchen.png").convert("RGB").resize(side).save(picture)
    overrides = {
        "model": settings.model,
        "model.path": weights,
        "model.name": weights.name,
        "model.device": settings.device,
        "model.dtype": "bfloat16",
        "model.height": settings.size,
        "model.width": settings.size,
        "model.text_length": settings.text_length,
        "model.batch_size": settings.batch_size,
        "scene.prompt": None,
        "scene.image": picture,
        "published": None,
        "tracking": "off",
        "hydra.run.dir": folder,
    }
    if study == "nouns":
        overrides |= {"templates": "nouns", "capture": "heads"}
        overrides["creatures.items"] = evenly_chosen(settings.creatures)
    arguments = [f"{name}={json.dumps(value, default=str)}" for name, value in overrides.items()]
    print(f"running {folder.relative_to(settings.out)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "otherview.run", "+experiment=kitchen", *arguments],
        env={**os.environ, "OTHERVIEW_CACHE": str(settings.out / "cache")},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{folder} failed; the same command continues it")


def evenly_chosen(count: int) -> list[str]:
    """`count` of the published creatures, evenly spaced along their axis.

    Raises SystemExit where there are not so many.
    """
    every = compose_study(["+experiment=kitchen"]).creatures.items
    if not 2 <= count <= len(every):
        raise SystemExit(f"--creatures={count}: choose 2 to {len(every)}")
    return [every[place * len(every) // count] for place in range(count)]


def is_finished(folder: Path) -> bool:
    """Whether a study has its result: `summary.json` is written last."""
    return (folder / "summary.json").is_file()


def study_folders(settings: Settings) -> Iterator[tuple[int, str, Path]]:
    """Seed, study and folder of every study that was started, in order."""
    found = []
    for parent in settings.out.glob(f"random_{settings.model}_seed*"):
        seed = int(parent.name.rpartition("seed")[2])
        found += [(seed, folder.name.partition("-")[0], folder) for folder in parent.iterdir()]
    yield from sorted(found)


def finished_studies(settings: Settings) -> list[Row]:
    """Every finished study below `settings.out`, whatever its size and text length."""
    rows = []
    for seed, study, folder in study_folders(settings):
        if is_finished(folder):
            summary = json.loads((folder / "summary.json").read_text())
            model, contrast = summary["settings"]["model"], summary["contrast"]
            row = Row(
                seed=seed,
                study=study,
                pixels=model["height"],
                text_length=model["text_length"],
                items=summary["items"],
                wordings=len(contrast["test"]) + len(contrast["control"]),
                device=summary["provenance"]["device_name"],
                dtype=model["dtype"],
                commit=summary["provenance"]["commit"],
                model_revision=summary["provenance"]["model_revision"],
                finished=summary["provenance"]["finished"],
                results=summary["results"],
            )
            rows.append(row)
    return rows


def unfinished_studies(settings: Settings) -> Iterator[str]:
    """A line for every study that was started and has no result yet."""
    for _, _, folder in study_folders(settings):
        file = folder / ".hydra" / "config.yaml"
        if is_finished(folder) or not file.is_file():
            continue
        config = yaml.safe_load(file.read_text())
        wordings = [*config["templates"]["test"], *config["templates"]["control"]]
        passes = len(config["creatures"]["items"]) * len(wordings)
        total = math.ceil(passes / config["model"]["batch_size"])
        written = sorted(batch.stat().st_mtime for batch in folder.rglob("*.safetensors"))
        line = f"{folder.relative_to(settings.out)}: {len(written)} of {total} batches"
        if len(written) > 1:
            seconds = median([later - one for one, later in itertools.pairwise(written)])
            left = seconds * (total - len(written)) / 60
            line += f", {seconds:.0f} s per batch, {left:.0f} minutes left at that"
        yield line


if __name__ == "__main__":
    main()
