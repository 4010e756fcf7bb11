"""The content of the page of a combined sweep."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from otherview.results.reader import SweepResult
from otherview.views import sweep_sentences, sweep_tables
from otherview.views.figures.sweep_figures import main_group, pooled_heads
from otherview.views.making import figure_command
from otherview.views.numbers import count, decimal, plural
from otherview.views.report.page_data import examples, image_data
from otherview.views.sweep_points import (
    PointRow,
    combined_rows,
    own_folders,
    point_list,
    sweep_commands,
)
from otherview.views.unit_columns import unit_rows
from otherview.views.vocabulary import EVERYWHERE, FOLLOWS


def sweep_page(result: SweepResult) -> dict[str, Any]:
    """Return the variables of sweep.html.jinja. Raises KeyError for a missing field."""
    combined, group = result.combined, main_group(result)
    found = group["results"]["heads"]
    pictured = result.folder / first_point(result)
    rows = combined_rows(result.folder, combined)
    total = len(combined["points"]) + len(combined["left_out"])
    return {
        "title": f"{', '.join(combined['studies'])}: {plural(len(combined['points']), 'point')}",
        "combined": combined,
        "group": group,
        "found": found,
        "said": sweep_sentences,
        "tables": sweep_tables,
        "key_figures": key_figures(found),
        "units": unit_rows(pooled_heads(result)),
        "reference": image_data(pictured / "reference.png"),
        "examples": examples(pictured),
        "points": point_list(rows, total),
        "command": repeat_command(result.folder, rows if len(rows) == total else []),
        "figure_command": figure_command(result.folder.resolve().name, "models"),
    }


def repeat_command(sweep: Path, rows: Sequence[PointRow]) -> str:
    """Return the commands that run the points and combine them, one per line.

    Where the overrides of a point are unknown, or there are no `rows`, only the combination.
    """
    folder = f"multirun/{sweep.resolve().name}"
    commands = sweep_commands(rows, own_folders(sweep), [f"hydra.sweep.dir={folder}"])
    return "\n".join([*commands, shlex.join(["otherview", "sweep", "collect", folder])])


def first_point(result: SweepResult) -> str:
    """Return the folder of the point whose images the page shows."""
    group = main_group(result)["id"]
    rows = (row for row in result.combined["points"] if row["group"] == group)
    return str(next(rows)["point"])


def key_figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = []
    for name, key, words in (
        ("role_test", "called", FOLLOWS),
        ("in_every_template", "units", EVERYWHERE),
        ("pooled", "familywise", "differ over all templates"),
    ):
        if name in found:
            figures.append((count(found[name][key]), words))
    pairs = found.get("agreement", {}).get("between_templates", [])
    real = [pair["pearson"] for pair in pairs if not pair["placebo"] and "pearson" in pair]
    if real:
        figures.append((decimal(min(real)), "lowest r of two templates’ t\u2011maps"))
    return figures
