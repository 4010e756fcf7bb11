"""The card of a result, as the model hub shows it: README.md with YAML front matter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from otherview.results.reader import RunResult, SweepResult
from otherview.views.figures.sweep_figures import main_group
from otherview.views.findings import findings_table
from otherview.views.methods_text import bibtex, methods_paragraph
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
from otherview.views.table_model import Table, markdown_rows
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
    parts = sweep_parts(result) if isinstance(result, SweepResult) else run_parts(result)
    before, after, last = parts
    first, *others = [picture(name, *said) for name, said in figures.items()]
    more = ["## Figures", *others] if others else []
    paragraphs = [*before, first, *after, *more, *contents(files), *last]
    return front_matter(result, files, license_name) + "\n\n".join(paragraphs) + "\n"


def front_matter(
    result: RunResult | SweepResult, files: Mapping[str, str], license_name: str | None
) -> str:
    """Return the YAML that the hub reads: name, tags, licence, and tables for its viewer."""
    tables = [name for name in files if name.endswith(".parquet")]
    content: dict[str, Any] = {"pretty_name": title(result), "tags": list(TAGS)}
    if license_name is not None:
        content["license"] = license_name
    content["configs"] = [
        {"config_name": name.removesuffix(".parquet"), "data_files": name} for name in tables
    ]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n\n"


def title(result: RunResult | SweepResult) -> str:
    """Return what was studied, on what."""
    if isinstance(result, SweepResult):
        return f"{', '.join(result.combined['studies'])} on {main_group(result)['model']}, a sweep"
    return f"{result.summary['study']} on {result.summary['model']}"


Parts = tuple[list[str], list[str], list[str]]
"""Paragraphs before the figures, after them, and after the list of files."""


def run_parts(result: RunResult) -> Parts:
    """Return the paragraphs of the card of a run."""
    summary, controls, edits = result.summary, result.controls, result.interventions
    methods = methods_paragraph(summary, controls, edits)
    before = [f"# {escaped(summary['question'] or title(result))}"]
    before += [escaped(sentence) for sentence in answer(summary, controls, edits)]
    if registered := registration_sentence(summary):
        before.append(f"**{escaped(registered)}**")
        before += bullets(registered_differences(summary))
    tables = [counts_table(summary), findings_table(summary)]
    if controls is not None:
        tables.append(controls_table(controls))
    if edits is not None and edits["sets"]:
        tables.append(effects_table(edits, chosen_only=True))
    after = ["## The published reading and ours", *map(markdown, tables)]
    if controls is not None:
        after += [escaped(sentence) for sentence in control_sentences(summary, controls)]
    after += ["## Method", escaped(methods)]
    after += ["## What it shows, and what it does not", *bullets(limits(result))]
    repeat = (
        "pip install -e .  # in a clone of otherview",
        f"otherview run --config-dir THIS-FOLDER +experiment={AS_RUN}",
    )
    last = ["## Repeat it", f"```sh\n{chr(10).join(repeat)}\n```"]
    paths = [each["path"] for each in summary["provenance"]["inputs"].values()]
    own = [Path(path).name for path in paths if not path.startswith("otherview:")]
    if own:
        last.append(f"It needs {escaped(', '.join(own))}, whose hashes are in `summary.json`.")
    if (command := run_command(result)) is not None:
        last.append(f"It was started as `{command}`, on the revision of the model above.")
    return before, after, [*last, *citation(bibtex(methods, summary))]


def sweep_parts(result: SweepResult) -> Parts:
    """Return the paragraphs of the card of a combined sweep."""
    combined, group = result.combined, main_group(result)
    before = [f"# {escaped(combined['question'] or title(result))}"]
    said = [*answers(group, "heads", listing=False), comparison(combined, group, "heads")]
    before += [escaped(sentence) for sentence in said if sentence]
    tables = [templates_table(group, ["heads"]), models_table(combined.get("models", []), "heads")]
    after = ["## Over wordings and models", *(markdown(table) for table in tables if table)]
    after += [
        "## What it shows, and what it does not",
        *bullets([EXCHANGEABLE, *DOES_NOT_SHOW, *combined["notes"]]),
    ]
    command = shlex.join(["otherview", "sweep", "collect", result.folder.resolve().name])
    last = ["## Repeat it", f"```sh\n{command}\n```"]
    return before, after, [*last, *citation(bibtex("", combined))]


DOES_NOT_SHOW = (
    "It is a statement about this model, this scene and wordings like these. Other models and "
    "scenes were not measured unless the card names them.",
)
CAUSES_UNKNOWN = (
    "That a head differs does not say that it does anything: no head was edited in this run."
)


def limits(result: RunResult) -> list[str]:
    """Return what the result rests on and does not say."""
    summary = result.summary
    assumptions = [SYMMETRY]
    if any("role_test" in found for found in summary["results"].values()):
        assumptions.insert(0, EXCHANGEABLE)
    causes = [] if result.interventions is not None else [CAUSES_UNKNOWN]
    return [*assumptions, *DOES_NOT_SHOW, *causes, *notes(summary)]


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def bullets(lines: Sequence[str]) -> list[str]:
    """Return a list as one paragraph; nothing for no lines."""
    return ["\n".join(f"- {escaped(line)}" for line in lines)] if lines else []


def markdown(table: Table) -> str:
    """Return a table in Markdown, its title above it."""
    caption = f"\n\n{escaped(table.caption)}" if table.caption else ""
    return f"**{escaped(table.title)}**\n\n{markdown_rows(table, escaped)}{caption}"


def picture(name: str, shows: str, caption: str) -> str:
    """Return a figure with its caption."""
    return f"![{escaped(shows)}]({name})\n\n*{escaped(caption)}*"


def contents(files: Mapping[str, str]) -> Iterator[str]:
    """Yield the list of files."""
    yield "## Files"
    yield "\n".join(f"- [`{name}`]({name}): {escaped(meaning)}" for name, meaning in files.items())


def citation(entries: str) -> list[str]:
    """Return the works to cite."""
    return ["## Cite", f"```bibtex\n{entries}\n```"]
