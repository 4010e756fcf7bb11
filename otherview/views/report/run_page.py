"""The content of the page of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl
import yaml

from otherview.analysis.statistics import STATISTICS
from otherview.analysis.tables import COLUMNS
from otherview.results.reader import RunResult
from otherview.stats import Column, RoleTestResult
from otherview.views import causes_sentences, run_sentences, run_tables
from otherview.views.findings import finding, findings_table
from otherview.views.making import figure_command, map_name
from otherview.views.methods_text import bibtex, methods_paragraph
from otherview.views.numbers import percent
from otherview.views.report.page_data import csv_of, examples, head_data, image_data
from otherview.views.unit_columns import (
    UnitTable,
    by_evidence,
    unit_rows,
    verdict_columns,
    with_verdicts,
)
from otherview.views.vocabulary import NOUNS, above, main_result

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
    summary = result.summary
    unit_set, found, noun = main_result(summary)
    methods = methods_paragraph(summary, result.controls, result.interventions)
    units = units_table(result, unit_set)
    columns = table_columns(result)
    saved = {name: csv_of(name, judged(result, name), columns) for name in result.units}
    return {
        "title": f"{summary['study']} on {summary['model']}",
        "result": result,
        "summary": summary,
        "unit_set": unit_set,
        "found": found,
        "unit": NOUNS[unit_set][:-1],
        "noun": noun,
        "said": run_sentences,
        "causes": causes_sentences,
        "tables": run_tables,
        "picture": partial(picture, result),
        "key_figures": key_figures(found),
        "command": run_command(result) or run_in_python(result),
        "methods": methods,
        "bibtex": bibtex(methods, summary),
        "figure_command": figure_command(result.folder.resolve().name, map_name(unit_set)),
        "findings": findings_table(summary),
        "examples": examples(result.folder),
        "units": units,
        "passes": head_data(result, units) if "heads" in saved else None,
        "csv": list(saved.values()),
        "main_csv": saved[unit_set],
    }


def picture(result: RunResult, name: str) -> str | None:
    """Return a picture of a run as a data URL, of a control that of its run; None without it."""
    return image_data((result.folder if name == "renderings" else result.measured) / f"{name}.png")


def key_figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the key numbers, each with its name."""
    reading = found["published_reading"]["counts"][0]
    texts = {one.words: one.text(found) for one in map(finding, KEY_FINDINGS)}
    figures = [(text, words) for words, text in texts.items() if text is not None]
    published = f"pass {above(reading['threshold'])}, the published reading"
    called = 2 if "role_test" in found else 1
    return [*figures[:called], (percent(reading["share"]), published), *figures[called:]]


def table_columns(result: RunResult) -> list[Column]:
    """Return the columns of a table of units, first those that rank units."""
    predicted = (
        column for each in STATISTICS if each.name in PREDICTIONS for column in each.columns
    )
    first = [COLUMNS[0], *verdict_columns(result), *RoleTestResult.COLUMNS, *predicted]
    return [*first, *(column for column in COLUMNS if column not in first)]


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
