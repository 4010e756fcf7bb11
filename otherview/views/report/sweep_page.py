"""What the page of a combined sweep says: what holds over templates, seeds and null models."""

from __future__ import annotations

import shlex
from typing import Any

from otherview.results.reader import SweepResult
from otherview.views.figures.numbers import count, percent, plural, significant
from otherview.views.figures.sweep_figures import main_group, pooled_heads
from otherview.views.report.pictures import examples, image_data
from otherview.views.report.unit_table import page_table


def sweep_page(result: SweepResult) -> dict[str, Any]:
    """Everything that sweep.html.jinja asks for. Raises KeyError for a field that is missing."""
    combined, group = result.combined, main_group(result)
    found = group["results"]["heads"]
    table = pooled_heads(result)
    pictured = result.folder / first_point(result)
    return {
        "title": f"{', '.join(combined['studies'])}: {plural(len(combined['points']), 'point')}",
        "combined": combined,
        "group": group,
        "found": found,
        "answer": sweep_answer(combined, group),
        "key_figures": key_figures(found),
        "table": page_table(table),
        "reference": image_data(pictured / "reference.png"),
        "examples": examples(pictured),
        "count_rows": count_rows(found),
        "contrast_rows": [contrast_row(group, test) for test in found["contrasts"]],
        "model_rows": model_rows(combined),
        "seed_rows": [
            [row["templates"], count(row["seeds"]), f"{row['pearson']['mean']:.3f}",
             f"{row['pearson']['lowest']:.3f}"]
            for row in found.get("agreement", {}).get("between_seeds", [])
            if "pearson" in row
        ],
        "command": shlex.join(["otherview", "sweep", "collect", str(result.folder)]),
        "figure_command": shlex.join(
            ["otherview", "figure", str(result.folder), "models", "--out",
             "models.pdf"]
        ),
    }  # fmt: skip


def first_point(result: SweepResult) -> str:
    """Folder of the point whose pictures the page shows."""
    group = main_group(result)["id"]
    rows = (row for row in result.combined["points"] if row["group"] == group)
    return str(next(rows)["point"])


def sweep_answer(combined: dict[str, Any], group: dict[str, Any]) -> list[str]:
    """The answer in two sentences: what holds over wordings, and what null models give."""
    found = group["results"]["heads"]
    units, sentences = found["units"], []
    everywhere = found.get("in_every_template")
    spread = (
        f"{none_or(everywhere['units'])} differ family-wise with one sign in every one of "
        f"{plural(len(everywhere['templates']), 'template')}"
        if everywhere is not None
        else f"{none_or(found['contrasts'][0]['familywise'])} differ family-wise under "
        f"{found['contrasts'][0]['templates']}"
    )
    if "role_test" in found:
        role = found["role_test"]
        wordings = role["wordings"]
        sentences.append(
            f"{none_or(role['called'])} of {count(units)} heads of {group['model']} follow "
            "the role "
            f"over {count(wordings['test'])} test and {count(wordings['control'])} control "
            "wordings "
            f"and over {plural(len(group['items']), 'item')}; {spread}."
        )
    else:
        sentences.append(
            f"Of {count(units)} heads of {group['model']} {spread}, over "
            f"{plural(len(group['items']), 'item')}; whether they follow the role was not tested."
        )
    sentences += beside(combined, group, found)
    return sentences


def beside(combined: dict[str, Any], group: dict[str, Any], found: dict[str, Any]) -> list[str]:
    contrasts = [test for test in found["contrasts"] if "placebo" not in test]
    threshold = found["contrasts"][0]["counts"][0]["threshold"]
    over = f"|t|\u00a0>\u00a0{threshold:g}"
    clauses = []
    if contrasts:
        largest = max(test["counts"][0]["observed"] for test in contrasts)
        clauses.append(
            f"{over} alone, as in the published reading, would call up to {count(largest)} "
            f"({percent(largest / found['units'])}) under one template"
        )
    for other in combined["groups"]:
        if other.get("null_of") != group["model"] or "heads" not in other["results"]:
            continue
        null = other["results"]["heads"]
        swept = [test for test in null["contrasts"] if "placebo" not in test]
        if not swept:
            continue
        largest = max(test["counts"][0]["observed"] for test in swept)
        called = (
            f", and the role test calls {none_or(null['role_test']['called']).lower()}"
            if "role_test" in null
            else ""
        )
        clauses.append(
            f"{other['model']}, a null model, has up to {count(largest)} of "
            f"{count(null['units'])}{called}"
        )
    placebos = [test for test in found["contrasts"] if "placebo" in test]
    if placebos:
        largest = max(test["counts"][0]["observed"] for test in placebos)
        clauses.append(f"two wordings of one role give up to {count(largest)}")
    return [f"{'; '.join(clauses)}."] if clauses else []


def none_or(number: int) -> str:
    return "None" if number == 0 else count(number)


def key_figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    figures = []
    if "role_test" in found:
        figures.append((count(found["role_test"]["called"]), "heads follow the role"))
    if "in_every_template" in found:
        figures.append((count(found["in_every_template"]["units"]), "differ in every template"))
    if "pooled" in found:
        figures.append((count(found["pooled"]["familywise"]), "differ over all templates"))
    pairs = [pair for pair in found.get("agreement", {}).get("between_templates", [])
             if not pair["placebo"] and "pearson" in pair]  # fmt: skip
    if pairs:
        lowest = min(pair["pearson"] for pair in pairs)
        shown = f"{lowest:.2f}".replace("-", "−")
        figures.append((shown, "lowest r of two templates’ t\u2011maps"))
    return figures


def count_rows(found: dict[str, Any]) -> list[list[str]]:
    """Observed against null, a row a test and threshold: over all templates first."""
    pooled = [("over all templates", found["pooled"])] if "pooled" in found else []
    rows = []
    for name, test in [*pooled, *((test["templates"], test) for test in found["contrasts"])]:
        rows += [
            [
                name, f"{row['threshold']:g}",
                f"{count(row['observed'])} ({percent(row['observed'] / found['units'])})",
                f"{significant(row['null_mean'])} ± {significant(row['null_sd'])}",
                count(row["null_p99"]), significant(row["p"]), count(row["true_discoveries"]),
                f"{test['max_abs_t']:.1f}" if "max_abs_t" in test else "–",
                f"{test['critical_t']:.2f}" if "critical_t" in test else "–",
            ]
            for row in test["counts"]
        ]  # fmt: skip
    return rows


def contrast_row(group: dict[str, Any], test: dict[str, Any]) -> list[str]:
    contrast = next(row for row in group["contrasts"] if row["templates"] == test["templates"])
    same = contrast["equal_count"] and contrast["equal_item_position"]
    units = group["results"]["heads"]["units"]
    over = test["counts"][0]
    return [
        test["templates"],
        f"placebo: two of {test['placebo']}" if "placebo" in test else "contrast",
        f"{len(contrast['test'])} + {len(contrast['control'])}",
        "yes" if same else "no",
        count(test["seeds"]),
        f"{count(over['observed'])} ({percent(over['observed'] / units)})",
        count(test["familywise"]),
        f"{test['max_abs_t']:.1f}" if "max_abs_t" in test else "–",
    ]


def model_rows(combined: dict[str, Any]) -> list[list[str]]:
    rows = []
    for comparison in combined.get("models", []):
        if comparison["unit_set"] != "heads":
            continue
        for row in comparison["rows"]:
            over = row["above"][0]
            null = f" (null model of {row['null_of']})" if "null_of" in row else ""
            rows.append(
                [
                    comparison.get("templates", "all templates"), f"{row['model']}{null}",
                    f"{count(over['observed'])} ({percent(over['share'])})",
                    count(row["familywise"]),
                    count(row["in_every_template"]) if "in_every_template" in row else "–",
                    count(row["role_called"]) if "role_called" in row else "–",
                    significant(row["max_abs_t"], 3) if "max_abs_t" in row else "–",
                ]
            )  # fmt: skip
    return rows
