"""Checks of the settings of a group."""

from __future__ import annotations

from otherview.study.errors import StudyError


def check_choices(group: str, settings: object, **choices: tuple[str, ...]) -> None:
    """Raise StudyError if a setting, or an entry of a list, is not one of its choices."""
    for name, allowed in choices.items():
        value = getattr(settings, name)
        for each in [value] if isinstance(value, str) else value:
            if each not in allowed:
                raise StudyError(
                    f"{group}.{name}={each}: choose one of {', '.join(allowed)}", f"{group}.{name}"
                )


def check_least(group: str, settings: object, **least: float) -> None:
    """Raise StudyError if a setting is below the least value that it may have."""
    for name, allowed in least.items():
        value = getattr(settings, name)
        if value is not None and value < allowed:
            raise StudyError(
                f"{group}.{name}={value} is too small: use at least {allowed}",
                f"{group}.{name}",
            )
