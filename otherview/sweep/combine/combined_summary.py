"""The content of combined.json; docs/combined.md describes each field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from otherview.analysis.comparison import agreement
from otherview.analysis.summary import reading_summary
from otherview.stats import PairCorrelations, SignFlipResult, map_agreement
from otherview.stats.columns import STRONGEST_UNITS
from otherview.stats.variance import METHOD
from otherview.sweep.combine.generalisation import generalises
from otherview.sweep.combine.groups import Contrast, Group
from otherview.sweep.combine.pooled_tests import Tested, role_note
from otherview.sweep.combine.pooling import role_wordings

NO_COMMON_SEED = "No role test: no seed is common to all contrasts."
NO_PLACEBO = "No selectivity: no placebo was swept. Add templates=placebo to the sweep."


def group_summary(group: Group, tested: Mapping[str, Tested]) -> dict[str, Any]:
    """An entry of `groups`. `tested` is by unit set."""
    study = group.study
    summary: dict[str, Any] = {
        "id": group.id,
        "title": group.title,
        "differs": dict(group.differs),
        "study": study.name,
        "model": study.model.name,
        "model_revision": group.model_revision,
        "scene": study.scene.name,
        "creatures": study.creatures.name,
        "reading": reading_summary(study),
        "items": list(study.creatures.items),
        "alpha": study.nulls.alpha,
        "thresholds": list(study.nulls.thresholds),
        "contrasts": [_contrast(contrast) for contrast in group.contrasts],
        "balanced": {
            "templates": [contrast.name for contrast in group.real],
            "seeds": group.balanced_seeds,
            "unused": [point.name for point in group.unused],
        },
        "results": {name: _result(group, each) for name, each in tested.items()},
        "generalises": generalises(group, next(iter(tested.values()))),
    }
    for name, value in (("null_of", study.model.null_of), ("axis", study.creatures.axis)):
        if value is not None:
            summary[name] = value
    return summary


def _contrast(contrast: Contrast) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "templates": contrast.name,
        "test": contrast.templates.test,
        "control": contrast.templates.control,
        "seeds": contrast.seeds,
        "points": [point.name for point in contrast.points],
        "equal_count": all(point.equal_count for point in contrast.points),
        "equal_item_position": all(point.equal_item_position for point in contrast.points),
    }
    if contrast.placebo is not None:
        summary["placebo"] = contrast.placebo
    return summary


def _result(group: Group, tested: Tested) -> dict[str, Any]:
    units = tested.gathered.layout.units
    addresses = units["unit"].to_list()
    result: dict[str, Any] = {
        "units": units.height,
        "units_by_kind": dict(Counter(units["channel_kind"].to_list())),
        "contrasts": [
            named_test(contrast, test, addresses)
            for contrast, test in zip(group.contrasts, tested.contrasts, strict=True)
        ],
        "agreement": {
            "between_templates": between_templates(group, tested),
            "between_seeds": between_seeds(group, tested),
        },
    }
    if tested.pooled is not None:
        result["pooled"] = {
            "templates": [contrast.name for contrast in group.real],
            "seeds": len(group.balanced_seeds),
            **_test(tested.pooled, len(group.real) * len(group.balanced_seeds), addresses),
        }
        result["in_every_template"] = in_every(group, tested, addresses)
    variance = _variance(tested)
    if variance is not None:
        result["variance"] = variance
    if tested.role is not None:
        written = role_wordings(group)
        result["role_test"] = tested.role.summary(addresses) | {
            "written": {
                wanted: [text for role, text in written if role == wanted]
                for wanted in ("test", "control")
            }
        }
    elif group.real:
        result["role_note"] = role_note(group) or NO_COMMON_SEED
    selective = tested.gathered.selective
    if selective:
        placebos = [placebo.name for placebo in group.placebos]
        result["selectivity"] = [
            {
                "templates": contrast.name,
                "placebos": placebos,
                "seeds": len(group.shared_seeds(contrast)),
                **selective[contrast.name].summary(addresses),
            }
            for contrast in group.real
            if contrast.name in selective
        ]
    elif group.real:
        result["selectivity_note"] = selectivity_note(group)
    return result


def named_test(contrast: Contrast, test: SignFlipResult, addresses: list[str]) -> dict[str, Any]:
    named: dict[str, Any] = {"templates": contrast.name}
    if contrast.placebo is not None:
        named["placebo"] = contrast.placebo
    return named | {
        "seeds": len(contrast.points),
        **_test(test, len(contrast.points), addresses),
    }


def _test(test: SignFlipResult, points: int, addresses: list[str]) -> dict[str, Any]:
    """A test over items whose differences are means over `points` points."""
    summary = {
        "pairs": test.n_blocks * points,
        **test.summary(),
        "degenerate": int(test.degenerate.sum()),
        "strongest": strongest(test, addresses),
    }
    finite = np.abs(test.t[np.isfinite(test.t)])
    if len(finite):
        summary["max_abs_t"] = float(finite.max())
    return summary


def strongest(test: SignFlipResult, addresses: list[str]) -> list[dict[str, Any]]:
    size = np.where(np.isfinite(test.t), np.abs(test.t), -1.0)
    rows = []
    for index in np.argsort(-size, kind="stable")[:STRONGEST_UNITS]:
        row: dict[str, Any] = {"unit": addresses[index]}
        numbers = {
            "t": test.t[index],
            "p": test.p[index],
            "p_stepdown": test.p_stepdown[index],
            "g": test.g[index],
            "g_low": test.g_interval[index, 0],
            "g_high": test.g_interval[index, 1],
        }
        rows.append(row | {name: float(v) for name, v in numbers.items() if np.isfinite(v)})
    return rows


def in_every(group: Group, tested: Tested, addresses: list[str]) -> dict[str, Any]:
    assert tested.pooled is not None
    strongest_first = np.argsort(-np.abs(np.nan_to_num(tested.pooled.t)), kind="stable")
    called = [addresses[index] for index in strongest_first if tested.in_every[index]]
    return {
        "templates": [contrast.name for contrast in group.real],
        "units": len(called),
        "called": called,
    }


def _variance(tested: Tested) -> dict[str, Any] | None:
    found = tested.gathered.variance
    if found is None:
        return None
    shares = found.shares
    with_any = np.isfinite(shares["residual"])
    summary: dict[str, Any] = {
        "method": METHOD,
        "levels": found.levels,
        "units": int(with_any.sum()),
        "shares": {},
    }
    if with_any.any():
        summary["shares"] = {
            effect.replace(":", "_"): quartiles(share[with_any]) for effect, share in shares.items()
        }
    return summary


def quartiles(values: Float[np.ndarray, " units"]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}


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
        maps = tested.gathered.t[first : first + len(contrast.points)]
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
            row |= {"pearson": pairs(found.pearson), "spearman": pairs(found.spearman)}
        rows.append(row)
    return rows


def pairs(found: PairCorrelations) -> dict[str, float]:
    return {"mean": found.mean, "lowest": found.lowest, "highest": found.highest}


def selectivity_note(group: Group) -> str:
    if not group.placebos:
        return NO_PLACEBO
    return "No selectivity: no contrast has a seed in common with every placebo."


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
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    pooled: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for group in members:
        result = group["results"].get(unit_set)
        if result is None:
            continue
        for test in result["contrasts"]:
            row = model_row(group, result, test)
            rows.setdefault((test["templates"],), []).append(row)
        if "pooled" in result:
            row = model_row(group, result, result["pooled"])
            row["in_every_template"] = result["in_every_template"]["units"]
            if "role_test" in result:
                row["role_called"] = result["role_test"]["called"]
            pooled.setdefault(tuple(result["pooled"]["templates"]), []).append(row)
    tables: list[dict[str, Any]] = []
    for (templates,), compared in rows.items():
        if len(compared) > 1:
            tables.append({"unit_set": unit_set, "templates": templates, "rows": compared})
    for over, compared in pooled.items():
        if len(compared) > 1:
            tables.append({"unit_set": unit_set, "pooled": list(over), "rows": compared})
    return tables


def model_row(
    group: dict[str, Any], result: dict[str, Any], test: dict[str, Any]
) -> dict[str, Any]:
    row = {
        "group": group["id"],
        "model": group["model"],
        "seeds": test["seeds"],
        "units": result["units"],
        "above": [
            {
                "threshold": count["threshold"],
                "observed": count["observed"],
                "share": count["observed"] / result["units"],
            }
            for count in test["counts"]
        ],
        "familywise": test["familywise"],
    }
    for name in ("null_of", "max_abs_t"):
        source = group if name == "null_of" else test
        if name in source:
            row[name] = source[name]
    return row
