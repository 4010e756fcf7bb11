"""Colours of the figures: by name, one for a light and one for a dark background.

Figures are drawn with the light colours. The page replaces each by a CSS variable of that name, so
that one drawing serves both themes.
"""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, to_hex

COLOURS = {
    "ink": ("#1b1d23", "#e9eaee"),
    "muted": ("#5d616b", "#a3a7b3"),
    "rule": ("#d5d7de", "#3c4049"),
    "paper": ("#ffffff", "#15171c"),
    "blue": ("#1d69b4", "#6fb1ee"),
    "orange": ("#c75f08", "#f0984a"),
    "band": ("#edeff3", "#22252c"),
    "on-strong": ("#fffffe", "#101216"),
    "on-weak": ("#1b1d22", "#f2f3f6"),
}
"""By name: on a light and on a dark background."""

STOPS = {
    "light": ("#0a2f66", "#2a6db5", "#93bfe6", "#f2f1ee", "#f6b581", "#cf6a17", "#6d2b04"),
    "dark": ("#c4e0ff", "#5fa3e4", "#2c527c", "#2b2e36", "#7d4417", "#e3893a", "#ffdcb5"),
}
LEVELS = 31
"""Steps of the diverging scale; odd, so that there is a step for zero."""


def ramp(stops: tuple[str, ...]) -> list[str]:
    """Return `LEVELS` colours through `stops`."""
    return [
        to_hex(colour)
        for colour in LinearSegmentedColormap.from_list("", stops, N=LEVELS)(range(LEVELS))
    ]


DIVERGING = tuple(ramp(STOPS["light"]))
"""Blue (below zero) to orange (above), distinguishable in all common colour blindness."""
COLOURS |= {
    f"step-{level}": pair
    for level, pair in enumerate(zip(DIVERGING, ramp(STOPS["dark"]), strict=True))
}

INK, MUTED, RULE, PAPER, BLUE, ORANGE, ON_STRONG, ON_WEAK = (
    COLOURS[name][0]
    for name in (
        "ink", "muted", "rule", "paper", "blue", "orange", "on-strong", "on-weak",
    )
)  # fmt: skip
