"""Numbers as text, the same in all views: few digits, a true minus sign, a dash if absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

DASH = "–"
"""Stands for a number that was not computed."""
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROW_SPACE = "\u202f"


def count(value: float) -> str:
    """Format a count: 16,320; one that is not an integer (a mean) has two significant digits."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else significant(value, 2)


def significant(value: float, digits: int = 2) -> str:
    """Format `value` with a number of significant digits: 0.032, 1.9 × 10⁻⁹."""
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
    """Format a power of ten: 10⁻⁵, but 1 and 10."""
    return {0: "1", 1: "10"}.get(exponent, f"10{str(exponent).translate(SUPERSCRIPTS)}")


def percent(share: float, digits: int = 0) -> str:
    """Format a share: 75%; below one percent with one more digit; or with `digits` digits."""
    if digits:
        return f"{share:.{digits}%}"
    if 0 < share < 0.01:
        return f"{share:.1%}" if share >= 0.001 else "<0.1%"
    return "<100%" if 0.995 <= share < 1 else f"{share:.0%}"


def decimal(value: float, digits: int = 2) -> str:
    """Format a number with fixed digits, such as |t| or r: 44.87, −0.06, 1,234.50."""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """Format a number with its sign: +1.24, −0.06."""
    return f"{value:+.{digits}f}".replace("-", "−")


def tick(value: float) -> str:
    """Format a number on an axis: 0.5, −3."""
    return f"{value:g}".replace("-", "−")


def plural(number: float, noun: str) -> str:
    """Format a number with a noun: 1 head, 48 heads."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def verb(number: float, one: str, several: str) -> str:
    """Return the form of a verb for a number: 1 head follows, 2 heads follow."""
    return one if number == 1 else several


def of_all(number: int, units: int) -> str:
    """Format a number out of `units`: 34 (71%)."""
    return f"{count(number)} ({percent(number / units)})"


def known(value: Any, form: Callable[[Any], str]) -> str:
    """Format `value` with `form`, or return a dash for None."""
    return DASH if value is None else form(value)


def none_or(number: int) -> str:
    """Format a number that begins a sentence."""
    return "None" if number == 0 else count(number)


def named(units: Sequence[str], many: int) -> str:
    """Return the first addresses, and how many more there are."""
    first, more = list(units[:many]), len(units) - many
    last = f"{more} more" if more > 0 else first.pop() if len(first) > 1 else ""
    return ", ".join(first) + (f" and {last}" if last else "")
