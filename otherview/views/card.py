"""The card of a result, as the model hub shows it: README.md with YAML front matter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from otherview.results.reader import RunResult, SweepResult
from otherview.views.figures.sweep_figures import main_answer
from otherview.views.findings import findings_table
from otherview.views.methods_text import bibtex, methods_paragraph
from otherview.views.report.page import templates
from otherview.views.report.run_page import run_command
from otherview.views.run_sentences import (
    answer,
    control_sentences,
    registered_differences,
    registration_sentence,
)
from otherview.views.run_tables import controls_table, counts_table, effects_table
from otherview.views.sweep_sentences import answers, comparison
from otherview.views.sweep_tables import models_table, templates_table
from otherview.views.table_model import markdown_rows
from otherview.views.vocabulary import EXCHANGEABLE, SYMMETRY, notes

MARK = "otherview"
"""A tag of every card."""
AS_RUN = "as_run"
"""Name of the study next to the card, with every setting as it was run."""
TAGS = (MARK, "interpretability", "attention-heads", "diffusion")
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|])")
"""Signs of Markdown and HTML that a text from a study must not have."""
RUN_FIGURES = ("head-map", "role-null", "nulls", "readings", "axis", "controls", "interventions",
               "edges")  # fmt: skip
SWEEP_FIGURES = ("head-map", "models", "agreement", "variance", "selectivity")
REPEAT = f"""pip install -e .  # in a clone of otherview
otherview run --config-dir THIS-FOLDER +experiment={AS_RUN}"""
DOES_NOT_SHOW = (
    "It is a statement about this model, this scene and wordings like these. Other models and "
    "scenes were not measured unless the card names them.",
)
CAUSES_UNKNOWN = (
    "That a head differs does not say that it does anything: no head was edited in this run."
)


def card(
    result: RunResult | SweepResult,
    figures: Mapping[str, tuple[str, str]],
    files: Mapping[str, str],
    license_name: str | None,
) -> str:
    """Return the card of a result.

    `figures` are what PNG files show and their captions, `files` the meanings of the other ones, by
    their names in the folder of the card.
    """
    content = sweep_content(result) if isinstance(result, SweepResult) else run_content(result)
    tables = [name for name in files if name.endswith(".parquet")]
    front = {
        "pretty_name": content["title"],
        "tags": list(TAGS),
        **({} if license_name is None else {"license": license_name}),
        "configs": [
            {"config_name": name.removesuffix(".parquet"), "data_files": name} for name in tables
        ],
    }
    made = templates(keep_trailing_newline=True, finalize=escaped)
    return made.get_template("card.md.jinja").render(
        content,
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        figures=[(name, *said) for name, said in figures.items()],
        files=files,
        rows_of=lambda table: markdown_rows(table, escaped),
    )


def run_content(result: RunResult) -> dict[str, Any]:
    """Return the variables of card.md.jinja for a run."""
    summary, controls, edits = result.summary, result.controls, result.interventions
    methods = methods_paragraph(summary, controls, edits)
    assumptions = [SYMMETRY]
    if any("role_test" in found for found in summary["results"].values()):
        assumptions.insert(0, EXCHANGEABLE)
    causes = [] if edits is not None else [CAUSES_UNKNOWN]
    paths = [each["path"] for each in summary["provenance"]["inputs"].values()]
    return {
        "title": f"{summary['study']} on {summary['model']}",
        "question": summary["question"],
        "answer": answer(summary, controls, edits),
        "registered": registration_sentence(summary),
        "differences": registered_differences(summary),
        "heading": "The published reading and ours",
        "tables": [
            counts_table(summary),
            findings_table(summary),
            controls and controls_table(controls),
            effects_table(edits, chosen_only=True) if edits and edits["sets"] else None,
        ],
        "remarks": control_sentences(summary, controls) if controls is not None else [],
        "methods": methods,
        "limits": [*assumptions, *DOES_NOT_SHOW, *causes, *notes(summary)],
        "repeat": REPEAT,
        "needs": [Path(path).name for path in paths if not path.startswith("otherview:")],
        "command": run_command(result),
        "bibtex": bibtex(methods, summary),
    }


def sweep_content(result: SweepResult) -> dict[str, Any]:
    """Return the variables of card.md.jinja for a combined sweep."""
    combined, (group, unit_set) = result.combined, main_answer(result)
    return {
        "title": f"{', '.join(combined['studies'])} on {group['model']}, a sweep",
        "question": combined["question"],
        "answer": [
            *answers(group, unit_set, listing=False), comparison(combined, group, unit_set)
        ],
        "registered": None,
        "heading": "Over wordings and models",
        "tables": [
            templates_table(group, [unit_set]), models_table(combined.get("models", []), unit_set),
        ],
        "remarks": [],
        "methods": None,
        "limits": [EXCHANGEABLE, *DOES_NOT_SHOW, *combined["notes"]],
        "repeat": shlex.join(["otherview", "sweep", "collect", result.folder.resolve().name]),
        "needs": [],
        "command": None,
        "bibtex": bibtex("", combined),
    }  # fmt: skip


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is; Markup stays."""
    if isinstance(text, Markup):
        return text
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))
