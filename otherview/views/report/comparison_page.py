"""The content of the page of a comparison of two models."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import polars as pl

from otherview.analysis.two_models import COLUMNS
from otherview.results.compare import REFERENCES
from otherview.results.reader import ComparisonResult
from otherview.views.comparison_sentences import (
    NO_MISMATCH,
    comparison_answer,
    contrast_sentences,
    labels,
    main_units,
    mismatch_sentences,
    reading_words,
    scope,
)
from otherview.views.comparison_tables import comparison_levels_table, contrasts_table, models_table
from otherview.views.findings import called
from otherview.views.numbers import count, decimal, significant
from otherview.views.report.pictures import image_data
from otherview.views.unit_columns import unit_rows
from otherview.views.vocabulary import DIFFERS, FOLLOWS, rows_noun


def comparison_page(result: ComparisonResult) -> dict[str, Any]:
    """Return the variables of comparison.html.jinja. Raises KeyError for a missing field."""
    comparison = result.comparison
    a, b = labels(comparison)
    lead = comparison["contrasts"][0]
    unit_set = main_units(lead)
    heads = result.units.get("heads")
    return {
        "title": f"{comparison['study']}: {a} against {b}",
        "comparison": comparison,
        "labels": (a, b),
        "lead": lead,
        "found": lead["results"][unit_set],
        "noun": rows_noun(unit_set, lead["results"][unit_set]),
        "answer": [sentence for sentence in comparison_answer(comparison) if sentence],
        "key_figures": key_figures(lead["results"][unit_set], a, b),
        "placebos": contrast_sentences(comparison),
        "mismatches": mismatch_sentences(comparison) or [NO_MISMATCH],
        "scope": scope(comparison),
        "pictures": pictures(result),
        "models": models_table(comparison),
        "contrasts": contrasts_table(comparison),
        "levels": comparison_levels_table(lead["results"][unit_set]),
        "units": None
        if heads is None
        else unit_rows(heads.filter(pl.col("contrast") == lead["name"]), COLUMNS),
        "reading": reading_words(comparison),
        "command": command(result),
        "figure_command": shlex.join(
            ["otherview", "figure", str(result.folder), "effects", "--out", "effects.pdf"]
        ),
    }


def pictures(result: ComparisonResult) -> list[tuple[str, str]]:
    """Return the reference pictures as data URLs, each with its caption; one if both are equal."""
    found = [image_data(result.folder / name) for name in REFERENCES]
    if found[0] == found[1]:
        captions = ["A and B: one picture"]
    else:
        names = labels(result.comparison)
        captions = [f"{which}: {name}" for which, name in zip("AB", names, strict=True)]
    return [(data, said) for data, said in zip(found, captions, strict=False) if data is not None]


def key_figures(found: Mapping[str, Any], a: str, b: str) -> list[tuple[str, str]]:
    """Return the key numbers, each with its name."""
    figures = []
    if not found["note"]:
        figures = [
            (count(found["familywise"]), f"of {count(found['units'])} {DIFFERS}"),
            (count(found["larger_in_a"]), f"of these are larger in {a}"),
            (count(found["larger_in_b"]), f"of these are larger in {b}"),
        ]
    if "role_test" in found:
        figures.insert(0, (called(found["role_test"]), f"{FOLLOWS} differently"))
    if "pearson" in found.get("agreement", {}):
        figures.append((decimal(found["agreement"]["pearson"]), "r of the two maps of effects"))
    if "level_ratio" in found:
        ratio = significant(found["level_ratio"]["median"])
        figures.append((f"{ratio}×", f"responses in {a} over those in {b}, median"))
    return figures


def command(result: ComparisonResult) -> str:
    """Return the command that repeats the comparison."""
    comparison = result.comparison
    return shlex.join(
        [
            "otherview", "compare", comparison["a"]["folder"], comparison["b"]["folder"],
            "--response", comparison["reading"]["response"], "--out", str(result.folder),
        ]
    )  # fmt: skip
