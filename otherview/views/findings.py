"""The figures that sum up a run: what each is called and how it is written, on every view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from otherview.analysis.statistics import STATISTICS
from otherview.views.numbers import DASH, count, decimal, percent, plural, significant
from otherview.views.table_model import Heading, Table
from otherview.views.vocabulary import (
    CONFIRMED,
    DIFFERS,
    FOLLOWS,
    NOUNS,
    SPLIT_HALF,
    SYMMETRY,
    familywise,
    patterns,
)

Entry = Mapping[str, Any]
"""The summary of one statistic."""


@dataclass(frozen=True)
class Finding:
    """One figure of a statistic's summary."""

    statistic: str
    name: str
    """In the summary of the statistic."""
    words: str
    text: Callable[[Entry], str]
    """How it is written; only asked where the summary has it."""


def whole(name: str) -> Callable[[Entry], str]:
    return lambda found: count(found[name])


def share(name: str) -> Callable[[Entry], str]:
    return lambda found: percent(found[name])


def p_value(name: str) -> Callable[[Entry], str]:
    return lambda found: significant(found[name])


def fixed(name: str) -> Callable[[Entry], str]:
    return lambda found: decimal(found[name])


def relabellings(found: Entry) -> str:
    wordings = found["wordings"]
    many = f"{'all' if found['exact'] else 'random'} {found['relabellings']:,}"
    return f"{many}, {wordings['test']} + {wordings['control']}"


def shuffles(found: Entry) -> str:
    low, high = found["interval"]
    of = plural(found["shuffles"], "shuffle")
    return f"{percent(found['rate'])} of {of} [{percent(low)}, {percent(high)}]"


def confirmed_again(found: Entry) -> str:
    survival = f" ({percent(found['survival'])})" if "survival" in found else ""
    return f"{decimal(found['mean_confirmed'], 1)} of {decimal(found['mean_discovered'], 1)}" + (
        survival
    )


FINDINGS = (
    Finding("role_test", "called", FOLLOWS, whole("called")),
    Finding("role_test", "fails_wordings", "fail over wordings", whole("fails_wordings")),
    Finding("role_test", "smallest_p_maxt", "smallest p over wordings",
            p_value("smallest_p_maxt")),
    Finding("role_test", "smallest_p", "smallest p that the wordings can give",
            p_value("smallest_p")),
    Finding("role_test", "relabellings", "relabellings, wordings per role", relabellings),
    Finding("wording_split", "mean_confirmed",
            "called on halves, again on the others", confirmed_again),
    Finding("label_shuffle", "rate", "called with shuffled labels", shuffles),
    Finding("sign_flip", "familywise", DIFFERS, whole("familywise")),
    Finding("sign_flip", "critical_t", "critical |t|", fixed("critical_t")),
    Finding("sign_flip", "patterns", "sign patterns", patterns),
    Finding("sign_flip", "smallest_p", "smallest p that the items can give",
            p_value("smallest_p")),
    Finding("discover_confirm", "confirmed", CONFIRMED,
            lambda found: f"{count(found['confirmed'])} of {count(found['discovered'])}"),
    Finding("split_half", "mean_correlation", SPLIT_HALF, fixed("mean_correlation")),
    Finding("split_half", "replication", "replicated in the other half",
            share("replication")),
    Finding("trend", "familywise", "change along the axis", whole("familywise")),
    Finding("text_distance", "familywise", "change along the text distance", whole("familywise")),
)  # fmt: skip
"""Those that have words of their own, in the order of the views."""
WORDED = {"published_reading", *(finding.statistic for finding in FINDINGS)}
"""The published reading has a table of its own."""


def finding(path: str) -> Finding:
    """Return a finding by its statistic and name: sign_flip/familywise."""
    return next(one for one in FINDINGS if path == f"{one.statistic}/{one.name}")


def findings(result: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what an entry of `results` has: FINDINGS, then every number of other statistics."""
    for one in FINDINGS:
        if one.name in result.get(one.statistic, {}):
            yield one
    for statistic in STATISTICS:
        if statistic.name not in WORDED:
            for name, value in result.get(statistic.name, {}).items():
                if isinstance(value, int | float):
                    words = f"{statistic.name}: {name}".replace("_", " ")
                    form = whole(name) if isinstance(value, int) else p_value(name)
                    yield Finding(statistic.name, name, words, form)


def findings_table(summary: Mapping[str, Any]) -> Table:
    """Return one row per finding of a run, one column per unit set."""
    results = summary["results"]
    cells: dict[str, dict[str, str]] = {}
    for unit_set, result in results.items():
        for one in findings(result):
            cells.setdefault(one.words, {})[unit_set] = one.text(result[one.statistic])
    alpha = next(iter(results.values()))["sign_flip"]["alpha"]
    return Table(
        f"tests of the units, {familywise(alpha)}",
        [
            Heading("", is_words=True),
            *(Heading(f"{result['units']:,} {NOUNS[name]}") for name, result in results.items()),
        ],
        [[words, *(row.get(name, DASH) for name in results)] for words, row in cells.items()],
        SYMMETRY,
    )
