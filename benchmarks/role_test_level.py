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
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table
from role_populations import (
    ALPHA,
    CORRELATIONS,
    ITEMS,
    KINDS,
    OF_ITEMS,
    OVER_SCENES,
    POPULATIONS,
    RATIOS,
    RESIDUAL,
    SCENE_KINDS,
    SCENES,
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
    reach_in_block,
    role_units,
    stretch_of,
    with_width,
)

ROOT = Path(__file__).parent.parent
FINISHED = ROOT / "benchmarks" / "role_test_level.json"
FIGURE = ROOT / "docs" / "figures" / "role_test_level.png"
DRAWS = 199
HEADS, GROUP = 720, 48
SETS = {"short": 20, "full": 2000}
SCENE_SETS = 200
"""Of populations with several scenes, at most."""
IGNORED = " | ignored"
"""A cell in which scenes are averaged and then ignored."""
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
    stretch = stretch_of(plan.scenes)
    units = with_width(replace(units, stretch=stretch.largest), pilot, Running(1))
    same, other, *sides, _, own, mirrored = reached(units, plan)
    if stretch.unit > stretch.largest:
        same, other, *_ = reached(replace(units, stretch=stretch.unit), plan)
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
    blocks = [reach_in_block(units, plan, block, GROUP) for block in range(plan.blocks)]
    same, other, rising, falling, weights, own, mirrored = zip(*blocks, strict=True)
    return Reached(
        np.sum(same, axis=0),
        np.sum(other, axis=0),
        np.concatenate(rising),
        np.concatenate(falling),
        np.concatenate(weights),
        sum(own),
        sum(mirrored),
    )


def called(hits: np.ndarray, rows: int) -> Bool[np.ndarray, " heads"]:
    return np.asarray((hits + 1) / (rows + 1) <= ALPHA)


def measure_level(state: Path | None, sets: int, console: Console) -> dict[str, Any]:
    """Simulate until every population has `sets` sets, a batch each in turn; kept in `state`.

    Where there are several scenes, also what is called if they are averaged and then ignored.
    """
    tallies = read(state)
    everything = [*POPULATIONS, *UNEQUAL, *OVER_SCENES]
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
            limit = min(wanted, sets, SCENE_SETS if population.scenes > 1 else sets)
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


def rate(tally: dict[str, Any]) -> tuple[Float[np.ndarray, "r h"], Float[np.ndarray, "r h"]]:
    """Rate at which any head is called, by ratio and number of heads, and its standard error."""
    sums, sets = np.array(tally["called"]), tally["sets"]
    mean = sums[..., 0] / sets
    return mean, np.sqrt(np.maximum(sums[..., 1] / sets - mean**2, 0) / max(1, sets - 1))


def print_level(tallies: dict[str, Any], console: Console) -> None:
    """One row per kind of effects, wordings and items: the larger rate of both correlations."""
    sets = min(tally["sets"] for tally in tallies.values())
    tallies = {one.name: tallies[one.name] for one in POPULATIONS}
    table = Table(
        title=f"any head called where no role has an effect, nominal {ALPHA:g}; {sets:,} sets",
        caption="1 / 48 / 720 heads, the larger of correlation 0 and 0.5, in %; columns: what "
        "items add to the variance of the difference over what wordings add",
    )
    for heading in ("effects", "wordings", "items"):
        table.add_column(heading, no_wrap=True)
    for ratio in RATIOS:
        table.add_column("∞" if np.isinf(ratio) else f"{ratio:g}", justify="right", no_wrap=True)
    for kind, (test, control), items in itertools.product(KINDS, WORDINGS, ITEMS):
        rates = np.max(
            [
                rate(tallies[Population(kind, one, test, control, items).name])[0]
                for one in CORRELATIONS
            ],
            axis=0,
        )
        shown = [" / ".join(f"{100 * share:.1f}" for share in row) for row in rates]
        table.add_row(kind, f"{test} + {control}", str(items), *shown)
    console.print(table)
    print_above(tallies, console)


def print_above(tallies: dict[str, Any], console: Console) -> None:
    """The cells above alpha by more than their error."""
    found = [
        (name, ratio, heads, mean, error)
        for name, tally in tallies.items()
        for ratio, means, errors in zip(RATIOS, *rate(tally), strict=True)
        for heads, mean, error in zip((1, GROUP, HEADS), means, errors, strict=True)
        if mean - 1.96 * error > ALPHA
    ]
    cells = len(tallies) * len(RATIOS) * 3
    console.print(f"{len(found)} of {cells:,} cells above {ALPHA:g} by more than 1.96 errors:")
    for name, ratio, heads, mean, error in sorted(found, key=lambda row: -row[3]):
        console.print(f"  {name} | ratio {ratio:g} | heads {heads}: {mean:.4f} ± {error:.4f}")


def print_unequal(tallies: dict[str, Any], console: Console) -> None:
    """The same where wordings of the two roles do not vary alike."""
    table = Table(
        title="wordings of the roles that differ unequally, which the test assumes they do not",
        caption="any of 1 / 48 / 720 heads called, in %; 30 items, normal effects",
    )
    for heading in ("wordings", "SDs", *(f"ratio {ratio:g}" for ratio in RATIOS[:4])):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in UNEQUAL:
        rates = 100 * rate(tallies[one.name])[0][:4]
        cells = [" / ".join(f"{share:.1f}" for share in row) for row in rates]
        table.add_row(f"{one.test} + {one.control}", f"{one.spread:.2g} : 1", *cells)
    console.print(table)


def print_scenes(tallies: dict[str, Any], console: Console) -> None:
    """The same where scenes are a third sample, and where they are averaged and ignored."""
    sets = min(tallies[one.name]["sets"] for one in OVER_SCENES)
    table = Table(
        title=f"scenes as a sample: any head called, nominal {ALPHA:g}; 8 + 8 wordings, 30 items, "
        f"{sets:,} sets",
        caption="1 / 48 / 720 heads, the larger of correlation 0 and 0.5, in %; columns: what "
        "scenes add to the variance of the difference over what wordings add",
    )
    for heading in ("effects", "scenes", "items add"):
        table.add_column(heading, no_wrap=True)
    for ratio in RATIOS:
        table.add_column("∞" if np.isinf(ratio) else f"{ratio:g}", justify="right", no_wrap=True)
    for more, kind, scenes, of_items in itertools.product(
        ("", IGNORED), SCENE_KINDS, SCENES, OF_ITEMS
    ):
        names = [
            Population(kind, one, 8, 8, 30, scenes=scenes, of_items=of_items).name + more
            for one in CORRELATIONS
        ]
        rates = np.max([rate(tallies[name])[0] for name in names if name in tallies], axis=0)
        shown = [" / ".join(f"{100 * share:.1f}" for share in row) for row in rates]
        number = f"{scenes}, ignored" if more else str(scenes)
        table.add_row(kind, number, f"{of_items:g}", *shown)
    console.print(table)
    print_above({one.name: tallies[one.name] for one in OVER_SCENES}, console)


def draw_level(tallies: dict[str, Any], file: Path) -> None:
    """Every cell as a point: ratio across, rate up; a row per kind, a column per heads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(9, 7.2), sharex=True, sharey=True)
    places = np.arange(len(RATIOS))
    bound = ALPHA + 1.96 * np.sqrt(ALPHA * (1 - ALPHA) / min(t["sets"] for t in tallies.values()))
    for row, kind in enumerate(KINDS):
        for column, heads in enumerate((1, GROUP, HEADS)):
            own = axes[row, column]
            own.axhspan(ALPHA, bound, color="0.88", lw=0)
            own.axhline(ALPHA, color="0.4", lw=0.8)
            for shift, (test, control) in enumerate(WORDINGS):
                for size, items in zip((9, 18, 32), ITEMS, strict=True):
                    for correlation in CORRELATIONS:
                        name = Population(kind, correlation, test, control, items).name
                        own.scatter(
                            places + 0.16 * (shift - 1.5),
                            rate(tallies[name])[0][:, column],
                            s=size,
                            color=f"C{shift}",
                            alpha=0.7,
                            lw=0,
                            label=f"{test} + {control} wordings"
                            if (items, correlation) == (ITEMS[-1], 0)
                            else None,
                        )
            own.set_xticks(places, ["∞" if np.isinf(ratio) else f"{ratio:g}" for ratio in RATIOS])
            if row == 0:
                own.set_title(f"{heads} head{'' if heads == 1 else 's'}", fontsize=10)
            if column == 0:
                own.set_ylabel(f"{kind}\nany head called", fontsize=9)
    axes[0, 0].set_ylim(0, None)
    axes[-1, 1].set_xlabel(
        "what items add to the variance of the difference, over what wordings add"
    )
    axes[0, 2].legend(fontsize=7, frameon=False)
    figure.text(0.01, 0.005, "size of a point: 8, 12 and 30 items; grey: alpha 0.05 and its "
                "95% error", fontsize=7)  # fmt: skip
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(file, dpi=150)
    plt.close(figure)


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
    print_unequal(tallies, console)
    print_scenes(tallies, console)
    if arguments.full or arguments.show:
        draw_level(tallies, FIGURE)
    if not arguments.no_power and not arguments.show:
        print_power(max(20, sets // 5), console)


if __name__ == "__main__":
    main()
