"""Checks of single settings."""

from __future__ import annotations

from otherview.study.errors import StudyError


def check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise StudyError where `value` is none of `choices`."""
    if value not in choices:
        raise StudyError(f"{setting}={value}: choose one of {', '.join(choices)}", setting)


def check_at_least(setting: str, value: float, least: float) -> None:
    """Raise StudyError where `value` is below `least`."""
    if value < least:
        raise StudyError(f"{setting}={value} is too small: at least {least} is needed", setting)
