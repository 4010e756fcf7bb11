"""What a result says of its registration, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otherview.views.numbers import count, verb

MAX_NAMED = 6
"""Settings that a sentence names."""
MAX_TEXT = 160
"""Characters of a setting's value."""


def registration_sentence(summary: Mapping[str, Any]) -> str | None:
    """Return whether the study of a result is the registered one; None if none was registered."""
    found = summary.get("registration")
    if found is None:
        return None
    when = f"registered {moment(found['registered'])}, SHA-256 {found['sha256'][:16]}…"
    differs = [each["setting"] for each in found["differs"]]
    if differs:
        named = ", ".join(differs[:MAX_NAMED])
        more = len(differs) - MAX_NAMED
        named += f" and {count(more)} more" if more > 0 else ""
        said = f"This is not the registered study ({when}): it differs in {named}."
    elif found["before_measurement"]:
        said = f"Registered before measurement, unchanged ({when})."
    else:
        began = moment(found["measured"])
        said = f"Unchanged, but registered only after measuring had begun on {began} ({when})."
    versions = found.get("versions")
    return f"{said} Made with other versions: {versions}." if versions else said


def registered_differences(summary: Mapping[str, Any]) -> list[str]:
    """Return one line per setting in which a study differs from the registered one."""
    return [
        f"{each['setting']}: registered {short(each['registered'])}, run {short(each['run'])}"
        if "run" in each
        else each["setting"]
        for each in summary.get("registration", {}).get("differs", ())
    ]


def short(value: Any) -> str:
    """Return a setting as text, its middle left out if it is long."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]} … {text[-MAX_TEXT // 2 :]}"


def moment(written: str) -> str:
    """Return a time in UTC as text: 2026-11-26 23:05 UTC."""
    return f"{written[:16].replace('T', ' ')} UTC"


def expected_sentence(summary: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Return how many called units went the way that the study expected; None without one."""
    expected = found.get("expected")
    if expected is None or not expected["called"]:
        return None
    way = "more" if summary["contrast"]["expected"] == "higher" else "less"
    right, called = expected["as_expected"], expected["called"]
    return (
        f"{count(right)} of the {count(called)} {verb(right, 'responds', 'respond')} {way} under "
        "the test role, as the study expected."
    )
