"""The content of the page of a comparison of two models."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import polars as pl

from otherview.analysis.two_models import COLUMNS
from otherview.results.compare import SHEETS, picture_name
from otherview.results.reader import ComparisonResult
from otherview.results.writing import PICTURES, REFERENCE
from otherview.views import comparison_sentences, comparison_tables
from otherview.views.comparison_sentences import labels
from otherview.views.findings import called
from otherview.views.making import figure_command
from otherview.views.numbers import count, decimal, significant
from otherview.views.report.page_data import image_data
from otherview.views.unit_columns import unit_rows
from otherview.views.vocabulary import (
    DIFFERS,
    FOLLOWS,
    PICTURE_ROLES,
    PLACEBO_ROLES,
    ROLES,
    main_result,
)


def comparison_page(result: ComparisonResult) -> dict[str, Any]:
    """Return the variables of comparison.html.jinja. Raises KeyError for a missing field."""
    comparison = result.comparison
    a, b = labels(comparison)
    lead, heads = comparison["contrasts"][0], result.units.get("heads")
    _, found, noun = main_result(lead)
    return {
        "title": f"{comparison['study']}: {a} against {b}",
        "comparison": comparison,
        "lead": lead,
        "roles": roles(result, lead),
        "found": found,
        "noun": noun,
        "said": comparison_sentences,
        "tables": comparison_tables,
        "key_figures": key_figures(found, a, b),
        "pictures": pictures(result),
        "units": None
        if heads is None
        else unit_rows(heads.filter(pl.col("contrast") == lead["name"]), COLUMNS),
        "command": command(result),
        "figure_command": None
        if heads is None
        else figure_command(result.folder.resolve().name, "effects"),
    }


def roles(result: ComparisonResult, lead: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what the two lists of wordings are."""
    if "placebo" in lead:
        return PLACEBO_ROLES
    has_pictures = (result.folder / picture_name(PICTURES, "a")).is_file()
    return PICTURE_ROLES if has_pictures else ROLES


def pictures(result: ComparisonResult) -> list[tuple[str, str, bool]]:
    """Return what passes were conditioned on: data URL, caption, and whether it is a wide sheet.

    One each where both results have the same.
    """
    found = []
    names = labels(result.comparison)
    for sheet in SHEETS:
        a, b = (image_data(result.folder / picture_name(sheet, which)) for which in "ab")
        both = [("A and B: the same", a)] if a == b else [("A", a), ("B", b)]
        for said, data in both:
            if data is not None:
                name = "" if len(both) == 1 else f": {names['AB'.index(said)]}"
                found.append((data, f"{said}{name}", sheet != REFERENCE))
    return found


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
