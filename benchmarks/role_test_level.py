"""How often the role test calls a head where no role has an effect, and how often it finds one.

    python benchmarks/role_test_level.py            # 20 sets per cell, the table in some minutes
    python benchmarks/role_test_level.py --full     # 2,000 sets per cell; goes on where it ended

Level: responses are simulated with items and wordings both drawn at random, and no difference of
roles in either population. A cell is one ratio of what items add to the variance of the role's
difference over what wordings add, times wordings per role, items, distribution of all effects,
correlation between heads, and heads. A set of 720 heads also serves as 15 sets of 48 and 720 sets
of one; its standard error is over sets of 720. A unit is called at 5% with 199 randomisations
(or the next multiple of the relabellings): few randomisations cost power and do not change a level.

Power: one head of 48 with an effect, by the role test and by the rule that it replaced (two tests,
over wordings and over items, both family-wise significant), which did not keep its level.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from rich.console import Console
from rich.table import Table
from role_level_tables import draw_level, print_few, print_level, print_scenes, print_unequal
from role_populations import (
    ALPHA,
    FEW,
    GROUP,
    HEADS,
    IGNORED,
    OVER_SCENES,
    POPULATIONS,
    RATIOS,
    RESIDUAL,
    UNEQUAL,
    WORDINGS,
    Population,
    simulated,
    two_tests,
)

from otherview.stats.chunks import Running
from otherview.stats.role import randomise
from otherview.stats.role_draws import Randomisations, randomisations
from otherview.stats.role_null import (
    Reached,
    RoleMeans,
    RoleUnits,
    reach,
    role_units,
    stretches,
    with_width,
)

ROOT = Path(__file__).parent.parent
FINISHED = ROOT / "benchmarks" / "role_test_level.json"
FIGURE = ROOT / "docs" / "figures" / "role_test_level.png"
DRAWS = 199
SETS = {"short": 20, "full": 2000}
SCENE_SETS, FEW_SETS = 200, 500
"""Of populations with several scenes, and with few items, at most."""
BATCH = 20


class Kept(Randomisations):
    """Randomisations that one set's six ratios share."""

    @cached_property
    def drawn(self) -> list[Any]:
        return [Randomisations.block(self, index) for index in range(self.blocks)]

    def block(self, index: int) -> Any:
        return self.drawn[index]


def kept(population: Population, seed: int, stream: int = 0, *, scenes: int | None = None) -> Kept:
    """Randomisations of a set; of so many scenes instead of those it has, 0 to ignore them."""
    if scenes is None:
        scenes = population.scenes if population.scenes > 1 else 0
    plan = randomisations(population.design, population.items, scenes, DRAWS, seed, stream)
    return Kept(**{field.name: getattr(plan, field.name) for field in fields(plan)})


def share_called(means: RoleMeans, plan: Kept, pilot: Kept) -> tuple[float, float, float]:
    """Share of heads, of groups of 48 and of sets of all heads in which any is called.

    How wide a head's null is compared with the typical one is seen over all heads for groups too.
    """
    scale = max(np.abs(part).max(initial=0.0) for part in means)
    units = role_units(RoleMeans(*(part / scale for part in means)), plan.design)
    own_null, largest = stretches(plan.items, plan.scenes)
    units = with_width(replace(units, stretch=largest), pilot, Running(1))
    same, other, *sides, _, own, mirrored = reached(units, plan)
    if own_null != largest:
        same, other, *_ = reached(replace(units, stretch=own_null), plan)
    alone = called(np.maximum(same + other, 2 * same), plan.rows)
    # The largest |t| of either sign, of heads called by themselves, decides for a group.
    farthest = [
        np.where(alone & (units.sign == sign), units.scaled_cutoff, 0)
        .reshape(-1, GROUP)
        .max(axis=1)
        for sign in (1, -1)
    ]

    def any_called(sides: list[np.ndarray], farthest: list[np.ndarray]) -> np.ndarray:
        both = np.maximum(*sides)
        hits = [
            np.maximum(
                (both >= far).sum(axis=0) + own + mirrored, 2 * ((one >= far).sum(axis=0) + own)
            )
            for one, far in zip(sides, farthest, strict=True)
        ]
        return called(np.minimum(*hits), plan.rows)

    everywhere = [side.max(axis=1) for side in sides], [far.max() for far in farthest]
    return (
        float(alone.mean()),
        float(any_called(sides, farthest).mean()),
        float(any_called(*everywhere)),
    )


def reached(units: RoleUnits, plan: Kept) -> Reached:
    """`reach`, with the largest t² of every group of 48 heads."""
    return reach(units, plan, Running(1), GROUP)


def called(hits: np.ndarray, rows: int) -> Bool[np.ndarray, " heads"]:
    return np.asarray((hits + 1) / (rows + 1) <= ALPHA)


def measure_level(state: Path | None, sets: int, console: Console) -> dict[str, Any]:
    """Simulate until every population has `sets` sets, a batch each in turn; kept in `state`.

    Where there are several scenes, also what is called if they are averaged and then ignored.
    """
    tallies = read(state)
    everything = [*POPULATIONS, *UNEQUAL, *OVER_SCENES, *FEW]
    for wanted in range(BATCH, sets + BATCH, BATCH):
        began = time.monotonic()
        for number, population in enumerate(everything):
            names = [population.name]
            if population.scenes > 1 and not population.correlation:
                names.append(population.name + IGNORED)
            for name in names:
                empty = np.zeros((len(RATIOS), 3, 2)).tolist()
                tallies.setdefault(name, {"sets": 0, "called": empty})
            sums = [np.array(tallies[name]["called"]) for name in names]
            most = SCENE_SETS if population.scenes > 1 else sets
            limit = min(wanted, sets, FEW_SETS if population in FEW else most)
            for index in range(tallies[names[0]]["sets"], limit):
                draws = np.random.default_rng([number, index])
                plans = [
                    [kept(population, index, stream, scenes=scenes) for stream in (0, 1)]
                    for scenes in (None, 0)[: len(names)]
                ]
                for place, (_, means) in enumerate(simulated(population, HEADS, draws)):
                    for own, plan, data in zip(
                        sums, plans, (means, means._replace(scenes=means.scenes[:0])), strict=False
                    ):
                        shares = np.array(share_called(data, *plan))
                        own[place] += np.stack([shares, shares**2], axis=1)
                for name in names:
                    tallies[name]["sets"] = index + 1
            for name, own in zip(names, sums, strict=True):
                tallies[name]["called"] = own.tolist()
        if state is not None:
            write(state, tallies)
            console.print(
                f"{min(wanted, sets):,} of {sets:,} sets, {time.monotonic() - began:.0f} s"
            )
    return tallies


def settings() -> dict[str, Any]:
    return {
        "alpha": ALPHA,
        "randomisations": DRAWS,
        "heads": [1, GROUP, HEADS],
        "ratios": [str(ratio) for ratio in RATIOS],
        "residual": RESIDUAL,
        "called": "[ratio][heads] of sum and sum of squares over sets of the share called",
    }


def read(state: Path | None) -> dict[str, Any]:
    if state is None or not state.is_file():
        return {}
    content = json.loads(state.read_text())
    if content["settings"] != settings():
        raise SystemExit(f"{state} was made with other settings; move it away")
    populations: dict[str, Any] = content["populations"]
    return populations


def write(state: Path, tallies: dict[str, Any]) -> None:
    part = state.with_suffix(".part")
    part.write_text(json.dumps({"settings": settings(), "populations": tallies}) + "\n")
    part.replace(state)


EFFECTS = {(8, 8): (2.0, 3.0), (6, 6): (2.0, 3.5), (4, 8): (2.5, 4.0), (4, 4): (3.0, 5.0)}
"""In SDs between wordings."""


def print_power(sets: int, console: Console) -> None:
    """Power of one head of 48 with an effect, 30 items; and how often any other is called."""
    table = Table(
        title=f"power: one head of {GROUP} has an effect; {sets:,} sets",
        caption="in %, and in brackets how often one of the other 47 is called, which is an error",
    )
    for heading in ("effects", "wordings", "effect in wording SDs", "ratio"):
        table.add_column(heading, no_wrap=True)
    for heading in ("role test", "two tests (before)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, (test, control) in itertools.product(("normal", "skewed"), WORDINGS):
        population = Population(kind, 0.0, test, control, 30)
        design = population.design
        for effect in EFFECTS[test, control]:
            found = np.zeros((len(RATIOS), 2, 2))
            for index in range(sets):
                draws = np.random.default_rng([test, control, int(10 * effect), index])
                for place, (_, means) in enumerate(simulated(population, GROUP, draws)):
                    means.items[:, 0] += effect
                    means.wordings[design.is_test, 0] += effect
                    scale = max(np.abs(part).max(initial=0.0) for part in means)
                    new = randomise(
                        RoleMeans(*(part / scale for part in means)), design,
                        alpha=ALPHA, flips=999, seed=index, running=Running(1),
                    )[2]  # fmt: skip
                    before = two_tests(means.items, means.wordings, design, draws)
                    for rule, calls in enumerate((new.p_maxt <= ALPHA, before)):
                        found[place, rule] += calls[0], calls[1:].any()
            for ratio, row in zip(RATIOS[:4], 100 * found / sets, strict=False):
                cells = [f"{power:.0f} ({false:.0f})" for power, false in row]
                table.add_row(kind, f"{test} + {control}", f"{effect:g}", f"{ratio:g}", *cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="2,000 sets per cell, kept and resumed")
    parser.add_argument("--sets", type=int, help="sets per cell; fewer than the two forms take")
    parser.add_argument("--show", action="store_true", help="print and draw what is kept, no more")
    parser.add_argument("--no-power", action="store_true", help="level only")
    arguments = parser.parse_args()
    console = Console(width=160)
    sets = arguments.sets or SETS["full" if arguments.full else "short"]
    if arguments.show:
        tallies = read(FINISHED)
    else:
        tallies = measure_level(FINISHED if arguments.full else None, sets, console)
    print_level(tallies, console)
    print_few(tallies, console)
    print_unequal(tallies, console)
    print_scenes(tallies, console)
    if arguments.full or arguments.show:
        draw_level(tallies, FIGURE)
    if not arguments.no_power and not arguments.show:
        print_power(max(20, sets // 5), console)


if __name__ == "__main__":
    main()
