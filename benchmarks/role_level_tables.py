"""The level of the role test as tables and as a figure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from role_populations import (
    ALPHA,
    CORRELATIONS,
    FEW,
    FEW_ITEMS,
    GROUP,
    HEADS,
    IGNORED,
    ITEMS,
    KINDS,
    OF_FEW,
    OF_ITEMS,
    OVER_SCENES,
    POPULATIONS,
    RATIOS,
    SCENE_KINDS,
    SCENES,
    UNEQUAL,
    WORDINGS,
    Population,
)


def rate(tally: dict[str, Any]) -> tuple[Float[np.ndarray, "r h"], Float[np.ndarray, "r h"]]:
    """Rate at which any head is called, by ratio and number of heads, and its standard error."""
    sums, sets = np.array(tally["called"]), tally["sets"]
    mean = sums[..., 0] / sets
    return mean, np.sqrt(np.maximum(sums[..., 1] / sets - mean**2, 0) / max(1, sets - 1))


def print_level(tallies: dict[str, Any], console: Console) -> None:
    """One row per kind of effects, wordings and items: the larger rate of both correlations."""
    print_rates(
        tallies,
        POPULATIONS,
        WORDINGS,
        ITEMS,
        "any head called where no role has an effect",
        console,
    )


def print_few(tallies: dict[str, Any], console: Console) -> None:
    """The same with fewer items than a study should have."""
    print_rates(tallies, FEW, OF_FEW, FEW_ITEMS, "any head called, few items", console)


def print_rates(
    tallies: dict[str, Any],
    populations: Sequence[Population],
    wordings: Sequence[tuple[int, int]],
    numbers: Sequence[int],
    title: str,
    console: Console,
) -> None:
    """Print the rates of populations of these wordings and numbers of items, then those above
    alpha."""
    tallies = {one.name: tallies[one.name] for one in populations}
    sets = min(tally["sets"] for tally in tallies.values())
    table = Table(
        title=f"{title}, nominal {ALPHA:g}; {sets:,} sets",
        caption="1 / 48 / 720 heads, the larger of correlation 0 and 0.5, in %; columns: what "
        "items add to the variance of the difference over what wordings add",
    )
    add_headings(table, "effects", "wordings", "items")
    for kind, (test, control), items in itertools.product(KINDS, wordings, numbers):
        names = [Population(kind, one, test, control, items).name for one in CORRELATIONS]
        cells = largest_rates(tallies, names)
        table.add_row(kind, f"{test} + {control}", str(items), *cells)
    console.print(table)
    print_above(tallies, console)


def add_headings(table: Table, *headings: str) -> None:
    """Add columns of these headings, then one per ratio."""
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for ratio in RATIOS:
        table.add_column("∞" if np.isinf(ratio) else f"{ratio:g}", justify="right", no_wrap=True)


def largest_rates(tallies: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Return per ratio the largest rate of these populations that are there, in %, by heads."""
    rates = np.max([rate(tallies[name])[0] for name in names if name in tallies], axis=0)
    return [" / ".join(f"{100 * share:.1f}" for share in row) for row in rates]


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
    add_headings(table, "effects", "scenes", "items add")
    for more, kind, scenes, of_items in itertools.product(
        ("", IGNORED), SCENE_KINDS, SCENES, OF_ITEMS
    ):
        names = [
            Population(kind, one, 8, 8, 30, scenes=scenes, of_items=of_items).name + more
            for one in CORRELATIONS
        ]
        number = f"{scenes}, ignored" if more else str(scenes)
        table.add_row(kind, number, f"{of_items:g}", *largest_rates(tallies, names))
    console.print(table)
    print_above({one.name: tallies[one.name] for one in OVER_SCENES}, console)


def draw_level(tallies: dict[str, Any], file: Path) -> None:
    """Every cell as a point: ratio across, rate up; a row per kind, a column per heads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(9, 7.2), sharex=True, sharey=True)
    places = np.arange(len(RATIOS))
    bound = ALPHA + 1.96 * np.sqrt(
        ALPHA * (1 - ALPHA) / min(tallies[one.name]["sets"] for one in POPULATIONS)
    )
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
