"""Numbers as a reader wants them, the same on every view: few digits, a true minus, one dash."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

DASH = "–"
"""What was not computed."""
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROW_SPACE = "\u202f"


def count(value: float) -> str:
    """16,320; a count that is no whole number (a mean) keeps two significant digits."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else significant(value, 2)


def significant(value: float, digits: int = 2) -> str:
    """`value` to so many significant digits: 0.032, 1.9 × 10⁻⁹."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else ("∞" if value > 0 else "−∞")
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if -4 <= exponent < 6:
        return f"{rounded:,.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")
    mantissa = rounded / 10**exponent
    head = "" if digits == 1 and mantissa == 1 else f"{mantissa:.{digits - 1}f}{NARROW_SPACE}×"
    return f"{head}{NARROW_SPACE if head else ''}{power_of_ten(exponent)}".replace("-", "−")


def power_of_ten(exponent: int) -> str:
    """10⁻⁵; 1 and 10 as themselves."""
    return {0: "1", 1: "10"}.get(exponent, f"10{str(exponent).translate(SUPERSCRIPTS)}")


def percent(share: float, digits: int = 0) -> str:
    """75%; under one percent with one digit more; with `digits`, always so many."""
    if digits:
        return f"{share:.{digits}%}"
    if 0 < share < 0.01:
        return f"{share:.1%}" if share >= 0.001 else "<0.1%"
    return "<100%" if 0.995 <= share < 1 else f"{share:.0%}"


def decimal(value: float, digits: int = 2) -> str:
    """44.87, −0.06, 1,234.50: what has a scale of its own, such as |t| or r."""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """+1.24, −0.06: a true minus, so that columns align."""
    return f"{value:+.{digits}f}".replace("-", "−")


def tick(value: float) -> str:
    """A number on an axis: 0.5, −3."""
    return f"{value:g}".replace("-", "−")


def plural(number: float, noun: str) -> str:
    """1 head, 48 heads."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def verb(number: float, one: str, several: str) -> str:
    """The form of a verb that goes with a number: 1 head follows, 2 heads follow."""
    return one if number == 1 else several


def of_all(number: int, units: int) -> str:
    """34 (71%)."""
    return f"{count(number)} ({percent(number / units)})"


def known(value: Any, form: Callable[[Any], str]) -> str:
    """`value` in a form, or a dash where it was not computed."""
    return DASH if value is None else form(value)
