"""What two results have in common, item by item, contrast by contrast, site by site."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from otherview.models.sites import Site, Unit, units_of
from otherview.passes.responses import Responses
from otherview.study.contrast import Picture
from otherview.study.errors import UserError
from otherview.study.prompts import Condition, Contrast, Prompt, PromptSet

Mismatch = dict[str, Any]
"""What differs between two results, as data: its `kind`, and what views need to say it."""
MIN_ITEMS = 2
SAME_LEVEL = 1e-3
"""Noise levels that differ by less are one."""


class NotComparableError(UserError):
    """Two results that have nothing to compare; the message names what is missing."""


@dataclass(frozen=True)
class SharedContrast:
    """A contrast that both results have, with the same wordings."""

    name: str
    """In A."""
    name_b: str
    placebo: str | None


@dataclass(frozen=True)
class SharedDesign:
    """What of two results can be compared."""

    items: tuple[str, ...]
    """In the order of A."""
    places_a: tuple[int, ...]
    """Place of each of `items` in A."""
    places_b: tuple[int, ...]
    contrasts: tuple[SharedContrast, ...]
    """In the order of A: its own comes first if it is shared."""
    addresses: frozenset[str]
    """Of the sites that agree in kind, block, stream, heads and channels."""
    steps_a: tuple[int, ...]
    """Measured steps of A that B has, too: those of one noise level."""
    steps_b: tuple[int, ...]
    mismatches: list[Mismatch] = field(repr=False)

    def units(
        self, a: Sequence[Site], b: Sequence[Site], unit_set: str, tokens: str
    ) -> tuple[list[Unit], list[Unit]]:
        """Return the units of A and of B, pair by pair, whose sites see the token group.

        With several noise levels every unit at each of them: all at the first, then at the next.
        """
        by_address = {unit.address: unit for unit in self._seen(b, unit_set, tokens)}
        pairs = [
            (unit, by_address[unit.address])
            for unit in self._seen(a, unit_set, tokens)
            if unit.address in by_address
        ]
        steps = list(zip(self.steps_a, self.steps_b, strict=True))
        return (
            [replace(one, step=step) for step, _ in steps for one, _ in pairs],
            [replace(other, step=step) for _, step in steps for _, other in pairs],
        )

    def _seen(self, sites: Sequence[Site], unit_set: str, tokens: str) -> list[Unit]:
        return [
            unit
            for unit in units_of(sites, unit_set)
            if unit.site.address in self.addresses
            and (tokens == "all" or tokens in unit.site.token_groups)
        ]


def shared_design(a: Responses, b: Responses) -> SharedDesign:
    """Return what the studies of two results share, and what differs.

    Contrasts match if they have the same wordings in the same roles, whatever their names; items
    match if they have the same name and the same prompts. Raises NotComparableError if no contrast,
    no site, no noise level or fewer than two items are shared.
    """
    mismatches: list[Mismatch] = []
    contrasts = shared_contrasts(a.prompts, b.prompts, mismatches)
    items = shared_items(a.prompts, b.prompts, contrasts, mismatches)
    addresses = shared_sites(a.sites, b.sites, mismatches)
    steps_a, steps_b = shared_steps(a, b, mismatches)
    return SharedDesign(
        items,
        tuple(a.prompts.items.index(item) for item in items),
        tuple(b.prompts.items.index(item) for item in items),
        tuple(contrasts),
        addresses,
        steps_a,
        steps_b,
        mismatches,
    )


def shared_contrasts(
    a: PromptSet, b: PromptSet, mismatches: list[Mismatch]
) -> list[SharedContrast]:
    """Return the contrasts of A that B has too. Raises NotComparableError if there is none."""
    of_b = {wordings(b, each): each for each in reversed(b.contrasts)}
    if (len(a.scenes) > 1 or len(b.scenes) > 1) and {*a.scenes} != {*b.scenes}:
        raise NotComparableError(
            f"the scenes of the results differ: A has {', '.join(a.scenes)}; B has "
            f"{', '.join(b.scenes)}; measure both on the same scenes"
        )
    shared, left_out = [], []
    for contrast in a.contrasts:
        other = of_b.get(wordings(a, contrast))
        if other is None:
            left_out.append(contrast.name)
        else:
            shared.append(SharedContrast(contrast.name, other.name, contrast.placebo))
    only_b = [each.name for each in b.contrasts if each.name not in {s.name_b for s in shared}]
    if not shared:
        raise NotComparableError(
            "the results have no contrast in common with the same wordings: A has "
            f"{', '.join(left_out)}; B has {', '.join(only_b)}"
        )
    other_wordings = [name for name in left_out if name in only_b]
    mismatches += [{"kind": "wordings", "contrast": name} for name in other_wordings]
    for kind, names in (("only_a", left_out), ("only_b", only_b)):
        if missing := [name for name in names if name not in other_wordings]:
            mismatches.append({"kind": f"contrasts_{kind}", "contrasts": missing})
    if a.contrasts[0].name != shared[0].name or b.contrasts[0].name != shared[0].name_b:
        own = {"a": a.contrasts[0].name, "b": b.contrasts[0].name}
        mismatches.append({"kind": "own_contrast", **own})
    return shared


def wordings(prompts: PromptSet, contrast: Contrast) -> frozenset[Any]:
    """Return what makes two contrasts one question: their conditions with role and weight."""
    frames = contrast.frames or ("",) * len(contrast.conditions)
    return frozenset(
        (
            contrast.placebo,
            contrast.role_of(place),
            condition_key(prompts, prompts.conditions[place]),
            frame,
            weight,
        )
        for place, frame, weight in zip(contrast.conditions, frames, contrast.weights, strict=True)
    )


def condition_key(prompts: PromptSet, condition: Condition) -> Condition:
    """Return a condition as it can be compared between studies.

    Its own name and the folders of its pictures do not count; the name of a scene only where there
    are several.
    """
    scene = condition.scene if len(prompts.scenes) > 1 else ""
    return replace(condition, name="", scene=scene, pictures=without_folders(condition.pictures))


def without_folders(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Return pictures by the names of their files: two results may have been made elsewhere."""
    return tuple(
        replace(
            picture,
            path=picture.path.rpartition("/")[2],
            noise=None if picture.noise is None else picture.noise.rpartition("/")[2],
        )
        for picture in pictures
    )


def shared_items(
    a: PromptSet, b: PromptSet, contrasts: Sequence[SharedContrast], mismatches: list[Mismatch]
) -> tuple[str, ...]:
    """Return the items that both results have, in the order of A.

    Raises NotComparableError if there are fewer than two.
    """
    named = [item for item in a.items if item in b.items]
    shared = [
        item
        for item in named
        if all(
            item_prompts(a, item, each.name) == item_prompts(b, item, each.name_b)
            for each in contrasts
        )
    ]
    if len(shared) < MIN_ITEMS:
        found = f"only {shared[0]!r}" if shared else "no items"
        raise NotComparableError(
            f"the results have {found} in common, and a comparison needs {MIN_ITEMS}: A has "
            f"{a.items[0]!r} and {len(a.items) - 1} more, B has {b.items[0]!r} and "
            f"{len(b.items) - 1} more"
        )
    if len(named) < max(len(a.items), len(b.items)):
        only = only_in(a.items, b.items, named)
        mismatches.append({"kind": "items", "shared": len(named)} | only)
    if len(shared) < len(named):
        others = [item for item in named if item not in shared]
        mismatches.append({"kind": "item_prompts", "items": others})
    if [item for item in b.items if item in named] != named:
        mismatches.append({"kind": "item_order"})
    return tuple(shared)


def item_prompts(prompts: PromptSet, item: str, contrast: str) -> frozenset[Prompt]:
    """Return the prompts of an item under a contrast."""
    count = len(prompts.conditions)
    first = prompts.items.index(item) * count
    asked = [prompts.prompts[first + place] for place in prompts.contrast(contrast).conditions]
    return frozenset(
        replace(each, item=0, condition=0, pictures=without_folders(each.pictures))
        for each in asked
    )


def shared_sites(
    a: Sequence[Site], b: Sequence[Site], mismatches: list[Mismatch]
) -> frozenset[str]:
    """Return the addresses of the sites that are alike. Raises NotComparableError if none is."""
    of_a, of_b = shapes(a), shapes(b)
    alike = [address for address, site in of_a.items() if of_b.get(address) == site]
    if not alike:
        raise NotComparableError(
            "the models are not of one architecture, no site is alike: A has "
            f"{sites_in_words(a)}; B has {sites_in_words(b)}"
        )
    only = only_in(of_a, of_b, alike)
    if any(only.values()):
        mismatches.append({"kind": "sites", "shared": len(alike)} | only)
    groups_a, groups_b = ({site.address: site.token_groups for site in sites} for sites in (a, b))
    if other := [address for address in alike if groups_a[address] != groups_b[address]]:
        seen = {"a": list(groups_a[other[0]]), "b": list(groups_b[other[0]])}
        mismatches.append({"kind": "token_groups", "sites": other} | seen)
    return frozenset(alike)


def only_in(a: Iterable[str], b: Iterable[str], shared: Collection[str]) -> dict[str, list[str]]:
    """Return what of A and of B is not shared, as a mismatch has it."""
    return {
        "only_a": [each for each in a if each not in shared],
        "only_b": [each for each in b if each not in shared],
    }


def shared_steps(
    a: Responses, b: Responses, mismatches: list[Mismatch]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the measured steps of A and of B that have one noise level, in the order of A.

    Where both results have one step, these are compared whatever they are, and what differs is
    said. Raises NotComparableError if no level is shared.
    """
    of_a, of_b = levels(a), levels(b)
    pairs = [
        (step, other)
        for step, level in enumerate(of_a)
        for other, found in enumerate(of_b)
        if math.isclose(level, found, abs_tol=SAME_LEVEL)
    ]
    if len(of_a) == len(of_b) == 1:
        if not pairs or not math.isclose(a.timesteps[0], b.timesteps[0], rel_tol=SAME_LEVEL):
            mismatches.append({"kind": "step", "a": step_of(a), "b": step_of(b)})
        pairs = [(0, 0)]
    if not pairs:
        raise NotComparableError(
            f"the results have no noise level in common: A has {', '.join(map(str, of_a))}; B has "
            f"{', '.join(map(str, of_b))}"
        )
    if len(pairs) < max(len(of_a), len(of_b)):
        mismatches.append(
            {
                "kind": "levels",
                "only_a": [of_a[step] for step in set(range(len(of_a))) - {s for s, _ in pairs}],
                "only_b": [of_b[step] for step in set(range(len(of_b))) - {s for _, s in pairs}],
            }
        )
    if any(a.latents[step] == "own" or b.latents[other] == "own" for step, other in pairs):
        mismatches.append({"kind": "own_latents"})
    return tuple(step for step, _ in pairs), tuple(step for _, step in pairs)


def levels(responses: Responses) -> list[float]:
    """Return the noise level of every step, or its timestep where the model tells no level."""
    named = zip(responses.noise_levels, responses.timesteps, strict=True)
    return [time if level is None else level for level, time in named]


def step_of(responses: Responses) -> dict[str, float]:
    """Return timestep and, where it is known, noise level of the first step."""
    level = responses.noise_levels[0]
    return {"timestep": responses.timesteps[0]} | ({} if level is None else {"noise_level": level})


def shapes(sites: Sequence[Site]) -> dict[str, Site]:
    """Return the sites by address, without what may differ between models of one architecture."""
    return {site.address: replace(site, module="", token_groups=()) for site in sites}


def sites_in_words(sites: Sequence[Site]) -> str:
    """Return how many sites there are, and the shape of the first: 12 sites, joint.0.image ..."""
    first = sites[0]
    return (
        f"{len(sites)} sites such as {first.address} with {first.heads} heads of "
        f"{first.head_dim} channels"
    )
