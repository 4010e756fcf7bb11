"""The tables of a run, for all views, from the files of the result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from otherview.views.causes_sentences import COMPARED
from otherview.views.numbers import DASH, count, decimal, known, of_all, percent, significant
from otherview.views.table_model import Table
from otherview.views.vocabulary import (
    AT_LEAST,
    CONFOUNDED,
    DIFFERS,
    FOLLOWS,
    LARGEST,
    NOUNS,
    PLACEBO_RATIO,
    above,
    patterns,
    rows_noun,
)

ROLES = ("test", "control")
PRINTED = "published, "
"""How the row of a publication begins."""


def counts_table(summary: Mapping[str, Any]) -> Table:
    """Return units over each threshold, with the published null and that of the sign-flip test.

    The numbers of the publication follow if the study repeats it.
    """
    results = summary["results"]
    first = next(iter(results.values()))
    test, flips = first["sign_flip"], f"{first['published_reading']['flips']} flips"
    confidence = f"true, with {percent(1 - test['alpha'])} confidence"
    rows = []
    for unit_set, result in results.items():
        title = f"{result['units']:,} {rows_noun(unit_set, result)}"
        reading = result["published_reading"]
        for row, exact in zip(reading["counts"], result["sign_flip"]["counts"], strict=True):
            mean = f"{significant(exact['null_mean'])} ± {significant(exact['null_sd'])}"
            rows.append([*published_cells(title, row, result["units"], reading),
                         patterns(result["sign_flip"]), mean,
                         count(exact["null_p99"]), significant(exact["p"]),
                         count(exact["true_discoveries"])])  # fmt: skip
    if (figures := summary.get("published_figures")) is not None:
        title = f"{PRINTED}{count(figures['units'])}"
        rows += [[*published_cells(title, row, figures["units"], figures), *[DASH] * 5]
                 for row in figures["counts"]]  # fmt: skip
    return Table(
        "published reading and sign flips of items",
        ["counted", "|t| >", "observed", "share", f"null mean, {flips}", f"null p99, {flips}",
         "observed / p99", LARGEST, "sign patterns", "null mean ± SD", "null p99",
         "p of the count", confidence],
        rows,
        keys=2,
        meanings={"observed / p99": "not an effect size: it grows with the number of items",
                  "sign patterns": "behind the next columns: all, or as many as were drawn",
                  confidence: "a lower bound on the true discoveries among the observed"},
    )  # fmt: skip


def strata_table(found: Mapping[str, Any]) -> Table | None:
    """Return the mean difference by stratum of items, for the units that differ most; or None."""
    if (test := found.get("strata")) is None:
        return None
    rows = [
        [unit["unit"], *(significant(unit["means"][name]) for name in test["strata"]),
         percent(unit["share"]), significant(unit["p"])]
        for unit in test["units"]
    ]  # fmt: skip
    return Table(
        "mean difference by stratum of items",
        ["unit", *(f"{name} ({items})" for name, items in test["strata"].items()),
         "share between strata", "corrected p"],
        rows,
        meanings={"share between strata": "of the variance of the difference between items",
                  "corrected p": "strata dealt to the items again, largest share over all units"},
    )  # fmt: skip


def published_cells(
    title: str, row: Mapping[str, Any], units: int, reading: Mapping[str, Any]
) -> list[str]:
    p99, is_first = row["null_p99"], row is reading["counts"][0]
    return [
        title, f"{row['threshold']:g}", count(row["observed"]), percent(row["observed"] / units),
        count(row["null_mean"]), count(p99),
        ratio(row["observed"] / p99, printed=title.startswith(PRINTED)) if p99 else DASH,
        known(reading.get("max_abs_t"), decimal) if is_first else "",
    ]  # fmt: skip


def ratio(value: float, *, printed: bool) -> str:
    """Return a ratio as text; of the publication's, whose digits it leaves out, as `printed`."""
    return f"{int(value):,}×" if printed or value >= 100 else f"{significant(value, 3)}×"


def sets_table(unit_set: str, result: Mapping[str, Any], blocks: int | None = None) -> Table:
    """How many units of several sets differ, at least; of the blocks those with the largest |t|.

    `blocks` is their number; None means all.
    """
    noun = rows_noun(unit_set, result)
    names = {"all": f"all {noun}", "threshold": "|t| > {}"}
    rows = sorted(
        result["sets"],
        key=lambda row: -row.get("max_abs_t", 0.0) if row["kind"] == "block" else -math.inf,
    )
    others = sum(row["kind"] != "block" for row in rows)
    lowest = min(row["threshold"] for row in result["published_reading"]["counts"])
    confidence = percent(1 - result["discovery_bounds"]["alpha"])
    return Table(
        f"how many {noun} differ between these wordings, at least",
        ["set", noun, AT_LEAST, above(lowest), LARGEST, "strongest"],
        [[names.get(row["kind"], "{}").format(row["set"]), count(row["units"]),
          count(row["true_discoveries"]), count(row["above"]),
          known(row.get("max_abs_t"), decimal), row.get("unit", DASH)]
         for row in rows[: None if blocks is None else others + blocks]],
        f"All numbers under “{AT_LEAST}” hold together with {confidence} confidence, over items; "
        "they say nothing of other wordings.",
        words=["strongest"],
    )  # fmt: skip


def levels_table(unit_set: str, result: Mapping[str, Any]) -> Table:
    """Return one row per noise level: how many units are over the threshold, and how many differ.

    Corrected numbers hold over all levels and units together.
    """
    rows, noun = result["levels"], NOUNS[unit_set]
    lowest = min(row["threshold"] for row in result["published_reading"]["counts"])
    called = "called" in rows[0]
    confounded = any(row["confounded"] for row in rows)
    return Table(
        f"{noun} by noise level",
        ["noise level", noun, above(lowest), DIFFERS, *([FOLLOWS] if called else []), AT_LEAST,
         LARGEST, "strongest"],
        [[f"{row['noise_level']:.4g}{' (confounded)' if row['confounded'] else ''}",
          count(row["units"]), of_all(row["above"], row["units"]),
          count(row["familywise"]), *([count(row["called"])] if called else []),
          count(row["true_discoveries"]), known(row.get("max_abs_t"), decimal), row["unit"]]
         for row in rows],
        f"Corrected over all {count(result['units'])} {rows_noun(unit_set, result)} together."
        + (f" {CONFOUNDED}" if confounded else ""),
        words=["strongest"],
    )  # fmt: skip


def controls_table(controls: Mapping[str, Any]) -> Table:
    """Return one row per contrast or placebo and unit set."""
    ratios = {row["contrast"]: row["results"] for row in controls.get("selectivity", [])}
    shares = {row["contrast"]: row["results"] for row in controls["token_groups"]}
    contrasts = controls["contrasts"]
    rows = []
    for row in contrasts:
        for unit_set, result in row["results"].items():
            differing = DASH if result["note"] else count(result["familywise"])
            several = f", {NOUNS[unit_set]}" if len(row["results"]) > 1 else ""
            share = shares[row["name"]][unit_set].get("shares")
            ratio = ratios.get(row["name"], {}).get(unit_set, {}).get("median_ratio")
            rows.append([f"{row['name']}{several}",
                         of_all(result["observed"], result["units"]), differing,
                         known(result.get("max_abs_t"), decimal), known(ratio, decimal),
                         known(share and share["pad"], percent),
                         *design_cells(row, row["kind"])])  # fmt: skip
    threshold = next(iter(contrasts[0]["results"].values()))["threshold"]
    return Table(
        "other contrasts and placebos: would any two wordings do?",
        ["contrast", above(threshold), DIFFERS, LARGEST, "× placebo", "in pad tokens", *DESIGN],
        rows,
        words=DESIGN[:1],
        meanings={"× placebo": PLACEBO_RATIO, "wordings": "test + control",
                  "in pad tokens": "share of the change that is in pad tokens"},
    )  # fmt: skip


DESIGN = ("kind", "wordings", "tokens and position equal")


def design_cells(contrast: Mapping[str, Any], kind: str) -> list[str]:
    """Return the cells of a contrast under the headings of DESIGN."""
    known = "equal_count" in contrast
    same = known and contrast["equal_count"] and contrast["equal_item_position"]
    answer = "yes" if same else "no" if known else "–"
    return [kind, f"{len(contrast['test'])} + {len(contrast['control'])}", answer]


def primary_measure(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main measure."""
    measures: list[dict[str, Any]] = found["measures"]
    return next((measure for measure in measures if measure.get("primary")), measures[0])


def effects_table(found: Mapping[str, Any], *, chosen_only: bool = False) -> Table:
    """Return the effects of editing heads together: one row per set, edit and measure.

    `chosen_only` omits subsets of the selected heads, and adds ratios.
    """
    primary = primary_measure(found)["name"]
    measures = {row["name"]: row for row in found["measures"]}
    order = sorted(measures, key=lambda name: name != primary)
    by_role: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found["sets"]:
        if row["set"] == "selected" or not chosen_only:
            title = f"{row['set']} {row['size']}, {row['variant']}"
            by_role.setdefault((title, row["measure"]), {})[row["role"]] = row
    kept, titles = 4 if chosen_only else 3, dict.fromkeys(title for title, _ in by_role)
    return Table(
        f"{found['kind']}: heads edited together",
        ["heads, edit", "measure", *effect_headings(found, kept)],
        [[title, name, *effect_cells(by_role[title, name], kept)]
         for title in titles for name in order],
        "; ".join(f"{name}: {measure_title(measures[name])}" for name in order)
        + (
            ". Random axes have the length of each head’s own at each token group; mean over "
            "draws; p = (b + 1) / (m + 1)."
            if found["kind"] == "steer"
            else ". Random heads come from the same sites, mean over random sets; "
            "p = (b + 1) / (m + 1)."
        ),
        keys=2,
        words=["measure"],
    )  # fmt: skip


def growth_table(found: Mapping[str, Any]) -> Table | None:
    """Return the set that grew head by head, one row per size; None if none did."""
    if (growth := found.get("growth")) is None:
        return None
    measure = primary_measure(found)
    by_size: dict[int, dict[str, Any]] = {}
    for row in growth["rows"]:
        if row["measure"] == measure["name"]:
            by_size.setdefault(row["size"], {})[row["role"]] = row
    saturated = (
        f" No further head adds more than its share: the effect saturates at {saturates}."
        if (saturates := growth.get("saturates_at")) is not None
        else ""
    )
    return Table(
        "a set grown head by head: each adds most to those before it",
        ["heads", "added", *effect_headings(found, 3)],
        [[count(size), unit, *effect_cells(by_size[size], 3)]
         for size, unit in enumerate(growth["order"], 1)],
        f"{measure_title(measure)}. {growth['note']}{saturated}",
        words=["added"],
    )  # fmt: skip


def measure_title(measure: Mapping[str, Any]) -> str:
    """Return what a measure is, with its unit."""
    return f"{measure['title']}{', ' + measure['unit'] if measure.get('unit') else ''}"


def effect_headings(found: Mapping[str, Any], kept: int) -> list[str]:
    """Return the headings of the first `kept` cells of each role."""
    compared = COMPARED.get(found["kind"], "random heads")
    return [each for role in ROLES for each in (f"{role} role", compared, "p", "ratio")[:kept]]


def effect_cells(by_role: Mapping[str, Mapping[str, Any]], kept: int) -> list[str]:
    cells = []
    for row in (by_role[role] for role in ROLES):
        cells += [
            significant(row["value"], 3),
            known(row.get("null_mean"), lambda value: significant(value, 3)),
            known(row.get("p"), significant),
            known(row.get("ratio"), lambda value: f"{significant(value)}×"),
        ][:kept]
    return cells
