"""The content of combined.json, also what it generalises to; docs/combined.md has each field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from otherview.analysis.comparison import agreement
from otherview.analysis.summary import reading_summary
from otherview.results.writing import REFERENCE
from otherview.stats import SignFlipResult, VarianceComponents, map_agreement
from otherview.stats.columns import STRONGEST_UNITS
from otherview.stats.variance import METHOD
from otherview.study import ROLES
from otherview.sweep.combine.group_responses import compared, role_wordings
from otherview.sweep.combine.group_tests import Tested, role_note
from otherview.sweep.combine.groups import Contrast, Group

NO_COMMON_SEED = "No role test: no seed is common to all contrasts."
NO_PLACEBO = "No selectivity: no placebo was swept. Add templates=placebo to the sweep."
NO_SHARED_SEED = "No selectivity: no contrast has a seed in common with every placebo."
Answer = tuple[str, str]
"""Whether a source of variation was tested, described or held fixed, and a sentence."""


def group_summary(group: Group, tested: Mapping[str, Tested]) -> dict[str, Any]:
    """Return an entry of `groups`. `tested` is by unit set."""
    study = group.study
    return {
        "id": group.id,
        "title": group.title,
        "differs": dict(group.differs),
        "study": study.name,
        "model": study.model.name,
        "model_revision": group.model_revision,
        "scene": ", ".join(scene.name for scene in study.scenery),
        "creatures": study.creatures.name,
        "reading": reading_summary(study),
        "items": study.creatures.names,
        "alpha": study.nulls.alpha,
        "thresholds": list(study.nulls.thresholds),
        "contrasts": [contrast_summary(contrast) for contrast in group.contrasts],
        "balanced": {
            "templates": [contrast.name for contrast in group.real],
            "seeds": group.balanced_seeds,
            "unused": [point.name for point in group.unused],
        },
        "results": {name: result_summary(group, each) for name, each in tested.items()},
        "generalises": generalises(group, next(iter(tested.values()))),
        **given(
            null_of=study.model.null_of,
            axis=study.creatures.axis,
            remarks=list(dict.fromkeys(r for point in group.points for r in point.remarks)) or None,
        ),
    }


def given(**values: Any) -> dict[str, Any]:
    """Return those of `values` that are not None: what was not computed is absent."""
    return {name: value for name, value in values.items() if value is not None}


def contrast_summary(contrast: Contrast) -> dict[str, Any]:
    def all_points(name: str) -> bool | None:
        found = [point.tokens.get(name) for point in contrast.points]
        return None if None in found else all(found)

    return {
        "templates": contrast.name,
        "test": contrast.templates.texts("test"),
        "control": contrast.templates.texts("control"),
        "seeds": contrast.seeds,
        "points": [point.name for point in contrast.points],
        **given(
            equal_count=all_points("equal_count"),
            equal_item_position=all_points("equal_item_position"),
            placebo=contrast.placebo,
        ),
    }


def result_summary(group: Group, tested: Tested) -> dict[str, Any]:
    """Return what one set of units of a group says."""
    responses, units = tested.responses, tested.responses.layout.units
    addresses, names = units["unit"].to_list(), [contrast.name for contrast in group.real]
    result: dict[str, Any] = {
        "units": units.height,
        "units_by_kind": dict(Counter(units["channel_kind"].to_list())),
        "contrasts": [
            {"templates": contrast.name, **given(placebo=contrast.placebo)}
            | tested_summary(test, len(contrast.points), 1, addresses)
            for contrast, test in zip(group.contrasts, tested.contrasts, strict=True)
        ],
        "agreement": {
            "between_templates": between_templates(group, tested),
            "between_seeds": between_seeds(group, tested),
        },
    }
    if tested.pooled is not None:
        seeds = len(group.balanced_seeds)
        pooled = tested_summary(tested.pooled, seeds, len(group.real), addresses)
        order = np.argsort(-np.abs(np.nan_to_num(tested.pooled.t)), kind="stable")
        called = [addresses[index] for index in order[tested.in_every[order]]]
        result["pooled"] = {"templates": names, **pooled}
        result["in_every_template"] = {"templates": names, "units": len(called), "called": called}
    if responses.variance is not None:
        result["variance"] = variance_summary(responses.variance)
    if tested.role is not None:
        result["role_test"] = tested.role.summary(addresses) | wordings_summary(group)
    elif group.real:
        result["role_note"] = role_note(group) or NO_COMMON_SEED
    if responses.selective:
        placebos = [placebo.name for placebo in group.placebos]
        result["selectivity"] = [
            {"templates": contrast.name, "placebos": placebos,
             "seeds": len(group.shared_seeds(contrast)),
             **responses.selective[contrast.name].summary(addresses)}
            for contrast in group.real
            if contrast.name in responses.selective
        ]  # fmt: skip
    elif group.real:
        result["selectivity_note"] = NO_SHARED_SEED if group.placebos else NO_PLACEBO
    return result


def wordings_summary(group: Group) -> dict[str, Any]:
    """Return the wordings of a role test, its strata, and the wordings that it could not use."""
    wordings = role_wordings(group)
    used = compared(wordings)
    unpaired = [wording.text for wording in wordings if wording not in used]
    strata = dict.fromkeys(wording.stratum for wording in used)
    return {
        "written": {role: [w.text for w in used if w.role == role] for role in ROLES},
        "strata": [
            {"templates": name}
            | {role: sum((w.stratum, w.role) == (name, role) for w in used) for role in ROLES}
            for name in strata
        ],
        **given(unpaired=unpaired or None),
    }


def tested_summary(
    test: SignFlipResult, seeds: int, contrasts: int, addresses: list[str]
) -> dict[str, Any]:
    """Return what a test over items says whose differences are means over seeds and contrasts."""
    size = np.abs(test.t[np.isfinite(test.t)])
    return {
        "seeds": seeds,
        "pairs": test.n_blocks * seeds * contrasts,
        **test.summary(),
        "degenerate": int(test.degenerate.sum()),
        "strongest": strongest(test, addresses),
        **given(max_abs_t=float(size.max()) if len(size) else None),
    }


def strongest(test: SignFlipResult, addresses: list[str]) -> list[dict[str, Any]]:
    size = np.where(np.isfinite(test.t), np.abs(test.t), -1.0)
    found = test.columns()
    columns = {name: found[name] for name in ("t", "p", "p_stepdown", "g", "g_low", "g_high")}
    return [
        {"unit": addresses[index]}
        | {name: float(of[index]) for name, of in columns.items() if np.isfinite(of[index])}
        for index in np.argsort(-size, kind="stable")[:STRONGEST_UNITS]
    ]


def variance_summary(found: VarianceComponents) -> dict[str, Any]:
    """Return median and quartiles over units of the share of every component."""
    known = np.isfinite(found.shares["residual"])
    shares = {}
    for effect, share in found.shares.items() if known.any() else ():
        low, median, high = np.percentile(share[known], [25, 50, 75]).tolist()
        shares[effect.replace(":", "_")] = {"median": median, "low": low, "high": high}
    return {
        "method": METHOD,
        "levels": found.levels,
        "units": int(known.sum()),
        "shares": shares,
    }


def between_templates(group: Group, tested: Tested) -> list[dict[str, Any]]:
    rows = []
    for (one, of_one), (other, of_other) in combinations(
        zip(group.contrasts, tested.contrasts, strict=True), 2
    ):
        found = agreement(of_one.t, of_other.t)
        if found is not None:
            placebo = bool(one.placebo or other.placebo)
            rows.append({"one": one.name, "other": other.name, "placebo": placebo, **found})
    return rows


def between_seeds(group: Group, tested: Tested) -> list[dict[str, Any]]:
    rows, first = [], 0
    for contrast in group.contrasts:
        maps = tested.responses.t[first : first + len(contrast.points)]
        first += len(contrast.points)
        if len(maps) < 2 or np.isfinite(maps).all(axis=0).sum() < 2:
            continue
        found = map_agreement(maps)
        row: dict[str, Any] = {
            "templates": contrast.name,
            "seeds": found.maps,
            "pairs": found.pairs,
            "units": found.units,
        }
        if np.isfinite(found.pearson.mean):
            row |= {"pearson": asdict(found.pearson), "spearman": asdict(found.spearman)}
        rows.append(row)
    return rows


def model_comparison(groups: Sequence[dict[str, Any]], families: Sequence[str]) -> list[Any]:
    """`models`: groups that differ in the model only, side by side, from their summaries."""
    tables = []
    for one in dict.fromkeys(families):
        members = [g for g, other in zip(groups, families, strict=True) if other == one]
        if len(members) < 2:
            continue
        for unit_set in dict.fromkeys(name for group in members for name in group["results"]):
            tables += model_tables(unit_set, members)
    return tables


def model_tables(unit_set: str, members: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a table per contrast, then per set of pooled contrasts, that several groups have."""
    tables: dict[str, dict[str, Any]] = {}

    def add(row: dict[str, Any], **over: Any) -> None:
        empty = {"unit_set": unit_set, **over, "rows": []}
        tables.setdefault(repr(over), empty)["rows"].append(row)

    for pooled in (False, True):
        for group in members:
            result = group["results"].get(unit_set, {"contrasts": []})
            if not pooled:
                for test in result["contrasts"]:
                    add(model_row(group, result, test), templates=test["templates"])
            elif "pooled" in result:
                row = model_row(group, result, result["pooled"])
                row["in_every_template"] = result["in_every_template"]["units"]
                row |= given(role_called=result.get("role_test", {}).get("called"))
                add(row, pooled=result["pooled"]["templates"])
    return [table for table in tables.values() if len(table["rows"]) > 1]


def model_row(
    group: dict[str, Any], result: dict[str, Any], test: dict[str, Any]
) -> dict[str, Any]:
    units = result["units"]
    return {
        "group": group["id"],
        "model": group["model"],
        "seeds": test["seeds"],
        "units": units,
        "above": [
            {name: count[name] for name in ("threshold", "observed")}
            | {"share": count["observed"] / units}
            for count in test["counts"]
        ],
        "familywise": test["familywise"],
        **given(null_of=group.get("null_of"), max_abs_t=test.get("max_abs_t")),
    }


def generalises(group: Group, tested: Tested) -> list[dict[str, str]]:
    """Return per source of variation its `Answer`.

    `tested` is any unit set of the group; the answers depend on the design alone.
    """
    found: dict[str, Answer] = {
        "items": about_items(group),
        "wordings": about_wordings(group, tested),
        "seeds": about_seeds(group),
        "scenes": about_scenes(group),
        "models": (
            "not tested",
            f"One model: {group.study.model.name}. Other weights are other groups and are never "
            "averaged with these.",
        ),
    }
    return [{"over": o, "answer": answer, "sentence": said} for o, (answer, said) in found.items()]


def about_items(group: Group) -> Answer:
    items, alpha = len(group.study.creatures.items), group.study.nulls.alpha
    smallest = 2.0 ** (1 - items)
    if smallest > alpha:
        return (
            "not tested",
            f"{items} items give at best p = {smallest:.3g}, above alpha = {alpha:g}: no unit can "
            "be significant, whatever the number of seeds and templates.",
        )
    return (
        "tested",
        f"{items} items ({group.study.creatures.name}) are the exchangeability blocks of every "
        "sign flip: the tests speak of new items of this kind, under the wordings that were swept.",
    )


def about_wordings(group: Group, tested: Tested) -> Answer:
    found = tested.role
    if found is not None and not found.note:
        strata = found.n_frames
        within = f", within each template and frame ({strata} strata)" if strata > 1 else ""
        return (
            "tested",
            f"The role test permutes the roles over {found.n_test} test and {found.n_control} "
            f"control wordings{within}: a unit that it calls follows the role over new wordings "
            "like these. Significance in every template is about these templates only.",
        )
    why = found.note if found is not None else role_note(group) or "No seed is common to all."
    return (
        "not tested",
        f"{why} The tests over items say nothing of new wordings, however many items and seeds "
        "there are: any two wordings differ.",
    )


def about_scenes(group: Group) -> Answer:
    scenery = group.study.scenery
    names = ", ".join(scene.name for scene in scenery)
    if len(scenery) > 1:
        return (
            "averaged over",
            f"Every condition was measured on {len(scenery)} scenes, {names}, and averaged over "
            "these. Other scenes may differ.",
        )
    if not (group.points[0].folder / REFERENCE).is_file():
        said = "No reference image: the scene is in the wordings alone"
    elif scenery[0].prompt is not None and len(group.balanced_seeds) > 1:
        said = f"One scene, of which each seed draws its own reference image: {names}"
    else:
        said = f"One reference image: {names}"
    return "not tested", f"{said}. Other scenes may differ."


def about_seeds(group: Group) -> Answer:
    seeds = group.balanced_seeds
    if len(seeds) < 2:
        return (
            "not tested",
            "Every contrast has one seed in common with the others, or none: nothing is known of "
            "other seeds.",
        )
    return (
        "described",
        f"{len(seeds)} seeds are averaged within an item and not permuted; the variance split and "
        "the agreement of t-maps between seeds say how much they matter.",
    )
