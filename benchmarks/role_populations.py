"""Populations of items, wordings, scenes and heads without a role effect, for the level of the
role test.

What is simulated are the sums that the test reads: means of wordings and differences of items and
of scenes. The residual of an item under a wording (SD 0.3 of a wording's), and that of a scene
(which adds as much to the scenes' error as the items' adds to theirs), are normal in all cells;
effects of wordings, items and scenes are of the distribution that the cell names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from otherview.stats.role_null import RoleMeans
from otherview.stats.wordings import WordingDesign, all_contrasts, wording_design

ALPHA = 0.05
HEADS, GROUP = 720, 48
RESIDUAL = 0.3
RATIOS = (0.0, 0.1, 0.25, 1.0, 4.0, np.inf)
"""What items add to the variance of the role's difference, over what wordings add; in populations
of several scenes, what scenes add over what wordings add."""
WORDINGS = ((4, 4), (6, 6), (8, 8), (4, 8))
ITEMS = (8, 12, 30)
FEW_ITEMS = (3, 4, 6)
OF_FEW = ((8, 8), (6, 12))
"""Wordings where items are few: so many that not all randomisations are taken, which is slow."""
KINDS = ("normal", "t, 3 df", "skewed")
CORRELATIONS = (0.0, 0.5)


@dataclass(frozen=True)
class Population:
    """Where items, wordings and heads are drawn from."""

    kind: str
    correlation: float
    test: int
    control: int
    items: int
    spread: float = 1.0
    """SD between test wordings over SD between control wordings; the test assumes 1."""
    scenes: int = 1
    of_items: float = 0.0
    """With several scenes: what items add, over what wordings add, or scenes where wordings add
    nothing."""

    @property
    def name(self) -> str:
        more = "" if self.spread == 1 else f" | SDs {self.spread:.3g} : 1"
        if self.scenes > 1:
            more += f" | {self.scenes} scenes, items {self.of_items:g}"
        wordings = f"{self.test}+{self.control}"
        return f"{self.kind} | {self.correlation:g} | {wordings} | {self.items}{more}"

    @property
    def design(self) -> WordingDesign:
        return wording_design(np.arange(self.test + self.control) < self.test, None)


POPULATIONS = [
    Population(kind, correlation, *wordings, items)
    for kind, correlation, wordings, items in itertools.product(
        KINDS, CORRELATIONS, WORDINGS, ITEMS
    )
]
FEW = [
    Population(kind, correlation, *wordings, items)
    for kind, correlation, wordings, items in itertools.product(
        KINDS, CORRELATIONS, OF_FEW, FEW_ITEMS
    )
]
UNEQUAL = [
    Population("normal", 0.0, *wordings, 30, spread)
    for wordings, spread in [
        *itertools.product(((4, 4), (8, 8), (4, 8)), (1.5, 2.0, 3.0)),
        ((4, 8), 1 / 3),
    ]
]
"""Beyond what the test assumes: wordings of one role differ more than those of the other."""

SCENES = (3, 6, 12)
OF_ITEMS = (0.0, 1.0)
SCENE_KINDS = ("normal", "skewed")
OVER_SCENES = [
    Population(kind, correlation, 8, 8, 30, scenes=scenes, of_items=of_items)
    for kind, correlation, scenes, of_items in itertools.product(
        SCENE_KINDS, CORRELATIONS, SCENES, OF_ITEMS
    )
]
IGNORED = " | ignored"
"""A cell of these in which scenes are averaged and then ignored."""


def effects(
    kind: str, draws: np.random.Generator, rows: int, heads: int, correlation: float
) -> Float[np.ndarray, "rows heads"]:
    """Effects of mean 0 and variance 1, correlated between heads."""

    def independent(columns: int) -> np.ndarray:
        shape = (rows, columns)
        if kind == "skewed":
            return draws.standard_exponential(shape, dtype=np.float32) - 1
        if kind == "normal":
            return draws.standard_normal(shape, dtype=np.float32)
        # Bailey 1994: t with 3 degrees of freedom, over its SD
        radius, angle = draws.random(shape, dtype=np.float32), draws.random(shape, dtype=np.float32)
        return np.asarray(np.sqrt((1 - radius) ** (-2 / 3) - 1) * np.cos(2 * np.pi * angle))

    own = independent(heads)
    if not correlation:
        return own.astype(np.float64)
    shared = np.sqrt(correlation) * independent(1)
    return np.asarray(np.sqrt(1 - correlation) * own + shared, dtype=np.float64)


def simulated(
    population: Population, heads: int, draws: np.random.Generator
) -> Iterator[tuple[float, RoleMeans]]:
    """For each ratio, what the test reads of one set without a role effect."""
    design = population.design
    draw = partial(effects, draws=draws, heads=heads, correlation=population.correlation)
    items, scenes, role = population.items, population.scenes, design.is_test[:, None] - 0.5
    of_wordings = draw(population.kind, rows=len(role))
    of_wordings[design.is_test] *= population.spread
    slope = draw(population.kind, rows=items)
    noise_wordings = RESIDUAL / np.sqrt(items) * draw("normal", rows=len(role))
    noise_items = RESIDUAL / np.sqrt(design.information) * draw("normal", rows=items)
    noise_items -= noise_items.mean(axis=0)
    of_scene, noise_scenes = np.zeros((1, heads)), np.zeros((1, heads))
    if scenes > 1:
        of_scene = draw(population.kind, rows=scenes)
        noise_scenes = draw("normal", rows=scenes) * RESIDUAL
        noise_scenes *= np.sqrt(scenes / items / design.information)
        noise_scenes -= noise_scenes.mean(axis=0)
    for ratio in RATIOS:
        wordings = noise_wordings + (of_wordings if np.isfinite(ratio) else 0)
        shown = design.contrast / design.information @ wordings
        share = ratio if np.isfinite(ratio) else 1.0
        share_of_items = population.of_items if scenes > 1 else share
        of_items = np.sqrt(share_of_items * items / design.information) * slope
        of_scenes = np.sqrt(share * scenes / design.information) * of_scene
        over_items, over_scenes = of_items.mean(axis=0), of_scenes.mean(axis=0)
        by_scene = shown + over_items + of_scenes + noise_scenes
        yield (
            ratio,
            RoleMeans(
                shown + over_scenes + of_items + noise_items,
                wordings + role * (over_items + over_scenes),
                by_scene if scenes > 1 else by_scene[:0],
            ),
        )


def two_tests(
    differences: Float[np.ndarray, "items heads"],
    means: Float[np.ndarray, "wordings heads"],
    design: WordingDesign,
    draws: np.random.Generator,
) -> Bool[np.ndarray, " heads"]:
    """The rule before this test: family-wise over wordings (single step, t with pooled variance)
    and over items (sign flips, step down), each at alpha."""
    labels = all_contrasts(design)
    rows = means - means.mean(axis=0)
    null = np.abs(labels @ (rows / np.sqrt((rows**2).sum(axis=0))))
    seen = np.abs(design.contrast @ (rows / np.sqrt((rows**2).sum(axis=0))))
    over_wordings = (null.max(axis=1)[:, None] >= seen * (1 - 1e-9)).mean(axis=0)
    unit = differences / np.sqrt((differences**2).sum(axis=0))
    order = np.argsort(np.abs(unit.sum(axis=0)))
    flips = draws.choice([-1.0, 1.0], (1999, len(unit)))
    largest = np.maximum.accumulate(np.abs(flips @ unit[:, order]), axis=1)
    reached = (largest >= np.abs(unit.sum(axis=0))[order]).sum(axis=0)
    over_items = np.empty(len(order))
    over_items[order] = np.maximum.accumulate(reached[::-1])[::-1] + 1
    return np.asarray((over_wordings <= ALPHA) & (over_items / 2000 <= ALPHA))
