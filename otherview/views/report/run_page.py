"""What the page of one run says: its answer in words, its tables, how to repeat it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml

from otherview.results.reader import RunResult
from otherview.views.figures.null_figures import NOUNS
from otherview.views.figures.numbers import count, percent, signed
from otherview.views.report.alternatives import captions, count_rows, reasons
from otherview.views.report.causes_text import (
    control_rows,
    control_sentences,
    intervention_rows,
    placebo_clause,
    verdict_rows,
)
from otherview.views.report.pictures import examples, image_data
from otherview.views.report.unit_table import page_table

if TYPE_CHECKING:
    pass


def run_page(result: RunResult) -> dict[str, Any]:
    """Everything that run.html.jinja asks for. Raises KeyError for a field that is missing."""
    summary = result.summary
    unit_set = "heads" if "heads" in result.units else next(iter(result.units))
    found = summary["results"][unit_set]
    content: dict[str, Any] = {
        "title": f"{summary['study']} on {summary['model']}",
        "result": result,
        "summary": summary,
        "found": found,
        "unit_set": unit_set,
        "noun": NOUNS[unit_set],

        "answer": answer(result, unit_set),
        "key_figures": key_figures(found, NOUNS[unit_set]),
        "reference": image_data(result.measured / "reference.png"),
        "command": run_command(result),
        "figure_command": shlex.join(
            ["otherview", "figure", str(result.folder), "head-map", "--out",
             "head-map.pdf"]
        ),
        "reasons": reasons(summary, unit_set),
        "count_rows": count_rows(summary),
        "examples": examples(result.folder),
        "table": None,
        "controls": controls(result, found, unit_set),
        "interventions": interventions(result),
        "items": result.differences.items,
        **captions(summary, unit_set),
    }  # fmt: skip
    if "heads" in result.units:
        content["table"] = page_table(result.units["heads"])
    return content


def controls(result: RunResult, found: dict[str, Any], unit_set: str) -> dict[str, Any] | None:
    if result.controls is None:
        return None
    return {
        "sentences": control_sentences(result.controls, found, unit_set),
        "rows": control_rows(result.controls, unit_set),
        "threshold": result.controls["contrasts"][0]["results"][unit_set]["threshold"],
    }


def interventions(result: RunResult) -> dict[str, Any] | None:
    if result.interventions is None or result.single_heads is None:
        return None
    return {
        **result.interventions,
        "rows": intervention_rows(result.interventions),
        "verdict_rows": verdict_rows(result.single_heads),
        "renderings": image_data(result.folder / "renderings.png"),
    }


def answer(result: RunResult, unit_set: str) -> list[str]:
    """The answer in two sentences: what was found, and what it does not show.

    Where heads were intervened on, what that did stands between them.
    """
    summary = result.summary
    found = summary["results"][unit_set]
    noun, units, test = NOUNS[unit_set], found["units"], found["sign_flip"]
    reading = found["published_reading"]["counts"][0]
    published = (
        f"|t|\u00a0>\u00a0{reading['threshold']:g} alone, as in the published reading, would call "
        f"{count(reading['observed'])} ({percent(reading['share'])})"
        f"{placebo_clause(result.controls, unit_set)}"
    )
    done = [result.interventions["headline"]] if result.interventions is not None else []
    if "placebo" in summary["contrast"]:
        return [
            f"{number_of(test['familywise'], units, noun)} of {summary['model']} respond "
            f"differently to wordings of one and the same role ({summary['contrast']['placebo']}), "
            f"over {summary['items']} items (family-wise error {percent(test['alpha'])}).",
            *done,
            f"It is a placebo, and what differs here is the words; {published}.",
        ]
    if "role_test" in found:
        role = found["role_test"]
        wordings = (
            f"{role['wordings']['test']} test and {role['wordings']['control']} control wordings"
        )
        first = (
            f"{number_of(role['called'], units, noun)} of {summary['model']} "
            f"{'follows' if role['called'] == 1 else 'follow'} the role rather than the words: "
            "over "
            f"{wordings} and over {summary['items']} items, each with a family-wise error of "
            f"{percent(role['alpha'])}."
        )
        if role["note"] and not role["called"]:
            first = f"{first} {role['note'].rstrip('.')}."
        second = (
            f"{published}; {count(test['familywise'])} differ between the wordings family-wise, "
            "which any two sets of wordings may do."
        )
        return [first, *done, second]
    first = (
        f"{number_of(test['familywise'], units, noun)} of {summary['model']} "
        f"{'responds' if test['familywise'] == 1 else 'respond'} differently to the two "
        "wordings over "
        f"{summary['items']} items (family-wise error {percent(test['alpha'])}"
        f"{largest(found)})."
    )
    second = (
        "Whether they follow the role or only the words cannot be told from one pair of wordings; "
        f"{published}."
    )
    return [first, *done, second]


def key_figures(found: dict[str, Any], noun: str) -> list[tuple[str, str]]:
    """The few numbers to remember, each with what it counts."""
    reading = found["published_reading"]["counts"][0]
    figures = []
    if "role_test" in found:
        figures.append((count(found["role_test"]["called"]), f"{noun} follow the role"))
    figures.append((count(found["sign_flip"]["familywise"]), f"{noun} differ, family-wise"))
    figures.append(
        (
            percent(reading["share"]),
            f"pass |t|\u00a0>\u00a0{reading['threshold']:g}, the published reading",
        )
    )
    if "discover_confirm" in found:
        halves = found["discover_confirm"]
        figures.append(
            (f"{count(halves['confirmed'])} of {count(halves['discovered'])}",
             "found on half the items, confirmed on the other")
        )  # fmt: skip
    if "mean_correlation" in found.get("split_half", {}):
        figures.append(
            (f"{found['split_half']['mean_correlation']:.2f}", "split-half r of the t-map")
        )
    return figures


def run_command(result: RunResult) -> str:
    """The shell command that repeats the run, with the overrides that it was started with."""
    started = [str(word) for word in result.summary["provenance"]["command"][1:]]
    overrides_file = result.folder / ".hydra" / "overrides.yaml"
    if overrides_file.is_file():
        options = config_folders(started)
        overrides = yaml.safe_load(overrides_file.read_text(encoding="utf-8")) or []
        started = [*options, *map(str, overrides)]
    else:
        started = [word for word in started if not word.startswith(("hydra.run.dir=", "-m"))]
    return shlex.join(["otherview", "run", *started])


def config_folders(words: list[str]) -> list[str]:
    options: list[str] = []
    for index, word in enumerate(words):
        if word.startswith("--config-dir="):
            options.append(word)
        elif word in ("--config-dir", "-cd") and index + 1 < len(words):
            options += [word, words[index + 1]]
    return options


def number_of(number: int, units: int, noun: str) -> str:
    return f"{'None' if number == 0 else count(number)} of {count(units)} {noun}"


def largest(found: dict[str, Any]) -> str:
    if not found["strongest"] or "t" not in found["strongest"][0]:
        return ""
    row = found["strongest"][0]
    effect = f", g = {signed(row['g'])}" if "g" in row else ""
    return f"; the strongest is {row['unit']}, t = {signed(row['t'], 1)}{effect}"
