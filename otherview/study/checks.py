"""Checks of the settings of a group."""

from __future__ import annotations

import re
from typing import Any

from otherview.study.errors import StudyError

MAX_NAME = 100
"""Characters of a name; file systems take 255 bytes."""
RESERVED = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")
CONTROL_TOKEN = re.compile(r"<\|[^|<>]*\|>")
"""What tokenizers of chat models read as a token of their own: `<|im_end|>`."""
INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that are no white space: files and terminals read commands in them."""


def check_value(group: str, settings: object, name: str, right: object, reason: str) -> None:
    """Raise StudyError unless a setting is `right`; `reason` goes on after its name and value."""
    if not right:
        raise StudyError(f"{group}.{name}={getattr(settings, name)}{reason}", f"{group}.{name}")


def check_choices(group: str, settings: object, **choices: tuple[str, ...]) -> None:
    """Raise StudyError if a setting, or an entry of a list, is not one of its choices."""
    for name, allowed in choices.items():
        value, choose = getattr(settings, name), f": choose one of {', '.join(allowed)}"
        if isinstance(value, str):
            check_value(group, settings, name, value in allowed, choose)
            continue
        check_list(group, settings, name)
        for each in value:
            if each not in allowed:
                raise StudyError(f"{group}.{name}={each}{choose}", f"{group}.{name}")


def check_list(group: str, settings: object, *names: str, empty: bool = False) -> None:
    """Raise StudyError for a list that repeats a value, or that is empty and may not be."""
    for name in names:
        value = getattr(settings, name)
        check_value(group, settings, name, value or empty, " is empty: give at least one value")
        check_value(group, settings, name, len(set(value)) == len(value), " repeats a value")


def check_least(group: str, settings: object, **least: float) -> None:
    """Raise StudyError if a setting is below the least value that it may have."""
    for name, allowed in least.items():
        value = getattr(settings, name)
        right = value is None or value >= allowed
        check_value(group, settings, name, right, f" is too small: use at least {allowed}")


def check_name(name: Any, where: str, setting: str) -> None:
    """Raise StudyError for a name that cannot be the name of a file or folder."""
    if not isinstance(name, str) or not re.fullmatch(rf"\w[\w-]{{0,{MAX_NAME - 1}}}", name):
        raise StudyError(
            f"{where}: {name!r} names a file or folder; use up to {MAX_NAME} letters, digits, _ "
            "and -",
            setting,
        )
    if RESERVED.fullmatch(name):
        raise StudyError(f"{where}: {name} is a device on Windows: take another name", setting)


def check_title(name: str, setting: str) -> None:
    """Raise StudyError for a name that tables cannot show: blank, or with control characters."""
    if not name.strip() or not name.isprintable():
        raise StudyError(f"{setting}={name!r} is no name: write one line of text", setting)


def check_characters(text: str, where: str, setting: str) -> None:
    """Raise StudyError for a control character, and for what UTF-8 cannot encode."""
    invisible = INVISIBLE.search(text)
    if invisible:
        raise StudyError(
            f"{where} holds the control character {invisible[0]!r} at position "
            f"{invisible.start()}: take it out",
            setting,
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StudyError(
            f"{where} holds half of a character at position {error.start}: {text!r}", setting
        ) from error


def check_text(text: str, where: str, setting: str) -> None:
    """Raise StudyError for a text that a prompt cannot hold as it is written.

    That is a control token of chat models, which would end the prompt, or what check_characters
    finds.
    """
    check_characters(text, where, setting)
    token = CONTROL_TOKEN.search(text)
    if token:
        raise StudyError(
            f"{where} holds {token[0]}, which tokenizers of chat models read as a command: write "
            "it without the bars",
            setting,
        )
