"""Studies of every family, under every way to run them, against the plain study on the CPU.

    python benchmarks/families.py                                  # a simulated accelerator
    python benchmarks/families.py --device cuda --processes 8
    python benchmarks/families.py --only sd3,wan22 --kinds all --ways group

The pipelines are the tiny random ones of the tests. What counts is the largest change of any number
in the arrays of a result, as a share of the largest number of its array. A way that a family does
not allow is refused in one line; anything else that is raised is a failure. Each family is written
when it is done, and the same command continues where the last one stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
import xarray as xr
from figures import Figure, environment, print_figures, quiet
from torch.nn.attention import SDPBackend, sdpa_kernel

from otherview.disk.atomic import write_json
from otherview.disk.progress import silent
from otherview.results.run_study import make_result
from otherview.study.errors import StudyError
from otherview.views.report import write_report

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.accelerator import simulated
from tests.families import NAMES, Tiny, make
from tests.families.pictures import small_pictures
from tests.families.studies import tiny_study

EDITS = ("intervention.draws=2", "intervention.curve_draws=2", "intervention.heads=strongest",
         "intervention.top=2")  # fmt: skip
KINDS: dict[str, Sequence[str]] = {
    "measured": (),
    "levels": ("sampling.levels=[1.0,0.5]",),
    "shuffled": ("nulls.label_shuffle=2",),
    "ablate": ("capture=heads", "intervention=ablate", *EDITS),
    "patch": ("capture=heads", "intervention=patch", *EDITS),
    "steer": ("capture=heads", "capture.keep=[energy,mean]", "intervention=steer", *EDITS),
    "edges": ("capture=heads", "attribution=change", "attribution.cotangents=1",
              "attribution.edges=true", "attribution.toward_items=2"),
}  # fmt: skip
QUANTISED = "model.loading.quantisation.{part}={how}"
PARTS = ("transformer", "text_encoder")
WAYS: dict[str, Sequence[str]] = {
    "alone": ("model.device=cpu", "model.batch_size=1"),
    "device": (),
    "model": ("model.loading.offload=model",),
    "group": ("model.loading.offload=group",),
    "cpu": ("model.loading.offload=cpu",),
    "bfloat16": ("model.dtype=bfloat16",),
    **{how: tuple(QUANTISED.format(part=part, how=how) for part in PARTS)
       for how in ("fp8_layerwise", "torchao_int8")},
}  # fmt: skip
"""Each on the device, but `alone`: on the CPU, one prompt at a time."""
LOW_PRECISION = ("bfloat16", "fp8_layerwise", "torchao_int8")
LIMIT = 1e-4
"""Of a change, where precision is that of the CPU."""


@dataclass(frozen=True)
class Outcome:
    """What became of a study under one way."""

    kind: str
    way: str
    change: float | None = None
    """The largest, as a share; None where there is none."""
    said: str = ""
    """Why it was refused, or failed."""

    @property
    def is_wrong(self) -> bool:
        """Whether it failed, or changed more than rounding does."""
        beyond = self.change is not None and not self.change <= LIMIT
        return self.said.startswith("failed") or (beyond and self.way not in LOW_PRECISION)

    def __str__(self) -> str:
        change = "" if self.change is None else f"{self.change:.1e}"
        return f"{self.kind}, {self.way}: {change or self.said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="families, with commas between; default: all")
    parser.add_argument("--kinds", default="ablate", help=f"of {', '.join(KINDS)}, or all (ablate)")
    parser.add_argument("--ways", default="all", help=f"of {', '.join(WAYS)}, or all (all)")
    parser.add_argument("--device", help="of the ways; default: a simulated accelerator")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at once (cores)")
    parser.add_argument("--json", type=Path, default=Path("families.json"), help="for the outcomes")
    given = parser.parse_args()
    os.environ |= environment()
    families = chosen(given.only or "all", NAMES, "family")
    kinds, ways = chosen(given.kinds, KINDS, "kind"), chosen(given.ways, WAYS, "way")
    kept = kept_outcomes(given.json, given.device, kinds, ways)
    told: set[str] = set()
    for name, outcomes in outcomes_of(
        [name for name in families if name not in kept["families"]],
        partial(run_family, kinds=kinds, ways=ways, device=given.device),
        given.processes,
        prepare_worker if given.device else prepare_simulation,
    ):
        kept["families"][name] = [asdict(outcome) for outcome in outcomes]
        write_json(given.json, kept)
        print_family(name, outcomes, told)
    found = {name: [Outcome(**each) for each in kept["families"][name]] for name in families}
    device = given.device or simulated.NAME
    print_figures(f"{len(found)} families", figures_of(found, kinds, ways, device))
    wrong = [name for name, outcomes in found.items() if any(each.is_wrong for each in outcomes)]
    if wrong:
        raise SystemExit(f"failed, or changed by more than {LIMIT:g}: {', '.join(wrong)}")


def chosen(words: str, known: Sequence[str] | Mapping[str, object], noun: str) -> list[str]:
    """Return the names in `words`, with commas between."""
    wanted = list(known) if words == "all" else words.split(",")
    for name in wanted:
        if name not in known:
            raise SystemExit(f"no {noun} is called {name}; there are: {', '.join(known)}")
    return wanted


def kept_outcomes(
    file: Path, device: str | None, kinds: list[str], ways: list[str]
) -> dict[str, Any]:
    """Return the content of `file`, which an earlier call wrote, or that of a new one.

    Raises SystemExit if its outcomes are of other settings or versions.
    """
    here = {
        "settings": {"device": device, "kinds": kinds, "ways": ways},
        "versions": {each.__name__: each.__version__ for each in (torch, diffusers, transformers)},
    }
    if not file.exists():
        return {**here, "families": {}}
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name, value in here.items():
        if kept[name] != value:
            raise SystemExit(f"{file} has outcomes of other {name}: name a new file")
    return kept


def outcomes_of(
    names: list[str],
    run: partial[list[Outcome]],
    processes: int,
    prepare: Callable[[], None],
) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the outcomes of families as they are done, each in one of so many processes."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, prepare) as pool:
        running = {pool.submit(run, name): name for name in names}
        for done in as_completed(running):
            yield running[done], done.result()


def prepare_worker() -> None:
    quiet()
    torch.set_num_threads(1)


def prepare_simulation() -> None:
    prepare_worker()
    simulated.register()


def run_family(
    name: str, kinds: Sequence[str], ways: Sequence[str], device: str | None
) -> list[Outcome]:
    """Run the kinds of studies of a family plainly, and each under every way."""
    tiny, found = make(name), []
    # the simulated device has no other attention where gradients are taken
    attention = sdpa_kernel(SDPBackend.MATH) if device is None else nullcontext()
    with small_pictures(), attention, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tiny.pipeline.save_pretrained(folder / "tiny")
        for kind in kinds:
            plain = numbers_or_reason(tiny, folder, *KINDS[kind], "model.device=cpu")
            for way in ways:
                if isinstance(plain, str):
                    found.append(Outcome(kind, way, said=plain))
                    continue
                there = f"model.device={device or simulated.SECOND}"
                other = numbers_or_reason(tiny, folder, *KINDS[kind], there, *WAYS[way])
                change = None if isinstance(other, str) else largest_change(plain, other)
                found.append(Outcome(kind, way, change, other if isinstance(other, str) else ""))
    return found


def numbers_or_reason(tiny: Tiny, folder: Path, *words: str) -> dict[str, np.ndarray] | str:
    """Return the numbers in the arrays of the result of a study and its page, or why none."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        result = Path(name)
        try:
            make_result(tiny_study(tiny, folder / "tiny", *words), result, silent)
            write_report(result)
        except StudyError as error:
            return f"refused: {error}"
        except Exception as error:
            traceback.print_exc()
            return f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return {
            f"{file.stem}.{array}": values.values.astype(float)
            for file in sorted(result.glob("*.nc"))
            for array, values in xr.load_dataset(file).data_vars.items()
            if values.dtype.kind == "f"
        }


def largest_change(plain: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the largest change of a number, as a share of the largest of its array.

    Infinite where one has a number and the other has none.
    """
    changes = [0.0]
    for name, values in plain.items():
        if not np.array_equal(np.isnan(values), np.isnan(other[name])):
            return float("inf")
        largest = np.nanmax(np.abs(values), initial=0.0)
        if largest:
            changes.append(np.nanmax(np.abs(other[name] - values)) / largest)
    return float(max(changes))


def print_family(name: str, outcomes: Sequence[Outcome], told: set[str]) -> None:
    """Print what became of a family; the reasons that are in `told` were printed before."""
    said = ""
    for words, low in (("largest change", False), ("in low precision", True)):
        changes = [
            each.change
            for each in outcomes
            if each.change is not None and (each.way in LOW_PRECISION) == low
        ]
        said += f", {words} {max(changes):.1e}" if changes else ""
    compared = sum(each.change is not None for each in outcomes)
    print(f"{name}: {compared} of {len(outcomes)} studies compared{said}", flush=True)
    for outcome in outcomes:
        if outcome.is_wrong or (outcome.said and outcome.said not in told):
            print(f"  {outcome}", flush=True)
            told.add(outcome.said)


def figures_of(
    found: Mapping[str, Sequence[Outcome]], kinds: Sequence[str], ways: Sequence[str], device: str
) -> list[Figure]:
    """Return the largest change under every way, with its family."""
    figures = []
    for kind, way in itertools.product(kinds, ways):
        changes = {
            name: each.change
            for name, outcomes in found.items()
            for each in outcomes
            if (each.kind, each.way) == (kind, way) and each.change is not None
        }
        if changes:
            worst = max(changes, key=lambda name: changes[name])
            most, is_low = changes[worst], way in LOW_PRECISION
            label = f"{kind}, {way}: largest change in {len(changes)} of {len(found)} families"
            goal, reached = ("", None) if is_low else (f"<= {LIMIT:.0e}", most <= LIMIT)
            figures.append(Figure(label, f"{most:.1e} ({worst})", goal, reached, device))
    return figures


if __name__ == "__main__":
    main()
