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


def check_choices(group: str, settings: object, **choices: tuple[str, ...]) -> None:
    """Raise StudyError if a setting, or an entry of a list, is not one of its choices."""
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if not isinstance(value, str) and len(set(value)) < len(value):
            raise StudyError(f"{group}.{name}={list(value)} repeats a value", f"{group}.{name}")
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


def check_text(text: str, where: str, setting: str) -> None:
    """Raise StudyError for a text that a prompt cannot hold as it is written.

    That is a control token of chat models, which would end the prompt, or what UTF-8 cannot encode.
    """
    token = CONTROL_TOKEN.search(text)
    if token:
        raise StudyError(
            f"{where} holds {token[0]}, which tokenizers of chat models read as a command: write "
            "it without the bars",
            setting,
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StudyError(
            f"{where} holds half of a character at position {error.start}: {text!r}", setting
        ) from error
