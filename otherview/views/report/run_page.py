"""The content of the page of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import polars as pl
import yaml

from otherview.analysis.statistics import STATISTICS
from otherview.analysis.tables import COLUMNS
from otherview.results.reader import RunResult
from otherview.stats import Column, RoleTestResult
from otherview.views.causes_sentences import (
    COMPARED,
    agreement_sentence,
    correlations,
    edge_sentences,
    verdict_rows,
)
from otherview.views.findings import finding, findings_table
from otherview.views.making import figure_command
from otherview.views.methods_text import bibtex, methods_paragraph
from otherview.views.numbers import percent
from otherview.views.report.page_data import csv_of, examples, head_data, image_data
from otherview.views.run_sentences import (
    answer,
    control_sentences,
    level_sentences,
    reasons,
    registered_differences,
    registration_sentence,
)
from otherview.views.run_tables import (
    controls_table,
    counts_table,
    effects_table,
    growth_table,
    levels_table,
    sets_table,
    strata_table,
)
from otherview.views.unit_columns import (
    UnitTable,
    by_evidence,
    ranking_first,
    unit_rows,
    verdict_columns,
    with_verdicts,
)
from otherview.views.vocabulary import (
    NOUNS,
    above,
    caveats,
    main_result,
    picture_notes,
)

PREDICTIONS = ("predicted_change", "predicted_toward")
"""Statistics that say what an edit of a head would do."""
MAX_ROWS = 720
"""Of the table of slices on the page."""
KEY_FINDINGS = (
    "role_test/called",
    "sign_flip/familywise",
    "discover_confirm/confirmed",
    "split_half/mean_correlation",
)
"""The key numbers."""


def run_page(result: RunResult) -> dict[str, Any]:
    """Return the variables of run.html.jinja. Raises KeyError for a missing field."""
    summary, controls = result.summary, result.controls
    unit_set, found, noun = main_result(summary)
    methods = methods_paragraph(summary, controls, result.interventions)
    units = units_table(result, unit_set)
    columns = table_columns(result)
    saved = {name: csv_of(name, judged(result, name), columns) for name in result.units}
    return {
        "title": f"{summary['study']} on {summary['model']}",
        "summary": summary,
        "found": found,
        "unit": NOUNS[unit_set][:-1],
        "noun": noun,
        "levels": levels_table(unit_set, found) if "levels" in found else None,
        "level_sentences": level_sentences(unit_set, found),
        "answer": answer(summary, controls, result.interventions),
        "registered": registration_sentence(summary),
        "registered_differences": registered_differences(summary),
        "caveats": caveats(summary),
        "notes": [*picture_notes(summary), *summary.get("remarks", [])],
        "key_figures": key_figures(found),
        "reference": image_data(result.measured / "reference.png"),
        "scenes": image_data(result.measured / "scenes.png"),
        "pictures": image_data(result.measured / "pictures.png"),
        "command": run_command(result) or run_in_python(result),
        "methods": methods,
        "bibtex": bibtex(methods, summary),
        "figure_command": figure_command(result.folder.resolve().name, "head-map"),
        "reasons": reasons(summary),
        "counts": counts_table(summary),
        "findings": findings_table(summary),
        "examples": examples(result.folder),
        "strata": strata_table(found),
        "units": units,
        "total_units": len(result.units[unit_set]),
        "passes": head_data(result, units) if "heads" in saved else None,
        "csv": list(saved.values()),
        "main_csv": saved[unit_set],
        "sets": sets_table(unit_set, found),
        "controls": controls
        and {"sentences": control_sentences(summary, controls), "table": controls_table(controls)},
        "edges": edge_sentences(result.edges),
        "interventions": interventions(result),
        "items": result.differences.items,
    }


def key_figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the key numbers, each with its name."""
    reading = found["published_reading"]["counts"][0]
    texts = {one.words: one.text(found) for one in map(finding, KEY_FINDINGS)}
    figures = [(text, words) for words, text in texts.items() if text is not None]
    published = f"pass {above(reading['threshold'])}, the published reading"
    called = 2 if "role_test" in found else 1
    return [*figures[:called], (percent(reading["share"]), published), *figures[called:]]


def interventions(result: RunResult) -> dict[str, Any] | None:
    found = result.interventions
    if found is None:
        return None
    return {
        "note": found["selection"].get("note"),
        "table": effects_table(found, chosen_only=True) if found["sets"] else None,
        "all_sets": effects_table(found)
        if any(row["set"] != "selected" for row in found["sets"])
        else None,
        "growth": growth_table(found),
        "verdicts": verdict_rows(found),
        "compared": COMPARED.get(found["kind"], "random heads"),
        "steered": found["kind"] == "steer",
        "correlations": " ".join((correlations(found), agreement_sentence(found))).strip(),
        "renderings": image_data(result.folder / "renderings.png"),
    }


def table_columns(result: RunResult) -> list[Column]:
    """Return the columns of a table of units, first those that rank units."""
    unit, *others = ranking_first(COLUMNS)
    predicted = [
        column for each in STATISTICS if each.name in PREDICTIONS for column in each.columns
    ]
    role = [column for column in others if column in RoleTestResult.COLUMNS]
    rest = [column for column in others if column not in (*role, *predicted)]
    return [unit, *verdict_columns(result), *role, *predicted, *rest]


def units_table(result: RunResult, unit_set: str = "heads") -> UnitTable:
    """Return the table of units, of heads with the verdicts of an intervention.

    Of more than MAX_ROWS units the strongest are kept.
    """
    table = judged(result, unit_set)
    kept = table if unit_set == "heads" else by_evidence(table).head(MAX_ROWS)
    return unit_rows(kept, table_columns(result))


def judged(result: RunResult, unit_set: str) -> pl.DataFrame:
    table = result.units[unit_set]
    return with_verdicts(table, result) if unit_set == "heads" else table


def run_command(result: RunResult) -> str | None:
    """Return the shell command that repeats the run; None for a run that Python started."""
    overrides_file = result.folder / ".hydra" / "overrides.yaml"
    if not overrides_file.is_file():
        return None
    started = [str(word) for word in result.summary["provenance"]["command"][1:]]
    overrides = yaml.safe_load(overrides_file.read_text(encoding="utf-8")) or []
    return shlex.join(["otherview", "run", *config_folders(started), *map(str, overrides)])


def run_in_python(result: RunResult) -> str:
    """Return the lines of Python that repeat the run, from the folder above its own."""
    folder = result.folder.resolve().name
    return (
        "import otherview\n\n"
        f"study = otherview.read_result({folder!r}).study\n"
        f"otherview.run(study, {f'{folder}-again'!r})"
    )


def config_folders(words: list[str]) -> list[str]:
    options: list[str] = []
    for index, word in enumerate(words):
        if word.startswith("--config-dir="):
            options.append(word)
        elif word in ("--config-dir", "-cd") and index + 1 < len(words):
            options += [word, words[index + 1]]
    return options
