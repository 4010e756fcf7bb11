"""Standard streams that every command can write to: closed ones, and those that lack letters."""

from __future__ import annotations

import codecs
import os
import re
import sys
from io import TextIOWrapper

LACKING = "otherview.written_plainly"
"""Name of `written_plainly` among the error handlers of streams."""
EXPONENT = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
EXPONENT_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
SIGNS = str.maketrans({"−": "-", "–": "-", "×": "x", "±": "+-", "…": "...", "’": "'", "“": '"',
                       "”": '"', "\u00a0": " ", "\u202f": " "})  # fmt: skip


def prepare_streams() -> None:
    """Open the standard streams that are closed, and let them take letters that they lack."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as by `>&-`: no file takes its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    codecs.register_error(LACKING, written_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=LACKING)


def written_plainly(error: UnicodeError) -> tuple[str, int]:
    """Return what a terminal shows in place of letters that it lacks: signs of numbers, or ?."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    text = EXPONENT.sub(lambda found: f"^{found[0].translate(EXPONENT_DIGITS)}", text)
    return text.translate(SIGNS).encode("ascii", "replace").decode("ascii"), error.end
