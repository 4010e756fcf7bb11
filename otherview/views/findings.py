"""The numbers that summarise a run: their names and formats, for all views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from otherview.analysis.statistics import STATISTICS
from otherview.views.numbers import DASH, count, decimal, percent, plural, significant
from otherview.views.table_model import Table
from otherview.views.vocabulary import (
    AT_LEAST,
    CONFIRMED,
    DIFFERS,
    FOLLOWS,
    SPLIT_HALF,
    SYMMETRY,
    familywise,
    patterns,
    rows_noun,
)

Entry = Mapping[str, Any]
"""The summary of one statistic."""


@dataclass(frozen=True)
class Finding:
    """One number in the summary of a statistic."""

    statistic: str
    name: str
    """In the summary of the statistic."""
    words: str
    form: Callable[[Any], str] = count
    of_entry: Callable[[Entry], str] | None = None
    """Formats it from the whole summary of the statistic; otherwise `form` does."""

    def text(self, result: Entry) -> str | None:
        """Return its text from an entry of `results`; None if it is absent."""
        entry = result.get(self.statistic, {})
        if self.name not in entry:
            return None
        return self.form(entry[self.name]) if self.of_entry is None else self.of_entry(entry)


def randomisations(found: Entry) -> str:
    drawn, wordings = "all" if found["exact"] else "random", found["wordings"]
    return f"{drawn} {found['randomisations']:,}, {wordings['test']} + {wordings['control']}"


def shuffles(found: Entry) -> str:
    low, high = map(percent, found["interval"])
    return f"{percent(found['rate'])} of {plural(found['shuffles'], 'shuffle')} [{low}, {high}]"


def called_again(found: Entry) -> str:
    survival = f" ({percent(found['survival'])})" if "survival" in found else ""
    again, first = decimal(found["mean_confirmed"], 1), decimal(found["mean_discovered"], 1)
    return f"{again} of {first}{survival}"


def called(found: Entry, name: str = "called") -> str:
    """Return how many are called, or a dash where none can be."""
    return DASH if found["note"] else count(found[name])


FINDINGS = (
    Finding("role_test", "called", FOLLOWS, of_entry=called),
    Finding("role_test", "smallest_p_maxt", "smallest p, family-wise", significant),
    Finding("role_test", "smallest_p", "smallest p that these wordings allow", significant),
    Finding("role_test", "randomisations", "randomisations, wordings per role",
            of_entry=randomisations),
    Finding("wording_split", "mean_confirmed", "called on halves, and again on the others",
            of_entry=called_again),
    Finding("label_shuffle", "rate", "called with shuffled labels", of_entry=shuffles),
    Finding("sign_flip", "familywise", DIFFERS,
            of_entry=lambda found: called(found, "familywise")),
    Finding("sign_flip", "critical_t", "critical |t|", decimal),
    Finding("sign_flip", "patterns", "sign patterns", of_entry=patterns),
    Finding("sign_flip", "smallest_p", "smallest p that these items allow", significant),
    Finding("discovery_bounds", "true_discoveries", AT_LEAST),
    Finding("difference_intervals", "margin", "no mean difference is larger than", significant),
    Finding("discover_confirm", "confirmed", CONFIRMED,
            of_entry=lambda found: f"{count(found['confirmed'])} of {count(found['discovered'])}"),
    Finding("split_half", "mean_correlation", SPLIT_HALF, decimal),
    Finding("split_half", "replication", "replicated in the other half", percent),
    Finding("trend", "familywise", "change along the axis"),
    Finding("strata", "familywise", "differ between strata of items"),
    Finding("axes", "called", "hold an axis of the role"),
    Finding("axes", "median_decoding_of_all",
            "roles decoded on left-out items and wordings, median", percent),
    Finding("axes", "median_cosine_of_all",
            "cosine of axes from other items and wordings, median", decimal),
    Finding("text_distance", "familywise", "change along the text distance"),
)  # fmt: skip
"""Findings with their own names, in the order of the views."""
WORDED = {"published_reading", *(finding.statistic for finding in FINDINGS)}
"""The published reading has a table of its own."""


def finding(path: str) -> Finding:
    """Return a finding by its statistic and name: sign_flip/familywise."""
    return next(one for one in FINDINGS if path == f"{one.statistic}/{one.name}")


def findings(result: Entry) -> Iterator[Finding]:
    """Yield FINDINGS, then the numbers of other statistics in an entry of `results`."""
    yield from FINDINGS
    for statistic in STATISTICS:
        if statistic.name not in WORDED:
            for name, value in result.get(statistic.name, {}).items():
                if isinstance(value, int | float):
                    words = f"{statistic.name}: {name}".replace("_", " ")
                    form = count if isinstance(value, int) else significant
                    yield Finding(statistic.name, name, words, form)


def findings_table(summary: Entry) -> Table:
    """Return one row per finding of a run, one column per unit set."""
    results = summary["results"]
    cells: dict[str, dict[str, str]] = {}
    for unit_set, result in results.items():
        for one in findings(result):
            if (text := one.text(result)) is not None:
                cells.setdefault(one.words, {})[unit_set] = text
    alpha = next(iter(results.values()))["sign_flip"]["alpha"]
    return Table(
        f"tests of the units, {familywise(alpha)}",
        [
            "finding",
            *(f"{result['units']:,} {rows_noun(name, result)}" for name, result in results.items()),
        ],
        [[words, *(row.get(name, DASH) for name in results)] for words, row in cells.items()],
        SYMMETRY,
    )
