"""Controls and interventions of a run as values and tables of Weights & Biases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otherview.causes.verdicts import VERDICTS
from otherview.views.run_tables import primary_measure

Content = Mapping[str, Any]
Number = float | int | bool | str
CALLED = ("observed", "share", "familywise", "max_abs_t")
"""What is said of a contrast: units over the lowest threshold, and family-wise."""
EFFECT = ("value", "null_mean", "null_p95", "p", "ratio")
"""What is said of an edit of heads."""
SET = ("set", "size", "variant", "role", "measure", "matching", "exact")
"""What an edit of several heads was, in the table of sets."""


def control_values(controls: Content) -> Iterator[tuple[str, Number]]:
    """Yield how many units the contrast of the study calls, and the placebo that calls most.

    Their keys are the same in every study: controls/heads/contrast/share.
    """
    kinds = {"contrast": [contrast_of(controls)], "placebo": placebos(controls)}
    for kind, contrasts in kinds.items():
        for unit_set in contrasts[0]["results"] if contrasts else ():
            found = [contrast["results"][unit_set] for contrast in contrasts]
            largest = max(found, key=lambda result: result["share"])
            for name in CALLED:
                if name in largest:
                    yield f"controls/{unit_set}/{kind}/{name}", largest[name]
    for row in controls.get("selectivity", ()):
        if row["contrast"] == contrast_of(controls)["name"]:
            for unit_set, found in row["results"].items():
                for name in ("above_placebo", "median_ratio"):
                    if name in found:
                        yield f"controls/{unit_set}/selectivity/{name}", found[name]


def contrast_of(controls: Content) -> Content:
    """Return the contrast that the study itself asks."""
    contrasts: Sequence[Content] = controls["contrasts"]
    return next(contrast for contrast in contrasts if contrast["folder"] == ".")


def placebos(controls: Content) -> list[Content]:
    return [row for row in controls["contrasts"] if row["kind"].startswith("placebo")]


def control_rows(controls: Content) -> list[Content]:
    """Return one row per contrast and unit set, for the table controls/contrasts."""
    return [
        {
            "contrast": row["name"],
            "kind": row["kind"],
            "unit_set": unit_set,
            "units": found["units"],
            "threshold": found["threshold"],
        }
        | {name: found.get(name) for name in CALLED}
        for row in controls["contrasts"]
        for unit_set, found in row["results"].items()
    ]


def intervention_values(found: Content) -> Iterator[tuple[str, Number]]:
    """Yield how many heads have which verdict, and the effect of the selected heads together.

    The effect is that of the first edit by the main measure, on each role, and its specificity.
    """
    counts = {key: len(heads) for key, heads in found["verdicts"].items()}
    yield "interventions/heads", sum(counts.values())
    positive = (number for key, number in counts.items() if VERDICTS[key].positive)
    yield "interventions/positive", sum(positive)
    for key, number in counts.items():
        yield f"interventions/verdicts/{re.sub(r'[^a-z]+', '_', key.lower())}", number
    for name in ("correlation", "agreement"):
        for key, value in found[name].items():
            if isinstance(value, Mapping):
                yield from ((f"interventions/{name}/{key}/{of}", r) for of, r in value.items())
            elif isinstance(value, (int, float)):
                yield f"interventions/{name}/{key}", value
    measure, variant = primary_measure(found)["name"], found["variants"][0]
    rows = [*found["sets"], *({"role": "specificity", **row} for row in found["specificity"])]
    for row in rows:
        if (row["set"], row["measure"], row["variant"]) == ("selected", measure, variant):
            for name in EFFECT:
                if row.get(name) is not None:
                    yield f"interventions/selected/{row['role']}/{name}", row[name]


def set_rows(found: Content) -> list[Content]:
    """Return one row per set, edit, role and measure, for the table interventions/sets."""
    rows = [*found["sets"], *({"role": "specificity", **row} for row in found["specificity"])]
    return [
        {name: row.get(name) for name in SET}
        | {"heads": ", ".join(row["heads"])}
        | {name: row.get(name) for name in EFFECT}
        for row in rows
    ]
