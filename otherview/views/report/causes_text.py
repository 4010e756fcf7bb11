"""What controls and interventions add to the page of a run, in words and rows."""

from __future__ import annotations

from typing import Any

import polars as pl

from otherview.views.figures.intervention_figure import primary_measure
from otherview.views.figures.null_figures import NOUNS
from otherview.views.figures.numbers import count, percent, plural, significant


def control_sentences(controls: dict[str, Any], found: dict[str, Any], unit_set: str) -> list[str]:
    """What the controls say, a sentence each, of those that were done."""
    sentences = []
    placebos = [row for row in controls["contrasts"] if row["kind"] == "placebo"]
    for row in placebos:
        of_units = row["results"][unit_set]
        sentences.append(
            f"Wordings of one and the same role ({row['name']}): "
            f"{count(of_units['observed'])} of {count(of_units['units'])} {NOUNS[unit_set]} "
            f"({percent(of_units['share'])}) have |t|\u00a0>\u00a0{of_units['threshold']:g} "
            "all the same."
        )
    for row in controls.get("selectivity", []):
        of_units = row["results"][unit_set]
        if row["contrast"] == controls["contrasts"][0]["name"]:
            ratio = (
                f"; the median effect is {significant(of_units['median_ratio'])} times that of the "
                "placebos"
                if "median_ratio" in of_units
                else ""
            )
            sentences.append(
                f"Against the placebos {count(of_units['above_placebo'])} of "
                f"{count(of_units['units'])} {NOUNS[unit_set]} differ more under {row['contrast']}"
                f"{ratio}. That describes and is no test: two pairs of words always differ."
            )
    sentences += in_summary(found)
    return sentences


def in_summary(found: dict[str, Any]) -> list[str]:
    sentences = []
    if "label_shuffle" in found:
        shuffled = found["label_shuffle"]
        low, high = shuffled["interval"]
        sentences.append(
            f"With role labels dealt anew over {shuffled['over']}, "
            f"{count(shuffled['called_any'])} of {plural(shuffled['shuffles'], 'shuffle')} call "
            f"anything ({percent(shuffled['rate'])}, 95% interval {percent(low)} to "
            f"{percent(high)}; "
            f"nominal {percent(shuffled['nominal'])}), while the published reading still calls "
            f"{percent(shuffled['published_share'])} of the units on average."
        )
    if "wording_split" in found:
        split = found["wording_split"]
        survival = f" ({percent(split['survival'])})" if "survival" in split else ""
        sentences.append(
            f"On half of the items under half of the wordings the role test finds "
            f"{significant(split['mean_discovered'])} units; on the other halves "
            f"{significant(split['mean_confirmed'])} of them hold{survival}, over "
            f"{plural(split['splits'], 'random halving')}."
        )
    if "text_distance" in found:
        along = found["text_distance"]
        sentences.append(
            f"Along the measured distance of the prompts in the text encoder "
            f"{plural(along['familywise'], 'unit')} "
            f"{'has' if along['familywise'] == 1 else 'have'} "
            f"a family-wise trend; {count(along['both'])} along both axes."
        )
    return sentences


def control_rows(controls: dict[str, Any], unit_set: str) -> list[list[str]]:
    """Rows of the table of contrasts and placebos."""
    rows = []
    for row in controls["contrasts"]:
        found = row["results"][unit_set]
        same = row["equal_count"] and row["equal_item_position"]
        rows.append(
            [
                row["name"], row["kind"], f"{len(row['test'])} + {len(row['control'])}",
                "yes" if same else "no", f"{count(found['observed'])} ({percent(found['share'])})",
                count(found["familywise"]),
                f"{found['max_abs_t']:.1f}" if "max_abs_t" in found else "–",
            ]
        )  # fmt: skip
    return rows


def placebo_clause(controls: dict[str, Any] | None, unit_set: str) -> str:
    """How much of the published reading two wordings of one role give; empty without placebos."""
    rows = [row for row in (controls or {}).get("contrasts", []) if row["kind"] == "placebo"]
    if not rows:
        return ""
    largest = max(row["results"][unit_set]["observed"] for row in rows)
    units = rows[0]["results"][unit_set]["units"]
    return f"; two wordings of one and the same role give up to {count(largest)} of {count(units)}"


def intervention_rows(found: dict[str, Any]) -> list[list[str]]:
    """Rows of the table of set effects: the chosen heads, every measure and role."""
    titles = {measure["name"]: measure for measure in found["measures"]}
    rows = []
    for row in found["sets"]:
        if row["set"] != "selected":
            continue
        measure = titles[row["measure"]]
        unit = f", {measure['unit']}" if measure.get("unit") else ""
        rows.append(
            [
                f"{measure['title']}{unit}", row["role"], str(row["variant"]),
                significant(row["value"], 3),
                significant(row["null_mean"], 3) if "null_mean" in row else "–",
                f"{significant(row['ratio'])}×" if "ratio" in row else "–",
                significant(row["p"]) if "p" in row else "–",
            ]
        )  # fmt: skip
    primary = titles[primary_measure(found)["name"]]["title"]
    return sorted(rows, key=lambda row: not row[0].startswith(primary))


def verdict_rows(heads: pl.DataFrame) -> list[tuple[str, str]]:
    """Verdicts and their heads, those that do something first."""
    grouped = (
        heads.drop_nulls("verdict").group_by("verdict", maintain_order=True).agg(pl.col("unit"))
    )
    rows = [(str(verdict), list(units)) for verdict, units in grouped.iter_rows()]
    rows.sort(key=lambda row: ("nothing" in row[0] or "no more" in row[0], len(row[1])))
    return [
        (f"{verdict} ({len(units)})", ", ".join(units[:12]) + (" …" if len(units) > 12 else ""))
        for verdict, units in rows
    ]
